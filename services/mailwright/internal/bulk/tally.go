package bulk

import (
	"fmt"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/render"
)

// tally counts what became of rows.
type tally struct {
	succeeded, warned int // warned of the succeeded
	failed            int // failed, rejected, cancelled or given up
	invalid           int
	open              int // published, without an outcome
	unpublished       int
}

func (t *tally) count(r record) {
	switch {
	case r.State == string(event.StateSucceeded):
		t.succeeded++
		if len(r.Warnings) > 0 {
			t.warned++
		}
	case r.State == stateInvalid:
		t.invalid++
	default:
		t.failed++
	}
}

// String is the last line of a run: 998 succeeded (12 with warnings), 2 failed, 0 open.
func (t tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s succeeded", render.Thousands(t.succeeded))
	if t.warned > 0 {
		fmt.Fprintf(&b, " (%s with warnings)", render.Thousands(t.warned))
	}
	fmt.Fprintf(&b, ", %s failed, %s open", render.Thousands(t.failed), render.Thousands(t.open))
	if t.invalid > 0 {
		fmt.Fprintf(&b, ", %s left out as invalid", render.Thousands(t.invalid))
	}
	if t.unpublished > 0 {
		fmt.Fprintf(&b, ", %s not published", render.Thousands(t.unpublished))
	}
	return b.String()
}
