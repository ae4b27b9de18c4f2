//go:build !linux

package lease

import "time"

// Now returns the time since the process started. It also counts while the process is stopped.
func Now() time.Duration { return time.Since(started) }

var started = time.Now()
