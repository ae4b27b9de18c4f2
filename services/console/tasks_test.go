package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operator"
	"github.com/mailwright/mailwright/services/internal/sandboxapi"
)

// This file's tests come last: they fill the list of operations.

// groupOfRefused is the page of the changes of delegates that Exchange Online refuses, as a rule
// because a mailbox is kept on premises.
var groupOfRefused = "/attention/group?" + url.Values{
	"kind": {"failed"}, "domain": {"delegation"}, "type": {event.TypeDelegationChange}, "vendor": {"exchangeonline"}, "failure": {"refused"},
	"code": {"BadRequest/InvalidOperationException"},
}.Encode()

// refuseChanges has Exchange Online refuse every change; the returned function ends that.
func refuseChanges(t *testing.T) (end func()) {
	t.Helper()
	sandbox := sandboxapi.Client{URL: running.Endpoints.Sandbox}
	fault := map[string]any{"vendor": "exchangeonline", "kind": "status", "params": map[string]any{
		"status": 400, "body": `{"error":{"code":"BadRequest","message":"Error executing cmdlet.","innererror":{"internalexception":{"type":"System.InvalidOperationException"}}}}`,
	}}
	if err := sandbox.Do(t.Context(), http.MethodPost, "faults", fault, nil); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := sandbox.Do(t.Context(), http.MethodDelete, "faults", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// fail sends changes of delegates while they are refused, and waits until all have failed.
func fail(t *testing.T, js jetstream.JetStream, name string, n int) (ids []string) {
	t.Helper()
	end := refuseChanges(t)
	defer end()
	var receipts []client.Receipt
	for i := range n {
		cmd, err := client.New(stack.SandboxTenant, hr, fmt.Sprint(name, "-", i), event.DelegationChangeData{Mailbox: "sales@contoso.com", Add: []string{"alex@contoso.com"}})
		if err != nil {
			t.Fatal(err)
		}
		cmd.Key = fmt.Sprint(name, i) // so that they need not wait for each other
		cmd.SetSubject(fmt.Sprint(name, " ", i))
		r, err := client.Send(t.Context(), js, cmd)
		if err != nil {
			t.Fatal(err)
		}
		receipts, ids = append(receipts, r), append(ids, r.OperationID)
	}
	err := client.AwaitAll(t.Context(), js, receipts, func(u client.Update) {
		if u.Final() && u.State != event.StateFailed {
			t.Errorf("%s is %s", u.Receipt.OperationID, u.State)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// commandsAgain counts the commands in COMMANDS that take the place of operations.
func commandsAgain(t *testing.T, js jetstream.JetStream, ids []string) (counts map[string]int) {
	t.Helper()
	wanted := map[string]string{}
	for _, id := range ids {
		wanted[operator.AgainID(id)] = id
	}
	counts = map[string]int{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := js.Stream(ctx, topology.StreamCommands)
	if err != nil {
		t.Fatal(err)
	}
	for sequence := uint64(1); sequence <= s.CachedInfo().State.LastSeq; sequence++ {
		m, err := s.GetMsg(ctx, sequence)
		if err != nil {
			t.Fatal(err)
		}
		if id, ok := wanted[m.Header.Get("ce-id")]; ok {
			counts[id]++
		}
	}
	return counts
}

func picture(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join("..", "..", "build", "console")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		t.Fatal(err)
	}
}

// checkGroup opens the group, begins the check, and waits until it says how many are possible.
func checkGroup(ctx context.Context, t *testing.T, base string, want int) {
	t.Helper()
	do(ctx, t, chromedp.Navigate(base+groupOfRefused))
	until(ctx, t, shows(fmt.Sprintf("Failures: %d", want)))
	do(ctx, t, chromedp.Click(chromedp.CSS("button[value=again]")))
	until(ctx, t, shows(fmt.Sprintf("%d of %d: %d can be sent again, 0 refused.", want, want, want)))
}

// begin sends the checked group again, at a rate.
func begin(ctx context.Context, t *testing.T, perSecond int) {
	t.Helper()
	js[bool](ctx, t, fmt.Sprintf(`(() => {
  document.querySelector("input[name=rate]").value = "%d";
  document.querySelector("input[name=reason]").value = "CHG-99";
  document.querySelector("form[action$='/go'] button").click();
  return true })()`, perSecond))
	until(ctx, t, `location.pathname.endsWith("-go")`)
}

// TestPutRightTwoHundredFailures is what an operator does after a vendor refused 200 commands for
// one cause: the group is checked, sent again, and gone.
func TestPutRightTwoHundredFailures(t *testing.T) {
	bus, end, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	const all = 200
	ids := fail(t, bus, "mass", all)
	ctx, base := browse(t)
	checkGroup(ctx, t, base, all)
	picture(ctx, t, "attention-check")
	if n := commandsAgain(t, bus, ids); len(n) != 0 {
		t.Errorf("the check has sent %d commands", len(n))
	}
	begin(ctx, t, 50)
	until(ctx, t, shows(fmt.Sprintf("%d of %d: %d sent again, 0 refused.", all, all, all)))
	picture(ctx, t, "attention-run")
	do(ctx, t, chromedp.Navigate(base+groupOfRefused))
	until(ctx, t, shows("Nothing is left in this group."))
	for _, id := range ids {
		r := client.Receipt{OperationID: event.OperationID(stack.SandboxTenant, "/mailwright-console", operator.AgainID(id)), Tenant: stack.SandboxTenant, Domain: event.DomainDelegation}
		if o, err := client.Await(t.Context(), bus, r); err != nil || o.State != event.StateSucceeded {
			t.Fatalf("%s: %s %v", id, o, err)
		}
	}
}

// TestAKilledConsoleDoesNothingTwice kills the console while it sends a group again, and has the
// same done once more: every operation is sent again once.
func TestAKilledConsoleDoesNothingTwice(t *testing.T) {
	bus, end, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	const all = 40
	ids := fail(t, bus, "killed", all)
	ctx, base := browse(t)
	checkGroup(ctx, t, base, all)
	begin(ctx, t, 10)
	until(ctx, t, `/^([5-9]|[12]\d) of/.test(document.getElementById("sum").innerText)`)
	if err := running.Kill(stack.Console); err != nil {
		t.Fatal(err)
	}
	if err := running.Restart(t.Context(), stack.Console); err != nil {
		t.Fatal(err)
	}
	do(ctx, t, chromedp.Reload())
	until(ctx, t, shows("does not know this run"))
	do(ctx, t, chromedp.Navigate(base+groupOfRefused))
	until(ctx, t, `!document.querySelector("h2").innerText.includes("Failures: 40")`)
	do(ctx, t, chromedp.Click(chromedp.CSS("button[value=again]")))
	until(ctx, t, shows("Checked: nothing was done yet"))
	begin(ctx, t, 50)
	until(ctx, t, shows("Ended"))
	counts := commandsAgain(t, bus, ids)
	for _, id := range ids {
		if counts[id] != 1 {
			t.Errorf("operation %s was sent again %d times", id, counts[id])
		}
	}
}

// TestSendAForm grants and takes a delegate with the form: a dry run first, and then
// the command, which is followed to its outcome.
func TestSendAForm(t *testing.T) {
	ctx, base := browse(t)
	do(ctx, t, chromedp.Navigate(base+"/send?type=delegation.change"))
	until(ctx, t, shows("to be put right"))
	do(ctx, t, chromedp.SendKeys(chromedp.CSS("[name='/mailbox']"), "megan.bowen@contoso.com"), chromedp.SendKeys(chromedp.CSS("[name='/remove']"), "delegate4@contoso.com"))
	until(ctx, t, shows("The command fits the contract."))
	do(ctx, t, chromedp.Click(chromedp.CSS("button[value=plan]")))
	until(ctx, t, shows("This was a dry run"))
	until(ctx, t, shows("dry run"))
	picture(ctx, t, "send-plan")
	do(ctx, t, chromedp.Click(chromedp.CSS("a[href^='/send?like=']")))
	until(ctx, t, shows("The command fits the contract."))
	js[bool](ctx, t, `(() => {
  window.confirm = () => true;
  document.querySelector("input[name=reason]").value = "HR-4801";
  document.querySelector("button[value=send]").click();
  return true })()`)
	until(ctx, t, shows("Sent. This page follows it."))
	until(ctx, t, shows("It was done at"))
	until(ctx, t, shows("delegates of megan.bowen@contoso.com"))
}

// TestASecretIsNeverShown: a password that was typed into a form stands in no page and no address.
func TestASecretIsNeverShown(t *testing.T) {
	const hidden = "Zq7-not-for-anybody"
	ctx, base := browse(t)
	do(ctx, t, chromedp.Navigate(base+"/send?type=directory.businessuser.create&example=1"))
	until(ctx, t, `document.querySelector("[name='/newPassword']").type === "password"`)
	do(ctx, t, chromedp.SendKeys(chromedp.CSS("[name='/newPassword']"), hidden))
	js[bool](ctx, t, `(() => { document.querySelector("button[value=plan]").click(); return true })()`)
	until(ctx, t, `location.pathname.startsWith("/operations/")`)
	until(ctx, t, shows("The command"))
	if js[bool](ctx, t, fmt.Sprintf("document.documentElement.outerHTML.includes(%q)", hidden)) {
		t.Error("the page shows the password")
	}
	if strings.Contains(js[string](ctx, t, "location.href"), hidden) {
		t.Error("the address has the password")
	}
}

// TestRetryWhatWaits ends a wait.
func TestRetryWhatWaits(t *testing.T) {
	ctx, base := browse(t)
	id := event.OperationID(stack.SandboxTenant, hr, "box-1")
	do(ctx, t, chromedp.Navigate(base+"/operations/"+id))
	until(ctx, t, shows("Retry now"))
	js[bool](ctx, t, `(() => { document.querySelector("input[name=reason]").value = "HR-4802"; document.querySelector("button[formaction$='/retry']").click(); return true })()`)
	until(ctx, t, shows("It is tried again now.")+" || "+shows("its next attempt begins within moments"))
}
