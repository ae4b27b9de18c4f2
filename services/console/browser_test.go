package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/console/internal/page"
)

// browse starts a browser that has signed in, and gives it with the console's address. What its
// console says, such as a breach of the Content-Security-Policy, fails the test.
func browse(t *testing.T) (ctx context.Context, base string) {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.WindowSize(1280, 900))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // chromium refuses to run as root with its sandbox
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	do(ctx, t, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
		return err
	}), chromedp.Navigate(running.Endpoints.Console))
	go func() {
		for m, err := range chromedp.Console(ctx) {
			if err != nil {
				return
			}
			if text := fmt.Sprint(m); strings.Contains(text, "Content Security Policy") || strings.Contains(text, "TypeError") || strings.Contains(text, "ReferenceError") {
				t.Errorf("the browser says: %s", text)
			}
		}
	}()
	base, _, _ = strings.Cut(running.Endpoints.Console, "/sign-in")
	return ctx, base
}

func do(ctx context.Context, t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// js evaluates an expression in the page.
func js[T any](ctx context.Context, t *testing.T, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%.80s: %v", expression, err)
	}
	return v
}

// until waits until an expression in the page is true. It says what the page shows if that does not
// come.
func until(ctx context.Context, t *testing.T, expression string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var err error
	for done := false; !done; { // a page that goes takes its poll with it
		done, err = chromedp.Run(ctx, chromedp.Poll[bool](expression))
		done = done || ctx.Err() != nil
	}
	if err != nil {
		shown, _ := chromedp.Run(context.WithoutCancel(ctx), chromedp.Evaluate[string](`document.querySelector("main").innerText`))
		t.Fatalf("did not come true: %s: %v\nthe page shows:\n%.2000s", expression, err, shown)
	}
}

func shows(text string) string { return fmt.Sprintf("document.body.innerText.includes(%q)", text) }

func scheme(name string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
		return err
	})
}

// visits are the pages with what real data each must show.
var visits = []struct {
	name, path string
	shows      []string
	follow     string // a link of the page, by a selector: it leads to what is visited
}{
	{"overview", "/", []string{"Needs a person", "adaxes refused HTTP 403", "contoso", "dead letters"}, ""},
	{"operations", "/operations", []string{"Anna Berg", "Refused Dietz", "waiting", "rejected", sentinel}, ""},
	{"operations-ticket", "/operations?q=" + ticket, []string{"Named by", "Ben Costa"}, ""},
	{"operations-text", "/operations?q=refuses+our+credentials", []string{"in any field", "Refused Dietz"}, ""},
	{"operations-waiting", "/operations?state=waiting", []string{"Not Yet"}, ""},
	{"operation-failed", "/operations/" + event.OperationID(stack.SandboxTenant, hr, "joiner-2"), []string{"Refused Dietz", "403"}, ""},
	{"operation-waiting", "/operations/" + event.OperationID(stack.SandboxTenant, hr, "box-1"), []string{"Not Yet", "waiting"}, ""},
	{"people", "/people?q=alex@contoso.com", []string{"Alex Wilber", "Who may send on behalf of alex@contoso.com", "delegate1@contoso.com", "delegation.read"}, ""},
	{"people-empty", "/people", []string{"what is known of one person"}, ""},
	{"inventory", "/inventory", []string{"Adele Vance", "Alex Wilber", "Latest change"}, ""},
	{"inventory-hold", "/inventory?view=hold", []string{"Alex Wilber"}, ""},
	{"delegates", "/delegates", []string{"Megan Bowen"}, ""},
	{"drift", "/delegates?view=drift", []string{"delegate2@contoso.com", "missing"}, ""},
	{"delegates-many", "/delegates?view=many", []string{"delegate1@contoso.com"}, ""},
	{"delegates-remove", "/delegates/remove?tenant=contoso&mailbox=alex@contoso.com&delegate=delegate1@contoso.com", []string{"may no longer send"}, ""},
	{"operation", "/operations/" + event.OperationID(stack.SandboxTenant, hr, "joiner-2"), []string{"It failed at", "adaxes", "Send again", "What belongs together"}, ""},
	{"operation-retry", "/operations/" + event.OperationID(stack.SandboxTenant, hr, "box-1"), []string{"Attempt", "Retry now", "Gives up"}, ""},
	{"attention", "/attention", []string{"Dead letters", "unreadable", "adaxes refused HTTP 403", "Waiting after a failure"}, ""},
	{"attention-group", "/attention/group?kind=failed&domain=directory&type=" + event.TypeObjectCreate + "&vendor=adaxes&failure=refused&code=HTTP+403", []string{"Refused Dietz", "Send again: check"}, ""},
	{"attention-letter", "/attention/letters/1", []string{"Dead letter 1", "unreadable", "its publisher corrects it"}, ""},
	{"attention-run-unknown", "/attention/runs/none", []string{"does not know this run"}, ""},
	{"send", "/send", []string{"What is to be done?", "delegation.change"}, ""},
	{"send-form", "/send?type=directory.businessuser.create&example=1", []string{"newPassword", "The command", "Dry run"}, ""},
	{"system", "/system", []string{"8 of 8", "directory_objects", "COMMANDS", "projection-svc", "exchangeonline", "closed"}, ""},
	{"not-found", "/nothing", []string{"There is no page /nothing."}, ""},
}

// maxPage is the size of a page, in bytes.
const maxPage = 100 << 10

// TestPages opens every page with real data, light and dark, at three widths: it looks for what the
// page must show, audits it, and takes a picture of it into build/console.
func TestPages(t *testing.T) {
	ctx, base := browse(t)
	audit, err := os.ReadFile("testdata/audit.js")
	if err != nil {
		t.Fatal(err)
	}
	pictures := filepath.Join("..", "..", "build", "console")
	if err := os.MkdirAll(pictures, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, v := range visits {
		t.Run(v.name, func(t *testing.T) {
			do(ctx, t, chromedp.Navigate(base+v.path))
			if v.follow != "" {
				until(ctx, t, fmt.Sprintf("document.querySelector(%q) !== null", v.follow))
				do(ctx, t, chromedp.Navigate(base+js[string](ctx, t, fmt.Sprintf("document.querySelector(%q).getAttribute('href')", v.follow))))
			}
			for _, text := range v.shows {
				until(ctx, t, shows(text))
			}
			if js[bool](ctx, t, `document.getElementById("injected") !== null`) {
				t.Error("a text became an element")
			}
			if size := js[int](ctx, t, `document.documentElement.outerHTML.length`); size > maxPage {
				t.Errorf("the page has %d bytes", size)
			}
			for _, colours := range []string{"light", "dark"} {
				for _, width := range []int64{360, 768, 1440} {
					do(ctx, t, chromedp.EmulateViewport(width, 900), scheme(colours))
					for _, fault := range js[[]string](ctx, t, string(audit)) {
						t.Errorf("%s, %d wide: %s", colours, width, fault)
					}
					png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
					if err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(pictures, fmt.Sprintf("%s-%s-%d.png", v.name, colours, width)), png, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// TestEveryPageIsVisited fails where a page has no visit.
func TestEveryPageIsVisited(t *testing.T) {
	for _, p := range pages(page.Source{}, &config{}, nil) {
		found := p.Path == "/attention/runs/{run}" || p.Path == "/attention/group" // a run follows an action; a group is followed to
		for _, v := range visits {
			path, _, _ := strings.Cut(v.path, "?")
			found = found || path == p.Path || strings.HasPrefix(path, strings.TrimRight(strings.Split(p.Path, "{")[0], "/")+"/") && strings.Contains(p.Path, "{")
		}
		if !found {
			t.Errorf("no visit of %s", p.Path)
		}
	}
}

// TestLive has an open page show a new operation by itself, and keep the focus, the selection and
// what is typed.
func TestLive(t *testing.T) {
	ctx, base := browse(t)
	do(ctx, t, chromedp.Navigate(base+"/operations"))
	until(ctx, t, shows("Anna Berg"))
	js[bool](ctx, t, `(() => { const f = document.querySelector("form.filters input[name=q]"); f.focus(); f.value = "half a name"; f.setSelectionRange(2, 6);
  document.querySelector("tr a").dataset.kept = "yes"; window.kept = document.querySelector("tr a").closest("tr").id; return true })()`)
	bus, end, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	cmd, err := client.New(stack.SandboxTenant, "https://hr.example.com/joiners", "live-1", user("Lina Live", 77))
	if err != nil {
		t.Fatal(err)
	}
	cmd.SetSubject("Lina Live")
	if _, err := client.Send(ctx, bus, cmd); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, shows("Lina Live"))
	if got := js[string](ctx, t, `(() => { const f = document.activeElement; return [f.name, f.value, f.selectionStart, f.selectionEnd, document.getElementById(window.kept).querySelector("a").dataset.kept].join() })()`); got != "q,half a name,2,6," {
		// The attribute of the link is the server's: it goes. The row itself must stay.
		t.Errorf("the field has %q", got)
	}
}

// TestTakeADelegateAway does what a help desk is asked for: who may send as a director, and take it
// from one.
func TestTakeADelegateAway(t *testing.T) {
	ctx, base := browse(t)
	do(ctx, t, chromedp.Navigate(base+"/people?q="+url.QueryEscape("megan.bowen@contoso.com")))
	until(ctx, t, shows("Who may send on behalf of megan.bowen@contoso.com"))
	do(ctx, t, chromedp.Navigate(base+"/delegates/remove?tenant=contoso&mailbox=megan.bowen@contoso.com&delegate=alex@contoso.com"))
	do(ctx, t, chromedp.SendKeys(chromedp.CSS("#reason"), "HR-4720"), chromedp.Click(chromedp.CSS("main button.danger")))
	until(ctx, t, shows("is taken away when the operation succeeds"))
	bus, end, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	id := strings.TrimPrefix(js[string](ctx, t, "location.pathname"), "/operations/")
	outcome, err := client.Await(ctx, bus, client.Receipt{OperationID: id, Tenant: "contoso", Domain: event.DomainDelegation, Results: "mailwright.evt.contoso.delegation." + id})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(outcome.Event.Type())
	do(ctx, t, chromedp.Navigate(base+"/people?q=alex@contoso.com"))
	until(ctx, t, `!document.body.innerText.includes("Megan Bowen")`)
}

// TestTakeAnInventory starts an inventory from the page, and sees it through.
func TestTakeAnInventory(t *testing.T) {
	ctx, base := browse(t)
	do(ctx, t, chromedp.Navigate(base+"/inventory"))
	before := js[int](ctx, t, `document.querySelectorAll("#syncs tbody tr").length`)
	do(ctx, t, chromedp.SendKeys(chromedp.CSS("form[action='/inventory/sync'] input[name=reason]"), ticket), chromedp.Click(chromedp.CSS("form[action='/inventory/sync'] button")))
	until(ctx, t, shows("is being taken"))
	until(ctx, t, fmt.Sprintf(`document.querySelectorAll("#syncs tbody tr").length > %d`, before))
}
