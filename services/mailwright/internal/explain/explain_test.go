package explain_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/explain"
)

const timeout = 20 * time.Second

func run(t *testing.T, env *apptest.Env, args ...string) apptest.Result {
	t.Helper()
	return apptest.Run(t.Context(), t, apptest.Call{Name: "explain", Command: &explain.Command{}, Args: append(args, "--nats-url", env.URL)})
}

// serve carries delegation commands out: the vendor asks the mailbox "busy" to wait, refuses
// "locked", and takes any other.
func serve(t *testing.T, env *apptest.Env) {
	t.Helper()
	env.Serve(t, event.DomainDelegation, map[string]operation.Handler{event.TypeDelegationChange: {Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		switch run.Operation.Key {
		case "busy":
			return operation.Reply{}, &failure.Error{Kind: failure.Throttled, Vendor: "exchangeonline", Code: "HTTP 429", RetryAfter: time.Hour, Text: "the vendor asks for less"}
		case "locked":
			return operation.Reply{}, &failure.Error{Kind: failure.Refused, Vendor: "exchangeonline", Code: "AccessDenied", Text: "the vendor refuses it"}
		}
		return operation.Reply{Type: event.TypeDelegationChanged, Data: event.DelegationChangedData{
			Operation: run.Operation, Mailbox: "alex@contoso.com", Delegates: []string{"dana@contoso.com"}, Added: []string{"dana@contoso.com"}, Removed: []string{}, Changed: true,
		}}, nil
	}}})
}

func publish(t *testing.T, env *apptest.Env, id, key string) client.Receipt {
	t.Helper()
	c, err := client.New("contoso", "/hr", id, event.DelegationChangeData{Mailbox: "alex@contoso.com", Add: []string{"dana@contoso.com"}})
	if err != nil {
		t.Fatal(err)
	}
	c.Key = key
	c.SetSubject("Alex Wilber")
	c.SetExtension(event.AttrCorrelationID, "CHG-17")
	c.SetExtension(event.AttrCausationID, "ticket-4")
	r, err := client.Send(t.Context(), env.JS, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// awaitEvent waits for an operation's event with a state.
func awaitEvent(t *testing.T, env *apptest.Env, r client.Receipt, state event.State) {
	t.Helper()
	events, err := env.JS.Stream(t.Context(), topology.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(timeout); ; time.Sleep(5 * time.Millisecond) {
		if m, err := events.GetLastMsgForSubject(t.Context(), r.Results); err == nil {
			e, err := event.Decode(m.Header, m.Data)
			if s, _ := event.StateOf(e); err == nil && s == state {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not %s", r.OperationID, state)
		}
	}
}

// until runs explain until its output says something: what waits is parked after its event.
func until(t *testing.T, env *apptest.Env, text string, args ...string) string {
	t.Helper()
	for deadline := time.Now().Add(timeout); ; {
		r := run(t, env, args...)
		if r.Code == 0 && strings.Contains(r.Out, text) {
			return r.Out
		}
		if time.Now().After(deadline) {
			t.Fatalf("exit code %d, without %q:\n%s%s", r.Code, text, r.Out, r.Err)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	apptest.Golden(t, "help.txt", apptest.Help(t, "explain", &explain.Command{}))
}

func TestExplains(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	first := publish(t, env, "1", "busy") // nobody serves yet
	apptest.Golden(t, "received.txt", until(t, env, "no replica of delegation-svc has the lease", "--tenant", "contoso", "--source", "/hr", "--id", "1"))
	serve(t, env)
	awaitEvent(t, env, first, event.StateWaiting)
	apptest.Golden(t, "waiting.txt", until(t, env, "the next is at", first.OperationID[:6]))
	second := publish(t, env, "2", "busy")
	awaitEvent(t, env, second, event.StateWaiting)
	apptest.Golden(t, "behind.txt", until(t, env, "waits behind operation "+first.OperationID, second.OperationID))
	done := publish(t, env, "3", "free")
	awaitEvent(t, env, done, event.StateSucceeded)
	apptest.Golden(t, "succeeded.txt", until(t, env, "It was done", strings.ToUpper(done.OperationID)))
	failed := publish(t, env, "4", "locked")
	awaitEvent(t, env, failed, event.StateFailed)
	apptest.Golden(t, "failed.txt", until(t, env, "It failed", failed.OperationID, "--tenant", "contoso", "--domain", "delegation"))
	if out := until(t, env, `"sentence":"It failed`, failed.OperationID, "--json"); !strings.Contains(out, `"state":"failed"`) || strings.Count(out, "\n") != 1 {
		t.Error(out)
	}
}

func TestWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, app.ExitUsage, "name the operation"},
		{[]string{"abc", "--id", "1", "--source", "/hr"}, app.ExitUsage, "name the operation"},
		{[]string{"--id", "1", "--source", "/hr"}, app.ExitUsage, "--id needs --tenant"},
		{[]string{"not-an-id"}, app.ExitUsage, `"not-an-id" is no operation's id`},
		{[]string{"abc"}, app.ExitFailure, "nothing is recorded of an operation abc"},
		{[]string{"--tenant", "contoso", "--id", "1", "--source", "/hr"}, app.ExitFailure, "nothing is known of operation"},
		{[]string{"--tenant", "contoso", "--id", "1", "--source", "/hr", "--plan"}, app.ExitFailure, "nothing is known of operation"},
	} {
		if r := run(t, env, c.args...); r.Code != c.code || !strings.Contains(r.Err, c.want) {
			t.Errorf("%v: exit code %d, want %d with %q:\n%s%s", c.args, r.Code, c.code, c.want, r.Out, r.Err)
		}
	}
}
