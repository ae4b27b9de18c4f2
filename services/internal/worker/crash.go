package worker

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// crashAt makes a step function that kills the process, as kill -9 does, at a point "NAME" or "NAME:N", the N-th time that step is
// taken. The guarantee tests walk every step with it. "" gives nil.
func crashAt(point string) func(string) {
	if point == "" {
		return nil
	}
	name, count, _ := strings.Cut(point, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		n = 1
	}
	var left atomic.Int64
	left.Store(n)
	return func(step string) {
		if step == name && left.Add(-1) == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until the signal arrives
		}
	}
}
