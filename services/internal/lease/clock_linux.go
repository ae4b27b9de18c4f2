package lease

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now is the time since the machine started. It goes on while the process is stopped and while
// the machine is suspended, which the clock of [time.Since] does not.
func Now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return time.Since(started) // a kernel before 2.6.39
	}
	return time.Duration(t.Nano())
}

var started = time.Now()
