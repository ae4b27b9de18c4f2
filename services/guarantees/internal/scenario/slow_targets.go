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
	// maxAlone bounds the measured time of the commands alone, and with it the time of the slow
	// calls.
	maxAlone = 25 * time.Second
	// slowCommands is larger than the number of commands that a service works on at once, detached
	// ones included.
	slowCommands = 300
	// UnlimitedVendorCalls is a VendorCalls that the slow commands and the others do not use up
	// together.
	UnlimitedVendorCalls = 1000
	// headStart is the time from the slow commands until others are published.
	headStart = 2 * time.Second
)

// RunSlowTargets measures whether slow commands delay others. First it publishes commands on many
// keys and measures how long they take alone. Then it publishes commands whose vendor calls take
// longer than that, one that is throttled, one whose target is missing and which waits for hours,
// and, in the same partitions, as many others as before. When those have their outcomes, it cancels
// the one that waits.
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
	s.Progress("alone, %d commands took %v; the slow ones take %v each",
		s.Commands, alone.Round(time.Millisecond), slowness.Round(time.Millisecond))
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
		s.Progress("%v", err) // the checker reports which are late
	}
	data := fmt.Sprintf(`{"operationId":%q}`, operationOf("missing"))
	return d, s.publishOne(ctx, message(event.DomainDirectory, "cancel", "cancel", event.TypeOperationCancel, data))
}

// addSlowTargets gives the sandbox the faults that make targets slow, throttled or missing.
func (s *Scenario) addSlowTargets(ctx context.Context, slowness time.Duration) error {
	delay := map[string]any{"delay": slowness.String()}
	throttled := map[string]any{"status": 429, "retryAfter": "5"}
	missing := map[string]any{"status": 404, "body": `{"code":"notFound","message":"There is no such object."}`}
	for _, f := range []map[string]any{
		{"match": "cn=slow", "kind": "latency", "params": delay},
		{"match": "throttled", "kind": "status", "count": 3, "params": throttled},
		{"match": "missing", "kind": "status", "params": missing},
	} {
		f["vendor"] = "adaxes"
		f["call"] = "create-object"
		if err := s.control(ctx, http.MethodPost, "faults", f); err != nil {
			return err
		}
		s.countFault("slow target")
	}
	return nil
}

// publishMany publishes n commands, each on a key of its own. since is when it began.
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

// awaitFinished waits until all commands but the given number have their outcomes.
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

// createUser makes a command that creates a user of the given name.
func createUser(name string) *nats.Msg {
	property := func(property string) string {
		return fmt.Sprintf(`{"propertyName":%q,"propertyType":"String","values":[%q]}`, property, name)
	}
	data := fmt.Sprintf(`{"createIn":%q,"objectType":"user","properties":[%s,%s,%s]}`,
		unit, property("cn"), property("sAMAccountName"), property("userPrincipalName"))
	return message(event.DomainDirectory, name, name, event.TypeObjectCreate, data)
}

func (s *Scenario) publishOne(ctx context.Context, m *nats.Msg) error {
	id := m.Header.Get("ce-id")
	if _, err := s.store(ctx, m); err != nil {
		return err
	}
	s.evidence.Commands = append(s.evidence.Commands, check.Command{OperationID: operationOf(id), Key: id, Number: 1})
	return nil
}
