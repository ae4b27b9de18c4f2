package testkit_test

import (
	"log/slog"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
)

func TestWhole(t *testing.T) {
	t.Parallel()
	mw := testkit.Start(t, testkit.WithLog(slog.New(slog.NewTextHandler(t.Output(), nil))))
	cmd := testkit.NewCommand(event.DelegationChangeData{Mailbox: "alex@contoso.com", Add: []string{"megan.bowen@contoso.com"}})
	if err := mw.Publish(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	outcome, err := mw.AwaitOutcome(t.Context(), cmd)
	if err != nil || outcome.State != event.Succeeded {
		t.Fatal(outcome, err)
	}
	rows, err := mw.AwaitRows(t.Context(), `SELECT state FROM mailwright_views.operations WHERE operation_id = $1 AND state = 'succeeded'`, cmd.OperationID())
	if err != nil {
		t.Fatal(err)
	}
	t.Log(rows)
}
