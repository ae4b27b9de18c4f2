package watch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/watch"
)

func call(env *apptest.Env, args ...string) apptest.Call {
	return apptest.Call{Name: "watch", Command: &watch.Command{}, Args: append(args, "--nats-url", env.URL)}
}

// within bounds a watch that would wait for ever for what it should have shown.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// publish stores the contract's example of a result.
func publish(t *testing.T, env *apptest.Env, eventType string) {
	t.Helper()
	e := apptest.Example(t, eventType)
	domain := event.DomainOf(eventType)
	if domain == "" {
		domain = event.DomainDirectory // operation.* belong to every domain
	}
	subject := topology.EventSubject("contoso", domain, event.Extension(e, event.AttrOperationID))
	if observation(eventType) {
		subject = topology.MailboxSubject("contoso", eventType) // a mailbox each
	}
	if eventType == event.TypeDelegationDrift {
		subject = topology.DriftSubject("contoso", "alex")
	}
	header, body, err := event.Encode(e, event.Binary)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := env.JS.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Header: header, Data: body}); err != nil {
		t.Fatal(err)
	}
}

func observation(eventType string) bool {
	return eventType == event.TypeMailboxObserved || eventType == event.TypeMailboxMissing
}

// publishExamples stores the example of every result, and two dead letters.
func publishExamples(t *testing.T, env *apptest.Env) (events, mailboxes int) {
	t.Helper()
	for _, eventType := range event.ResultTypes() {
		if eventType == event.TypeDeadLetter {
			continue
		}
		publish(t, env, eventType)
		switch {
		case observation(eventType):
			mailboxes++
		case eventType != event.TypeDelegationDrift:
			events++
		}
	}
	for _, l := range []event.DeadLetter{
		{Reason: operation.Unreadable, Detail: "not a CloudEvent", Stream: topology.StreamCommands, Sequence: 7, Subject: "mailwright.cmd.contoso.mailbox.jsmith"},
		{Reason: operation.Conflict, Stream: topology.StreamCommands, Sequence: 8, Subject: "mailwright.cmd.contoso.mailbox.jane%40contoso%2Ecom", Type: event.TypeMailboxCreate, OperationID: "fuom5ln32nj4obpm5vearkc6kh"},
	} {
		body, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := env.JS.Publish(t.Context(), topology.DeadSubject("contoso", event.DomainMailbox, l.OperationID), body); err != nil {
			t.Fatal(err)
		}
	}
	return events, mailboxes
}

func TestHelp(t *testing.T) {
	t.Parallel()
	apptest.Golden(t, "help.txt", apptest.Help(t, "watch", &watch.Command{}))
}

// TestTheTenantOfWhatWasGivenUp: its subject tells it where the letter does not, and JetStream's
// own advisories have none.
func TestTheTenantOfWhatWasGivenUp(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	for subject, data := range map[string]string{
		topology.DeadSubject("contoso", event.DomainMailbox, ""):           `{"reason":"unreadable","detail":"of its subject","stream":"COMMANDS","sequence":1}`,
		topology.DeadSubject("", event.DomainMailbox, ""):                  `{"reason":"unreadable","detail":"of the letter","stream":"COMMANDS","sequence":2,"tenant":"contoso"}`,
		topology.DeadSubject("fabrikam", event.DomainMailbox, ""):          `{"reason":"unreadable","detail":"of another","stream":"COMMANDS","sequence":3,"tenant":"fabrikam"}`,
		"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.COMMANDS.delegation-0": `{"type":"io.nats.jetstream.advisory.v1.max_deliver","timestamp":"2026-11-21T09:00:00Z","stream":"COMMANDS","consumer":"delegation-0","stream_seq":4,"deliveries":5}`,
	} {
		if _, err := env.JS.Publish(t.Context(), subject, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"of a tenant": {[]string{"--tenant", "contoso", "--count", "2"}, []string{"of its subject", "of the letter"}},
		"of a domain": {[]string{"--domain", "delegation", "--count", "1"}, []string{"delegation  dead"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			r := apptest.Run(ctx, t, apptest.Call{Name: "watch", Command: &watch.Command{}, Args: append(c.args, "--dead", "--since", "all", "--nats-url", env.URL)})
			for _, text := range c.want {
				if !strings.Contains(r.Out, text) || strings.Contains(r.Out, "of another") {
					t.Errorf("no %q in:\n%s%s", text, r.Out, r.Err)
				}
			}
		})
	}
}

func TestEveryEventHasALine(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	events, mailboxes := publishExamples(t, env)
	for name, c := range map[string]struct {
		args  []string
		count int
	}{
		"events":    {nil, events},
		"mailboxes": {[]string{"--mailboxes", "--in", "observed,missing", "--type", "inventory.mailbox.observed,inventory.mailbox.missing"}, mailboxes},
		"drift":     {[]string{"--drift", "--type", "delegation.drift"}, 1},
		"dead":      {[]string{"--dead", "--in", "dead"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := apptest.Run(within(t), t, call(env, append(c.args, "--since", "all", "--count", fmt.Sprint(c.count))...))
			if r.Code != 0 || strings.Count(r.Out, "\n") != c.count {
				t.Fatalf("code %d, want %d lines:\n%s%s", r.Code, c.count, r.Out, r.Err)
			}
			apptest.Golden(t, name+".txt", r.Out)
		})
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	publishExamples(t, env)
	operationID := event.Extension(apptest.Example(t, event.TypeMailboxCreated), event.AttrOperationID)
	d := event.DomainMailbox
	states := []string{event.TypeMailboxCreated, event.StartedType(d), event.WaitingType(d), event.UnknownType(d), event.FailedType(d), event.RejectedType(d), event.CancelledType(d), event.PlannedType(d)}
	events := states[:len(states)-1] // a plan is an operation of its own
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"domain":             {[]string{"--since", "all", "--domain", "mailbox"}, states},
		"operation":          {[]string{"--operation", operationID}, events},
		"operation in short": {[]string{"--operation", operationID[:8]}, events},
		"type":               {[]string{"--since", "1h", "--type", "delegation.changed,mailbox.created"}, []string{event.TypeMailboxCreated, event.TypeDelegationChanged}},
		"state":              {[]string{"--since", "all", "--in", "rejected", "--domain", "mailbox,inventory"}, []string{event.RejectedType(event.DomainMailbox), event.RejectedType(event.DomainInventory)}},
		"tenant":             {[]string{"--since", "2020-01-01T00:00:00Z", "--tenant", "contoso", "--domain", "mailbox"}, states},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := apptest.Run(within(t), t, call(env, append(c.args, "--json", "--count", fmt.Sprint(len(c.want)))...))
			var got []string
			for line := range strings.Lines(r.Out) {
				e, err := event.Decode(nil, []byte(line))
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				got = append(got, e.Type())
			}
			if diff := cmp.Diff(c.want, got); diff != "" || r.Code != 0 {
				t.Errorf("code %d (-want +got):\n%s", r.Code, diff)
			}
		})
	}
}

// ready is closed by the first message of a watch: it follows from then on.
type ready struct {
	c    chan struct{}
	done bool
}

func (r *ready) Write(p []byte) (int, error) {
	if !r.done {
		r.done = true
		close(r.c)
	}
	return len(p), nil
}

// start runs a watch and returns when it follows.
func start(ctx context.Context, t *testing.T, c apptest.Call) <-chan apptest.Result {
	t.Helper()
	r := &ready{c: make(chan struct{})}
	c.Err = r
	result := make(chan apptest.Result, 1)
	go func() { result <- apptest.Run(ctx, t, c) }()
	select {
	case <-r.c:
	case early := <-result:
		t.Fatalf("ended before anything happened: %+v", early)
	}
	return result
}

func TestFollowsFromNowOn(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	publish(t, env, event.TypeMailboxCreated)
	result := start(within(t), t, call(env, "--count", "1"))
	publish(t, env, event.TypeDelegationChanged)
	if got := <-result; got.Code != 0 || !strings.Contains(got.Out, "delegates of alex@contoso.com") {
		t.Errorf("%+v", got)
	}
}

// TestSaysThatNothingIsRecordedYet of an operation, since it waits without a word otherwise.
func TestSaysThatNothingIsRecordedYet(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	publish(t, env, event.TypeMailboxCreated)
	operationID := event.Extension(apptest.Example(t, event.TypeMailboxCreated), event.AttrOperationID)
	const said = "nothing is recorded of an operation"
	if r := apptest.Run(within(t), t, call(env, "--operation", operationID[:8], "--count", "1")); r.Code != 0 || strings.Contains(r.Err, said) {
		t.Errorf("%+v", r)
	}
	ctx, end := context.WithCancel(within(t))
	c, told := call(env, "--operation", "zzzz"), &until{text: said + " zzzz yet", end: end}
	c.Err = told
	if r := apptest.Run(ctx, t, c); r.Code != 0 || !told.seen {
		t.Errorf("%+v: it did not say so", r)
	}
}

// until ends a watch once it has written a text.
type until struct {
	text string
	end  func()
	seen bool
}

func (u *until) Write(p []byte) (int, error) {
	if strings.Contains(string(p), u.text) {
		u.seen = true
		u.end()
	}
	return len(p), nil
}

func TestEndsWithoutAnError(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithCancel(within(t))
	result := start(ctx, t, call(apptest.Start(t)))
	end()
	if got := <-result; got.Code != 0 || got.Out != "" {
		t.Errorf("%+v", got)
	}
}

func TestUsageAndServersThatAreNotThere(t *testing.T) {
	t.Parallel()
	bare := apptest.StartNATS(t) // without streams
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"since":  {[]string{"--since", "yesterday"}, app.ExitUsage, "--since yesterday: want now, all"},
		"type":   {[]string{"--type", "mailbox.deleted"}, app.ExitUsage, "mailbox.deleted is no type of an event"},
		"domain": {[]string{"--domain", "post"}, app.ExitUsage, "--domain must be one of"},
		"state":  {[]string{"--in", "fine"}, app.ExitUsage, "--in must be one of"},
		"count":  {[]string{"--count", "-1"}, app.ExitUsage, "--count"},
		"now":    {nil, app.ExitFailure, "'mailwright dev'"},
		"all":    {[]string{"--since", "all"}, app.ExitFailure, "'mailwright dev'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := apptest.Run(within(t), t, call(bare, c.args...))
			if r.Code != c.code || !strings.Contains(r.Err, c.want) {
				t.Errorf("code %d, want %d with %q: %s", r.Code, c.code, c.want, r.Err)
			}
		})
	}
}
