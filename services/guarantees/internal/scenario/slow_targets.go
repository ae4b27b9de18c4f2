package scenario

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
	// maxAlone bounds what the undisturbed commands are taken to need, and so how long the slow
	// ones take.
	maxAlone = 25 * time.Second
	// slowCommands are more than a service works on at once, whether it lets them go on by
	// themselves or not.
	slowCommands = 300
	// UnlimitedVendorCalls is a VendorCalls that slow commands and others do not use up.
	UnlimitedVendorCalls = 1000
	// headStart is how long the slow commands have until others follow.
	headStart = 2 * time.Second
)

// RunSlowTargets publishes commands on many keys, and sees how long they take. Then it publishes many whose
// vendor calls take longer than that, one that is throttled, and one whose target is missing, which
// waits for hours; and as many others in the same partitions. When those have their outcomes it
// cancels the one that waits.
func (s *Scenario) RunSlowTargets(ctx context.Context) (d check.Delay, err error) {
	if d.Alone, d.AloneSince, err = s.publishMany(ctx, "alone", s.Commands); err != nil {
		return d, err
	}
	if err := s.awaitFinished(ctx, 0); err != nil {
		return d, err
	}
	e, err := s.Events(ctx)
	if err != nil {
		return d, err
	}
	alone, _, _ := d.Took(e.Events)
	slowness := d.Limit(min(alone, maxAlone)) + 2*headStart + 3*time.Second
	s.Progress("undisturbed, %d commands took %v; the slow ones take %v each", s.Commands, alone.Round(time.Millisecond), slowness.Round(time.Millisecond))
	if err := s.addSlowTargets(ctx, slowness); err != nil {
		return d, err
	}
	for _, m := range []*nats.Msg{createUser("throttled"), createUser("missing")} {
		if err := s.publishOne(ctx, m); err != nil {
			return d, err
		}
	}
	slow, _, err := s.publishMany(ctx, "slow", slowCommands)
	if err != nil {
		return d, err
	}
	d.Slow = slow
	pause(ctx, headStart)
	if d.Beside, d.BesideSince, err = s.publishMany(ctx, "other", s.Commands); err != nil {
		return d, err
	}
	if err := s.awaitFinished(ctx, 1); err != nil {
		s.Progress("%v", err) // the checker says what is late
	}
	cancel := message(event.DomainDirectory, "cancel", "cancel", event.TypeOperationCancel, fmt.Sprintf(`{"operationId":%q}`, operationOf("missing")))
	return d, s.publishOne(ctx, cancel)
}

// addSlowTargets gives the vendor its faults.
func (s *Scenario) addSlowTargets(ctx context.Context, slowness time.Duration) error {
	for _, f := range []map[string]any{
		{"vendor": "adaxes", "call": "create-object", "match": "cn=slow", "kind": "latency", "params": map[string]any{"delay": slowness.String()}},
		{"vendor": "adaxes", "call": "create-object", "match": "throttled", "kind": "status", "count": 3, "params": map[string]any{"status": 429, "retryAfter": "5"}},
		{"vendor": "adaxes", "call": "create-object", "match": "missing", "kind": "status", "params": map[string]any{"status": 404, "body": `{"code":"notFound","message":"There is no such object."}`}},
	} {
		if err := s.control(ctx, http.MethodPost, "faults", f); err != nil {
			return err
		}
		s.countFault("stuck target")
	}
	return nil
}

// publishMany publishes commands on a key each, and says when it began.
func (s *Scenario) publishMany(ctx context.Context, name string, n int) (ids []string, since time.Time, err error) {
	since = time.Now()
	for i := range n {
		m := createUser(fmt.Sprint(name, i))
		if err := s.publishOne(ctx, m); err != nil {
			return nil, since, err
		}
		ids = append(ids, operationOf(m.Header.Get("ce-id")))
	}
	return ids, since, nil
}

// awaitFinished waits until all commands have their outcomes but for so many.
func (s *Scenario) awaitFinished(ctx context.Context, unfinished int) error {
	return until(ctx, 2*time.Minute, func(ctx context.Context) (string, error) {
		var done int
		err := s.db.QueryRow(ctx, `SELECT count(*) FROM mailwright.operations WHERE finished_at IS NOT NULL`).Scan(&done)
		if all := len(s.evidence.Commands); done < all-unfinished {
			return fmt.Sprintf("%d of %d have their outcomes, all but %d should", done, all, unfinished), err
		}
		return "", err
	})
}

// createUser makes a command that creates a user of a given name.
func createUser(name string) *nats.Msg {
	property := func(property string) string {
		return fmt.Sprintf(`{"propertyName":%q,"propertyType":"String","values":[%q]}`, property, name)
	}
	return message(event.DomainDirectory, name, name, event.TypeObjectCreate,
		fmt.Sprintf(`{"createIn":%q,"objectType":"user","properties":[%s,%s,%s]}`, unit, property("cn"), property("sAMAccountName"), property("userPrincipalName")))
}

func (s *Scenario) publishOne(ctx context.Context, m *nats.Msg) error {
	id := m.Header.Get("ce-id")
	if _, err := s.store(ctx, m); err != nil {
		return err
	}
	s.evidence.Commands = append(s.evidence.Commands, check.Command{OperationID: operationOf(id), Key: id, Number: 1})
	return nil
}
