package operation

import "time"

// growStack grows the goroutine's stack to 12 KiB in one step. A schema's check and the encoding of
// an event are deep, and to grow there copies the stack several times: BenchmarkCheckOnANewStack.
//
//go:noinline
func growStack(touch bool) (untouched byte) {
	if touch {
		var room [12 << 10]byte // the frame alone is what counts: to touch it would cost more
		untouched = room[time.Now().Nanosecond()%len(room)]
	}
	return untouched
}
