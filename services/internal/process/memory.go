package process

import (
	"os"
	"runtime/debug"
)

const (
	// gcPercent lets the heap grow further than by default before it is collected. The programs'
	// heaps are small, and most objects live no longer than one message.
	gcPercent = 400
	// softLimit is the size of the heap from which it is collected more often. It is well below
	// 256 MiB, which a program may take.
	softLimit = 160 << 20
)

// TuneMemory sets how the heap is collected, unless the environment does (GOGC, GOMEMLIMIT). A
// process with an embedded NATS server must not call it: each collection drops the server's cached
// blocks of messages, so under a limit the server would read them from the disk again and again.
func TuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softLimit)
	}
}
