package trial

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/stack"
	"github.com/mailwright/mailwright/services/guarantees/internal/check"
)

const (
	// slowness is how long the vendor takes for each slow command; a throttled one is longer in coming.
	slowness = 10 * time.Second
	// slowCommands are more than a service works on at once, whether it lets them go on by themselves or not.
	slowCommands = 300
	// AnyNumber is a VendorCalls that slow commands and others do not use up.
	AnyNumber = 1000
)

// Stuck publishes many commands whose vendor calls take long, one that is throttled, and one whose target is missing, which waits for hours; and then others on
// many keys, in the same partitions. When those have their outcomes it cancels the one that waits. It returns the operation ids of the stuck ones.
func (t *Trial) Stuck(ctx context.Context) (stuck []string, err error) {
	for _, f := range []map[string]any{
		{"vendor": "adaxes", "call": "create-object", "match": "cn=slow", "kind": "latency", "params": map[string]any{"delay": slowness.String()}},
		{"vendor": "adaxes", "call": "create-object", "match": "throttled", "kind": "status", "count": 3, "params": map[string]any{"status": 429, "retryAfter": "5"}},
		{"vendor": "adaxes", "call": "create-object", "match": "missing", "kind": "status", "params": map[string]any{"status": 404, "body": `{"code":"notFound","message":"There is no such object."}`}},
	} {
		if err := t.control(ctx, http.MethodPost, "faults", f); err != nil {
			return nil, err
		}
		t.injected("stuck target")
	}
	first := []*nats.Msg{named("throttled"), named("missing")}
	for i := range slowCommands {
		first = append(first, named(fmt.Sprint("slow", i)))
	}
	for _, m := range first {
		if err := t.publishOne(ctx, m); err != nil {
			return nil, err
		}
		stuck = append(stuck, event.OperationID(stack.SandboxTenant, source, m.Header.Get("ce-id")))
	}
	pause(ctx, 2*time.Second) // they are under way
	for i := range t.Commands {
		if err := t.publishOne(ctx, named(fmt.Sprint("other", i))); err != nil {
			return nil, err
		}
	}
	err = until(ctx, time.Minute, func(ctx context.Context) (string, error) {
		var done int
		err := t.db.QueryRow(ctx, `SELECT count(*) FROM mailwright.operations WHERE finished_at IS NOT NULL`).Scan(&done)
		if all := len(t.evidence.Commands); done < all-1 {
			return fmt.Sprintf("%d of %d have their outcomes, all but one should", done, all), err
		}
		return "", err
	})
	if err != nil {
		t.Progress("%v", err) // the checker says what is late
	}
	cancel := message(event.Directory, "cancel", "cancel", event.OperationCancel, fmt.Sprintf(`{"operationId":%q}`, event.OperationID(stack.SandboxTenant, source, "missing")))
	stuck = append(stuck, event.OperationID(stack.SandboxTenant, source, "cancel"))
	return stuck, t.publishOne(ctx, cancel)
}

// named makes a command that creates a user of a given name.
func named(name string) *nats.Msg {
	property := func(property string) string {
		return fmt.Sprintf(`{"propertyName":%q,"propertyType":"String","values":[%q]}`, property, name)
	}
	return message(event.Directory, name, name, event.ObjectCreate,
		fmt.Sprintf(`{"createIn":%q,"objectType":"user","properties":[%s,%s,%s]}`, unit, property("cn"), property("sAMAccountName"), property("userPrincipalName")))
}

func (t *Trial) publishOne(ctx context.Context, m *nats.Msg) error {
	id := m.Header.Get("ce-id")
	if _, err := t.store(ctx, m); err != nil {
		return err
	}
	t.evidence.Commands = append(t.evidence.Commands, check.Command{OperationID: event.OperationID(stack.SandboxTenant, source, id), Key: id, Number: 1})
	return nil
}
