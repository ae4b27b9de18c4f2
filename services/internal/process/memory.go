package process

import (
	"os"
	"runtime/debug"
)

const (
	// gcPercent lets the heap grow further than Go would before it is collected: ours are small,
	// and much of what they hold is gone after a message.
	gcPercent = 400
	// softLimit is where collection becomes keen again, well below the 256 MiB that a program of
	// ours may take.
	softLimit = 160 << 20
)

// TuneMemory sets how the heap is collected, where the environment (GOGC, GOMEMLIMIT) does not. A
// process that runs an embedded NATS server must not: each collection frees the server's blocks of
// messages, so that one under a limit reads them from the disk again and again.
func TuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softLimit)
	}
}
