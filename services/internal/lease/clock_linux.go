package lease

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now returns the time since the machine started. Unlike the clock of [time.Since] it also counts
// while the machine is suspended.
func Now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return time.Since(started) // a kernel before 2.6.39
	}
	return time.Duration(t.Nano())
}

var started = time.Now()
