//go:build failpoints

package failpoint

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Enabled reports whether the program has failpoints.
const Enabled = true

// Set holds the failpoints of a process, or of one part of it in a test. The zero value has none.
type Set struct {
	reach    func(Point)
	disabled []Protection
}

// New makes a Set for a test: reach is called at every point, in the goroutine that comes to it.
// It may be nil.
func New(reach func(Point), disabled ...Protection) Set { return Set{reach, disabled} }

// Reach is called at a point, before the step that it names.
func (s Set) Reach(p Point) {
	if s.reach != nil {
		s.reach(p)
	}
}

// Disabled reports whether a protection is switched off.
func (s Set) Disabled(p Protection) bool { return slices.Contains(s.disabled, p) }

// Flags are the settings of a process. Embed them in its configuration.
type Flags struct {
	Unsafe  []Protection `hidden:"" help:"Switch protections off."`
	CrashAt []string     `hidden:"" help:"Kill this process at the first of these points that it reaches: NAME, or NAME:N for the N-th time."`
	StopAt  []string     `hidden:"" help:"Stop this process, as SIGSTOP does, at the first of these points that it reaches."`
	// ClockOff and ClockJumps make this machine's clock wrong.
	ClockOff   time.Duration `hidden:"" help:"How wrong this machine's clock is."`
	ClockJumps time.Duration `hidden:"" help:"How far this machine's wall clock is set ahead, and back again, while the process runs."`
}

// Set makes the failpoints that the settings name.
func (f Flags) Set() Set {
	crash := at(f.CrashAt, KilledAt, syscall.SIGKILL)
	stop := at(f.StopAt, StoppedAt, syscall.SIGSTOP)
	return New(func(p Point) { crash(p); stop(p) }, f.Unsafe...)
}

// at sends this process a signal at the first of some points that it reaches.
func at(points []string, told string, signal syscall.Signal) func(Point) {
	left := map[Point]*atomic.Int64{}
	for _, point := range points {
		name, count, _ := strings.Cut(point, ":")
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil {
			n = 1
		}
		left[Point(name)] = &atomic.Int64{}
		left[Point(name)].Store(n)
	}
	var done atomic.Bool
	return func(p Point) {
		if n := left[p]; n == nil || n.Add(-1) != 0 || done.Swap(true) {
			return
		}
		_, _ = fmt.Fprintln(os.Stderr, told+string(p))
		_ = syscall.Kill(os.Getpid(), signal)
		if signal == syscall.SIGKILL {
			select {} // until it arrives
		}
	}
}

// WallClock is this machine's clock, wrong by ClockOff, and jumping by ClockJumps every second.
func (f Flags) WallClock() func() time.Time { return steppedClock(f.ClockOff, f.ClockJumps) }
