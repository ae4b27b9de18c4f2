package trial

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/guarantees/internal/check"
)

const (
	// longestAlone bounds what the undisturbed commands are taken to need, and so how long the slow
	// ones take.
	longestAlone = 25 * time.Second
	// slowCommands are more than a service works on at once, whether it lets them go on by
	// themselves or not.
	slowCommands = 300
	// AnyNumber is a VendorCalls that slow commands and others do not use up.
	AnyNumber = 1000
	// underWay is how long the slow commands have until others follow.
	underWay = 2 * time.Second
)

// Stuck publishes commands on many keys, and sees how long they take. Then it publishes many whose
// vendor calls take longer than that, one that is throttled, and one whose target is missing, which
// waits for hours; and as many others in the same partitions. When those have their outcomes it
// cancels the one that waits.
func (t *Trial) Stuck(ctx context.Context) (d check.Delay, err error) {
	if d.Alone, d.AloneSince, err = t.many(ctx, "alone", t.Commands); err != nil {
		return d, err
	}
	if err := t.finished(ctx, 0); err != nil {
		return d, err
	}
	e, err := t.Events(ctx)
	if err != nil {
		return d, err
	}
	alone, _, _ := d.Took(e.Events)
	slowness := d.Limit(min(alone, longestAlone)) + 2*underWay + 3*time.Second
	t.Progress("undisturbed, %d commands took %v; the slow ones take %v each", t.Commands, alone.Round(time.Millisecond), slowness.Round(time.Millisecond))
	if err := t.stick(ctx, slowness); err != nil {
		return d, err
	}
	for _, m := range []*nats.Msg{named("throttled"), named("missing")} {
		if err := t.publishOne(ctx, m); err != nil {
			return d, err
		}
	}
	slow, _, err := t.many(ctx, "slow", slowCommands)
	if err != nil {
		return d, err
	}
	d.Stuck = slow
	pause(ctx, underWay)
	if d.Beside, d.BesideSince, err = t.many(ctx, "other", t.Commands); err != nil {
		return d, err
	}
	if err := t.finished(ctx, 1); err != nil {
		t.Progress("%v", err) // the checker says what is late
	}
	cancel := message(event.DomainDirectory, "cancel", "cancel", event.TypeOperationCancel, fmt.Sprintf(`{"operationId":%q}`, operationOf("missing")))
	return d, t.publishOne(ctx, cancel)
}

// stick gives the vendor its faults.
func (t *Trial) stick(ctx context.Context, slowness time.Duration) error {
	for _, f := range []map[string]any{
		{"vendor": "adaxes", "call": "create-object", "match": "cn=slow", "kind": "latency", "params": map[string]any{"delay": slowness.String()}},
		{"vendor": "adaxes", "call": "create-object", "match": "throttled", "kind": "status", "count": 3, "params": map[string]any{"status": 429, "retryAfter": "5"}},
		{"vendor": "adaxes", "call": "create-object", "match": "missing", "kind": "status", "params": map[string]any{"status": 404, "body": `{"code":"notFound","message":"There is no such object."}`}},
	} {
		if err := t.control(ctx, http.MethodPost, "faults", f); err != nil {
			return err
		}
		t.injected("stuck target")
	}
	return nil
}

// many publishes commands on a key each, and says when it began.
func (t *Trial) many(ctx context.Context, name string, n int) (ids []string, since time.Time, err error) {
	since = time.Now()
	for i := range n {
		m := named(fmt.Sprint(name, i))
		if err := t.publishOne(ctx, m); err != nil {
			return nil, since, err
		}
		ids = append(ids, operationOf(m.Header.Get("ce-id")))
	}
	return ids, since, nil
}

// finished waits until all commands have their outcomes but for so many.
func (t *Trial) finished(ctx context.Context, but int) error {
	return until(ctx, 2*time.Minute, func(ctx context.Context) (string, error) {
		var done int
		err := t.db.QueryRow(ctx, `SELECT count(*) FROM mailwright.operations WHERE finished_at IS NOT NULL`).Scan(&done)
		if all := len(t.evidence.Commands); done < all-but {
			return fmt.Sprintf("%d of %d have their outcomes, all but %d should", done, all, but), err
		}
		return "", err
	})
}

// named makes a command that creates a user of a given name.
func named(name string) *nats.Msg {
	property := func(property string) string {
		return fmt.Sprintf(`{"propertyName":%q,"propertyType":"String","values":[%q]}`, property, name)
	}
	return message(event.DomainDirectory, name, name, event.TypeObjectCreate,
		fmt.Sprintf(`{"createIn":%q,"objectType":"user","properties":[%s,%s,%s]}`, unit, property("cn"), property("sAMAccountName"), property("userPrincipalName")))
}

func (t *Trial) publishOne(ctx context.Context, m *nats.Msg) error {
	id := m.Header.Get("ce-id")
	if _, err := t.store(ctx, m); err != nil {
		return err
	}
	t.evidence.Commands = append(t.evidence.Commands, check.Command{OperationID: operationOf(id), Key: id, Number: 1})
	return nil
}
