//go:build failpoints

package failpoint

import (
	"time"
	"unsafe"
)

// jumpEvery is how often a clock jumps that does: ahead, and the next time back.
const jumpEvery = time.Second

// steppedClock is this machine's clock, wrong as the suite wants it.
func steppedClock(off, jumps time.Duration) func() time.Time {
	began := time.Now()
	return func() time.Time {
		now := time.Now()
		if now.Sub(began)/jumpEvery%2 == 1 {
			now = stepped(now, jumps)
		}
		return now.Add(off)
	}
}

// stepped is what time.Now gives where somebody has set the wall clock: that is another, while the
// monotonic reading goes on. Package time has no way to say so (Add moves both), so the seconds are
// added where it keeps them: above 30 bits of nanoseconds. A test holds this against the Go that
// builds it.
func stepped(t time.Time, by time.Duration) time.Time {
	wall := (*uint64)(unsafe.Pointer(&t)) //nolint:gosec // see above
	*wall += uint64(by/time.Second) << 30
	return t
}
