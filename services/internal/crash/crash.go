// Package crash lets a process of ours kill itself at a step, as kill -9 does. The guarantee suite walks every step with it.
package crash

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Told precedes the step's name in the last line that the process writes: whoever armed several learns which it was.
const Told = "crash-at: "

// At makes a step function that kills the process at the first of some points that it comes to. Each is "NAME", or "NAME:N" for the N-th time
// that the step is taken. No points give nil.
func At(points []string) func(step string) {
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
	var dying atomic.Bool
	return func(step string) {
		if n := left[step]; n == nil || n.Add(-1) != 0 || dying.Swap(true) {
			return
		}
		_, _ = fmt.Fprintln(os.Stderr, Told+step)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until the signal arrives
	}
}
