//go:build failpoints

package failpoint

import (
	"testing"
	"time"
)

// TestStepped: the wall clock is another, and the time that passes is the same.
func TestStepped(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{25 * time.Hour, -2 * time.Hour} {
		before := time.Now()
		after := stepped(before, by)
		if passed := after.Sub(before); passed != 0 {
			t.Errorf("stepped by %v, %v has passed", by, passed)
		}
		if moved := after.Round(0).Sub(before.Round(0)); moved != by {
			t.Errorf("stepped by %v, the wall clock moved by %v", by, moved)
		}
	}
}
