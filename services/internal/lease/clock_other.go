//go:build !linux

package lease

import "time"

// Now is the time since the process started. It goes on while the process is stopped.
func Now() time.Duration { return time.Since(started) }

var started = time.Now()
