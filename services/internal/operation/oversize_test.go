package operation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/operation"
)

const large = 2 << 20 // bytes, twice what a NATS server takes

// TestACommandOfWhichNoResultCanBeMadeIsDeadLettered: its attributes and its key stand in the
// headers and subjects of all that is published because of it.
func TestACommandOfWhichNoResultCanBeMadeIsDeadLettered(t *testing.T) {
	t.Parallel()
	structured := func(attribute string, value string) *nats.Msg {
		e := map[string]any{"specversion": "1.0", "id": "1", "source": source, "type": event.TypeDelegationChange, "data": json.RawMessage(valid)}
		e[attribute] = value
		raw, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		m := command("", "")
		m.Header, m.Data = nil, raw
		return m
	}
	onToken := func(token string) *nats.Msg {
		m := command("1", valid)
		m.Subject = m.Subject[:strings.LastIndexByte(m.Subject, '.')+1] + token
		return m
	}
	long := strings.Repeat("ü", 100_000)
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
		Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) },
	}, recheckSoon) // which finds what has no partition
	for i, c := range []struct {
		message *nats.Msg
		why     string
	}{
		{structured("id", long), "id must have at most 1024 characters"},
		{structured("source", "/"+long), "source must have at most 1024 characters"},
		{onToken("*"), "that is a wildcard of NATS"},
		{onToken(">"), "that is a wildcard of NATS"},
		{onToken("a\x01b"), "control characters"},
		{onToken("a\xffb"), "not UTF-8"},
		{onToken(strings.Repeat("k", 3500)), "the key has 3500 bytes"},
	} {
		env.publish(c.message)
		env.publish(command(fmt.Sprint("next", i), valid))
		env.outcome(fmt.Sprint("next", i))
		l := env.deadNumber(i)
		if l.Reason != operation.Unreadable || !strings.Contains(l.Detail, c.why) {
			t.Errorf("%s: %s, want %q", l.Reason, l.Detail, c.why)
		}
	}
}

// deadNumber waits for the n-th dead letter, counted from 0.
func (env *env) deadNumber(n int) (l event.DeadLetter) {
	env.Helper()
	env.until(fmt.Sprint("there are dead letters beyond ", n), func() bool {
		m, err := env.stream("DEAD").GetMsg(env.Context(), uint64(n)+1)
		return err == nil && json.Unmarshal(m.Data, &l) == nil
	})
	return l
}

// TestTheLongestAttributesFit has attributes and a key as long as they may be, of characters that
// are sent as three or more.
func TestTheLongestAttributesFit(t *testing.T) {
	t.Parallel()
	longest := func(characters int) string { return strings.Repeat("ü", characters) }
	id := longest(1 << 10)
	raw, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": id, "source": source, "type": event.TypeDelegationChange, "subject": longest(1 << 10),
		"correlationid": longest(512), "causationid": longest(512), "traceparent": longest(128), "tracestate": longest(512), "data": json.RawMessage(valid),
	})
	if err != nil {
		t.Fatal(err)
	}
	parked := false
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		if !parked {
			parked = true
			return operation.Reply{}, throttledFor(1)
		}
		return changed(run)
	})
	m := on(strings.Repeat("k", 3000), command("", ""))
	m.Header, m.Data = nil, raw
	env.publish(m)
	if e := env.outcome(id); e.Type() != event.TypeDelegationChanged {
		t.Errorf("%s", e.Type())
	}
}

// TestAnEventThatNATSNeverTakesEndsTheOperation: nothing loops, and nothing vanishes.
func TestAnEventThatNATSNeverTakesEndsTheOperation(t *testing.T) {
	t.Parallel()
	huge := func(run *operation.Attempt) event.DelegationChangedData {
		return event.DelegationChangedData{Operation: run.Operation, Mailbox: strings.Repeat("x", large)}
	}
	for name, perform := range map[string]func(context.Context, *operation.Attempt) (operation.Reply, error){
		"outcome": func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
			return operation.Reply{Type: event.TypeDelegationChanged, Data: huge(run)}, nil
		},
		"part of an answer": func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
			return operation.Reply{}, run.Emit(ctx, event.TypeDelegationObserved, huge(run))
		},
		"no JSON": func(context.Context, *operation.Attempt) (operation.Reply, error) {
			return operation.Reply{Type: event.TypeDelegationChanged, Data: math.NaN()}, nil
		},
	} {
		for _, once := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", once ", once), func(t *testing.T) {
				t.Parallel()
				env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{Perform: perform, NotRepeatable: once},
					// 2 MiB take their time
					func(c *operation.Config) { c.CallTimeout = outcomeTimeout })
				env.publish(command("1", valid))
				e := env.outcome("1")
				var data event.FailedData
				if err := e.DataAs(&data); err != nil || data.Failure.Code != operation.OutcomeUnknown || !strings.Contains(data.Failure.Text, "cannot be published") {
					t.Errorf("%s %+v %v", e.Type(), data.Failure, err)
				}
				if l := env.dead(operation.OutcomeUnknown); l.ID != "1" || l.Detail != data.Failure.Text {
					t.Errorf("%+v", l)
				}
			})
		}
	}
}

func TestTheFaultsOfACommandFitIntoItsResult(t *testing.T) {
	t.Parallel()
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) })
	members := make([]string, 4_000)
	for i := range members {
		members[i] = fmt.Sprintf(`"unknown%d":0`, i)
	}
	env.publish(command("1", `{"mailbox":"a",`+strings.Join(members, ",")+`}`))
	e := env.outcome("1")
	var data event.RejectedData
	if err := e.DataAs(&data); err != nil || len(data.Faults) != 101 || !strings.Contains(data.Faults[100].Problem, "faults more") {
		t.Errorf("%d faults, %v", len(data.Faults), err)
	}
}
