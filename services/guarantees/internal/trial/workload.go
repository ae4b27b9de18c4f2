package trial

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/guarantees/internal/check"
)

const (
	source = "/guarantees"
	// poisonEvery and twiceEvery are how often a malformed message and a command under a second key come by.
	poisonEvery, twiceEvery = 50, 12
)

// Publish publishes the whole workload, spread over the keys: users whose names the vendor makes up, so that nothing but
// Mailwright keeps one from being created twice. Now and then comes a command that is published twice at once under
// two keys, one that is sent again later, one with other data under a used id, and a malformed message.
func (t *Trial) Publish(ctx context.Context) error {
	var earlier *nats.Msg
	numbers := map[string]int{}
	pace := t.pace()
	for i := range t.Commands {
		pause(ctx, pace)
		key := fmt.Sprintf("K%d", i%t.Keys)
		numbers[key]++
		c := check.Command{Key: key, Number: numbers[key], Twice: i%twiceEvery == 3}
		msg := t.command(i, c)
		c.OperationID = event.OperationID(source, fmt.Sprint(i))
		if c.Twice {
			again := t.command(i, c)
			again.Subject = bus.CommandSubject(event.Directory, "second-"+key)
			if err := t.publish(ctx, again); err != nil {
				return err
			}
		}
		if err := t.publish(ctx, msg); err != nil {
			return err
		}
		t.evidence.Commands = append(t.evidence.Commands, c)
		if i%twiceEvery == 7 && earlier != nil {
			if err := t.publish(ctx, earlier); err != nil { // sent again, long after its outcome
				return err
			}
		}
		if i%twiceEvery == 0 {
			earlier = msg
		}
		if i%poisonEvery == 25 {
			if err := t.poison(ctx, i/poisonEvery); err != nil {
				return err
			}
		}
	}
	return nil
}

// pace spreads the workload over the storm, which takes about two seconds a fault.
func (t *Trial) pace() time.Duration {
	if t.NoFaults {
		return 0
	}
	return time.Duration(len(steps)+t.Kills) * 2 * time.Second / time.Duration(t.Commands)
}

// password is a secret of every command; it must be found nowhere.
func (t *Trial) password() string { return fmt.Sprintf("Zebra-%d-Secret", t.Seed) }

func (t *Trial) command(i int, c check.Command) *nats.Msg {
	name := func(property, value string) string {
		return fmt.Sprintf(`{"propertyName":%q,"propertyType":"String","values":[%q]}`, property, value)
	}
	// The vendor's pattern makes the logon name of the first letter and the surname: together they are unique.
	data := fmt.Sprintf(`{"createIn":"OU=My Organizational Unit,DC=example,DC=com","objectType":"user","properties":[%s,%s,%s,%s]}`,
		name("givenName", c.Key), name("sn", fmt.Sprintf("N%d-%d", c.Number, i)), name("userPrincipalName", fmt.Sprintf("u%d", i)), name("unicodePwd", t.password()))
	return &nats.Msg{Subject: bus.CommandSubject(event.Directory, c.Key), Data: []byte(data), Header: nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {fmt.Sprint(i)}, "ce-source": {source}, "ce-type": {event.ObjectCreate}, "content-type": {"application/json"},
	}}
}

// publish stores a message as a careful publisher does: again and again while JetStream is away.
func (t *Trial) publish(ctx context.Context, m *nats.Msg) error {
	_, err := t.store(ctx, m)
	return err
}

func (t *Trial) store(ctx context.Context, m *nats.Msg) (sequence uint64, err error) {
	for {
		ack, err := t.js.PublishMsg(ctx, m)
		if err == nil {
			return ack.Sequence, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("publish: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// poison publishes one malformed message, of a kind by turns.
func (t *Trial) poison(ctx context.Context, turn int) error {
	secret := `{"newPassword":"` + t.password() + `"`
	kinds := []*nats.Msg{
		{},
		{Data: []byte("\xff\xfe\x00")},
		{Data: []byte(secret)},
		{Data: []byte(strings.Repeat("[", 50_000))},
		{Data: []byte(strings.Repeat("x", 1_000_000))},
		{Data: []byte("{}"), Header: nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"a", "b"}, "ce-source": {"/x"}, "ce-type": {event.ObjectCreate}}},
		{Data: []byte("{}"), Header: nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"\xff"}, "ce-source": {"/x"}, "ce-type": {event.ObjectCreate}}},
	}
	m := kinds[turn%(len(kinds)+1)%len(kinds)]
	m.Subject = bus.CommandSubject(event.Directory, "poison")
	if turn%(len(kinds)+1) == len(kinds) { // another command under a used source and id, with a password
		m = t.command(0, check.Command{Key: "other", Number: 1})
	}
	sequence, err := t.store(ctx, m)
	if err != nil {
		return err
	}
	t.evidence.Poison = append(t.evidence.Poison, sequence)
	t.injected("malformed message")
	return nil
}
