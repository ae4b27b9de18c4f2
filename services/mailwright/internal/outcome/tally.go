package outcome

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// tally counts the outcomes of commands.
type tally struct{ succeeded, failed, rejected, cancelled, dead, open int }

// newTally starts with every command open. A command that was published twice is stored once, and
// counts once.
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

// exitError turns outcomes into the program's error. A failed command counts more than an open one.
func (t *tally) exitError(err error) error {
	switch {
	case err != nil && !errors.Is(err, client.ErrNoOutcome):
		return err
	case t.failed+t.rejected+t.cancelled+t.dead > 0:
		return errors.New(t.String())
	case err != nil:
		err = fmt.Errorf("%w: %s; open operations go on, 'mailwright watch --operation ID' follows one", err, t)
		return &app.ExitError{Code: app.ExitNoOutcome, Err: err}
	default:
		return nil
	}
}

// String lists the counts that are not zero.
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
