package outcome

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// tally counts what became of commands.
type tally struct{ succeeded, failed, rejected, cancelled, dead, open int }

// newTally starts with every command open; one that was published twice is stored, and counts,
// once.
func newTally(receipts []client.Receipt) *tally {
	sequences := map[uint64]bool{}
	for _, r := range receipts {
		sequences[r.Sequence] = true
	}
	return &tally{open: len(sequences)}
}

func (t *tally) count(n client.Update) {
	switch {
	case n.Dead != nil:
		t.dead++
	case n.State == event.StateSucceeded:
		t.succeeded++
	case n.State == event.StateFailed:
		t.failed++
	case n.State == event.StateRejected:
		t.rejected++
	case n.State == event.StateCancelled:
		t.cancelled++
	default:
		return
	}
	t.open--
}

// verdict turns outcomes into the program's end. One that failed weighs more than one that is still
// open.
func (t *tally) verdict(err error) error {
	switch {
	case err != nil && !errors.Is(err, client.ErrNoOutcome):
		return err
	case t.failed+t.rejected+t.cancelled+t.dead > 0:
		return errors.New(t.String())
	case err != nil:
		return &app.ExitError{Code: app.ExitNoOutcome, Err: fmt.Errorf("%w: %s; what is open goes on, 'mailwright watch --operation ID' follows it", err, t)}
	default:
		return nil
	}
}

// String lists what there is of each.
func (t *tally) String() string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{
		{t.succeeded, "succeeded"}, {t.failed, "failed"}, {t.rejected, "rejected"},
		{t.cancelled, "cancelled"}, {t.dead, "given up ('mailwright dead ls' has the reason)"}, {t.open, "without an outcome yet"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", ")
}
