package cancel_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/cancel"
)

const timeout = 20 * time.Second

func run(t *testing.T, env *apptest.Env, args ...string) apptest.Result {
	t.Helper()
	return apptest.Run(t.Context(), t, apptest.Call{Name: "cancel", Command: &cancel.Command{}, Args: append(args, "--nats-url", env.URL)})
}

func want(t *testing.T, r apptest.Result, code int, out, err string) {
	t.Helper()
	if r.Code != code || !strings.Contains(r.Out, out) || !strings.Contains(r.Err, err) {
		t.Errorf("exit code %d, want %d with %q and %q:\n%s%s", r.Code, code, out, err, r.Out, r.Err)
	}
}

// serving has the delegation domain: a mailbox "busy" waits for an hour, any other is changed.
func serving(t *testing.T) *apptest.Env {
	t.Helper()
	env := apptest.Start(t)
	env.Serve(t, event.DomainDelegation, map[string]operation.Handler{event.TypeDelegationChange: {Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		if run.Operation.Key == "busy" {
			return operation.Reply{}, &failure.Error{Kind: failure.Throttled, RetryAfter: time.Hour, Text: "later"}
		}
		return operation.Reply{Type: event.TypeDelegationChanged, Data: event.DelegationChangedData{
			Operation: run.Operation, Mailbox: "alex@contoso.com", Delegates: []string{}, Added: []string{}, Removed: []string{},
		}}, nil
	}}})
	return env
}

// publish publishes a command and waits for its first event.
func publish(t *testing.T, env *apptest.Env, id, key string) client.Receipt {
	t.Helper()
	e, err := event.New(id, "/hr", event.TypeDelegationChange, event.DelegationChangeData{Mailbox: "alex@contoso.com", Add: []string{"dana@contoso.com"}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := client.Send(t.Context(), env.JS, client.Command{Tenant: "contoso", Event: e, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	events, err := env.JS.Stream(t.Context(), topology.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(timeout); ; time.Sleep(5 * time.Millisecond) {
		if _, err := events.GetLastMsgForSubject(t.Context(), r.Results); err == nil {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing happens to %s", id)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	apptest.Golden(t, "help.txt", apptest.Help(t, "cancel", &cancel.Command{}))
}

func TestCancelsWhatWaits(t *testing.T) {
	t.Parallel()
	for name, args := range map[string]func(client.Receipt) []string{
		"whole id":            func(r client.Receipt) []string { return []string{r.OperationID} },
		"beginning":           func(r client.Receipt) []string { return []string{r.OperationID[:6]} },
		"upper case":          func(r client.Receipt) []string { return []string{strings.ToUpper(r.OperationID[:6])} },
		"domain":              func(r client.Receipt) []string { return []string{r.OperationID, "--domain", "delegation"} },
		"beginning in domain": func(r client.Receipt) []string { return []string{r.OperationID[:6], "--domain", "delegation"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := serving(t)
			r := publish(t, env, "1", "busy")
			want(t, run(t, env, args(r)...), 0, "operation "+r.OperationID+" cancelled", "cancelling "+r.OperationID+" (contoso, delegation)")
			o, err := client.Await(t.Context(), env.JS, r)
			if err != nil || o.State != event.StateCancelled {
				t.Errorf("%s %v", o, err)
			}
		})
	}
}

func TestCancelsSeveral(t *testing.T) {
	t.Parallel()
	env := serving(t)
	ended, waits := publish(t, env, "1", "alex"), publish(t, env, "2", "busy")
	r := run(t, env, ended.OperationID, waits.OperationID)
	want(t, r, app.ExitFailure, "operation "+waits.OperationID+" cancelled", "1 succeeded, 1 failed")
	if !strings.Contains(r.Out, "the operation has ended already: succeeded") {
		t.Error(r.Out)
	}
}

func TestDoesNotWaitIfAsked(t *testing.T) {
	t.Parallel()
	env := serving(t)
	r := publish(t, env, "1", "busy")
	want(t, run(t, env, r.OperationID, "--no-wait"), 0, "cancelling "+r.OperationID, "")
	if o, err := client.Await(t.Context(), env.JS, r); err != nil || o.State != event.StateCancelled {
		t.Errorf("%s %v", o, err)
	}
}

func TestWhatCanNotBeFoundIsNotCancelled(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	for _, subject := range []string{"mailwright.evt.contoso.mailbox.aaaab", "mailwright.evt.contoso.delegation.aaaac"} {
		if _, err := env.JS.PublishMsg(t.Context(), &nats.Msg{Subject: subject}); err != nil {
			t.Fatal(err)
		}
	}
	want(t, run(t, env, "not-an-id"), app.ExitUsage, "", `"not-an-id" is no operation's id`)
	want(t, run(t, env, strings.Repeat("a", 26)), app.ExitFailure, "", "nothing is recorded of an operation aaa")
	want(t, run(t, env, "bbb"), app.ExitFailure, "", "nothing is recorded of an operation bbb")
	want(t, run(t, env, "aaaa"), app.ExitFailure, "", "2 operations begin with aaaa: aaaab, aaaac")
	want(t, run(t, env), app.ExitUsage, "", "expected")
	want(t, run(t, apptest.StartNATS(t), "aaaa"), app.ExitFailure, "", "'mailwright dev'")
	want(t, run(t, env, strings.Repeat("a", 26), "--tenant", "contoso", "--domain", "mailbox", "--timeout", "300ms"), app.ExitNoOutcome, "", "no outcome yet")
	commands, err := env.JS.Stream(t.Context(), topology.StreamCommands)
	if err != nil || commands.CachedInfo().State.Msgs != 1 {
		t.Errorf("%d commands, %v: want the last call's", commands.CachedInfo().State.Msgs, err)
	}
}
