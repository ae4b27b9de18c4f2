//go:build !failpoints

package failpoint

import "time"

// Enabled reports whether the program has failpoints.
const Enabled = false

// Set holds no failpoints.
type Set struct{}

// Reach does nothing.
func (Set) Reach(Point) {}

// Disabled is false: every protection is on.
func (Set) Disabled(Protection) bool { return false }

// ComputeNumbers does nothing.
func (Set) ComputeNumbers([]byte) {}

// Flags has no settings.
type Flags struct{}

// Set holds no failpoints.
func (Flags) Set() Set { return Set{} }

// WallClock is nil: this machine's clock as it is.
func (Flags) WallClock() func() time.Time { return nil }
