// Package crash lets a process of ours kill or stop itself at a step, as kill -9 and kill -STOP
// do. The guarantee suite walks every step with the one, and pauses replicas between a read and a
// write with the other.
package crash

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Told precedes the step's name in the last line that the process writes: whoever armed several
// learns which it was.
const Told = "crash-at: "

// ToldStop precedes it where the process is about to be stopped.
const ToldStop = "stop-at: "

// At makes a step function that kills the process at the first of some points that it comes to.
// Each is "NAME", or "NAME:N" for the N-th time that the step is taken. No points give nil.
func At(points []string) func(step string) { return at(points, Told, syscall.SIGKILL) }

// StopAt is [At] for a process that is stopped, until somebody sends it SIGCONT.
func StopAt(points []string) func(step string) { return at(points, ToldStop, syscall.SIGSTOP) }

// Both takes a step in both functions; either may be nil.
func Both(a, b func(step string)) func(step string) {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(step string) { a(step); b(step) }
}

func at(points []string, told string, signal syscall.Signal) func(step string) {
	if len(points) == 0 {
		return nil
	}
	left := map[string]*atomic.Int64{}
	for _, point := range points {
		name, count, _ := strings.Cut(point, ":")
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil {
			n = 1
		}
		left[name] = &atomic.Int64{}
		left[name].Store(n)
	}
	var done atomic.Bool
	return func(step string) {
		if n := left[step]; n == nil || n.Add(-1) != 0 || done.Swap(true) {
			return
		}
		_, _ = fmt.Fprintln(os.Stderr, told+step)
		_ = syscall.Kill(os.Getpid(), signal)
		if signal == syscall.SIGKILL {
			select {} // until it arrives
		}
	}
}
