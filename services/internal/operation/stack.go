package operation

import "time"

// growStack grows the goroutine's stack to 12 KiB in one step. A schema's check is deep, and
// growing the stack there copies it several times: the check of a command on a new goroutine takes
// 37 us with it and 75 us without (BenchmarkCheckOnANewStack, two cores).
//
//go:noinline
func growStack(touch bool) (untouched byte) {
	if touch {
		var room [12 << 10]byte // the frame alone is what counts: to touch it would cost more
		untouched = room[time.Now().Nanosecond()%len(room)]
	}
	return untouched
}
