package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
)

// TestAnInventoryOutlivesItsService kills inventory-svc in the middle of a walk: the walk is taken
// up again, tells of each mailbox once, and counts as if nothing had happened. The next one
// publishes nothing, and one after mailboxes have gone says so in the rows.
func TestAnInventoryOutlivesItsService(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.populate(`{"count":600}`)
	s.fail(testkit.Fault{Vendor: "enpower", Call: "list-mailboxes", Kind: "latency", Params: testkit.FaultParams{Delay: "200ms"}})
	s.mustPublish(command{"walk", event.TypeInventorySync, "inventory", `{"pageSize":20}`}.message())
	s.eventually(func(ctx context.Context) string { return s.rowsAre(ctx, "> 60", "true") })
	if err := s.Kill("inventory-svc"); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context(), "inventory-svc"); err != nil {
		t.Fatal(err)
	}
	if err := s.Vendors.ClearFaults(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := s.inventory("walk")
	if first.Seen < 600 || first.New != first.Seen || first.Known+first.Unchanged+first.Changed+first.Duplicates > 0 {
		t.Errorf("after the crash: %+v", first)
	}
	s.eventually(func(ctx context.Context) string {
		return s.rowsAre(ctx, fmt.Sprint("= ", first.Seen), "change = 'new' AND missing_since IS NULL")
	})

	before := s.written("MAILBOXES")
	s.mustPublish(command{"again", event.TypeInventorySync, "inventory", `{}`}.message())
	if again := s.inventory("again"); again.Unchanged != first.Seen || s.written("MAILBOXES") != before {
		t.Errorf("without changes: %+v, %d messages written", again, s.written("MAILBOXES")-before)
	}
	s.populate(`{"count":600,"removed":0.05}`)
	s.mustPublish(command{"gone", event.TypeInventorySync, "inventory", `{}`}.message())
	gone := s.inventory("gone")
	if gone.Missing == 0 || gone.Seen+gone.Missing != first.Seen || gone.Suspect {
		t.Errorf("with mailboxes gone: %+v", gone)
	}
	s.eventually(func(ctx context.Context) string {
		return s.rowsAre(ctx, fmt.Sprint("= ", gone.Missing), "change = 'missing' AND missing_since IS NOT NULL AND email_address IS NOT NULL")
	})
}

func (s *env) populate(population string) {
	s.Helper()
	if err := s.Vendors.Control(s.Context(), http.MethodPost, "enpower/population", json.RawMessage(population), nil); err != nil {
		s.Fatal(err)
	}
}

// inventory awaits the result of an inventory.sync.
func (s *env) inventory(id string) (done event.SyncCompletedData) {
	s.Helper()
	e := s.outcome(event.DomainInventory, id)
	if err := e.DataAs(&done); err != nil || e.Type() != event.TypeSyncCompleted {
		s.Fatalf("%s ended as %s: %s", id, e.Type(), e.Data())
	}
	return done
}

// rowsAre counts the rows of mailbox_inventory that fit a condition, and says so while the number
// is not as wanted.
func (s *env) rowsAre(ctx context.Context, wanted, condition string) string {
	var ok bool
	var n int
	if err := s.db.QueryRow(ctx, "SELECT count(*) "+wanted+", count(*) FROM mailwright_views.mailbox_inventory WHERE "+condition).Scan(&ok, &n); err != nil {
		return err.Error()
	}
	if !ok {
		return fmt.Sprintf("%d mailboxes where %s, want %s", n, condition, wanted)
	}
	return ""
}

// written is how many messages a stream ever stored.
func (s *env) written(stream string) uint64 {
	s.Helper()
	found, err := s.js.Stream(s.Context(), stream)
	if err != nil {
		s.Fatal(err)
	}
	return found.CachedInfo().State.LastSeq
}
