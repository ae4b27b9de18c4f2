package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
)

// TestOutages takes NATS, Postgres and the console away while a page is open. Each time the
// page says so and keeps what it showed; when they are back it goes on by itself.
func TestOutages(t *testing.T) {
	ctx, base := browse(t)
	restart := func(part string) {
		if err := running.Restart(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	for _, part := range []struct{ name, says string }{
		{stack.Postgres, "Postgres does not answer"}, {stack.NATS, "NATS does not answer"}, {stack.Console, "The console does not answer"},
	} {
		t.Run(part.name, func(t *testing.T) {
			do(ctx, t, chromedp.Navigate(base+"/operations"))
			until(ctx, t, shows("Anna Berg"))
			if err := running.Kill(part.name); err != nil {
				t.Fatal(err)
			}
			back := false
			defer func() {
				if !back {
					restart(part.name)
				}
			}()
			until(ctx, t, shows(part.says))
			if !js[bool](ctx, t, shows("Anna Berg")) {
				t.Error("what was known is gone")
			}
			if part.name == stack.Postgres { // another who comes now sees what was known, and that it is old
				do(ctx, t, chromedp.Navigate(base+"/operations"))
				until(ctx, t, shows("Anna Berg"))
				until(ctx, t, `document.getElementById("stale").textContent !== ""`)
			}
			if part.name == stack.NATS { // nothing is said to be sent that is not
				do(ctx, t, chromedp.Navigate(base+"/inventory"))
				do(ctx, t, chromedp.SendKeys(chromedp.CSS("form[action='/inventory/sync'] input[name=reason]"), ticket),
					chromedp.Click(chromedp.CSS("form[action='/inventory/sync'] button")))
				until(ctx, t, shows("The command was not sent"))
				do(ctx, t, chromedp.Navigate(base+"/operations"))
			}
			restart(part.name)
			back = true
			until(ctx, t, `document.getElementById("problems").textContent === ""`)
			until(ctx, t, `document.getElementById("stale").textContent === ""`)
		})
	}
}

// TestAFormSentTwiceIsOneCommand sends the same form again, as a browser does after "back": the
// second leads to the operation of the first.
func TestAFormSentTwiceIsOneCommand(t *testing.T) {
	jar := &http.Client{Jar: newJar(t), Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	base, _, _ := strings.Cut(running.Endpoints.Console, "/sign-in")
	_, _ = get(t, jar, running.Endpoints.Console)
	var led []string
	for range 2 {
		res, err := jar.PostForm(base+"/delegates/remove", map[string][]string{
			"tenant": {"contoso"}, "mailbox": {"sales@contoso.com"}, "delegate": {"delegate4@contoso.com"}, "id": {"twice-1"}, "reason": {"HR-4799"},
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		led = append(led, res.Header.Get("Location"))
	}
	if led[0] != led[1] || !strings.HasPrefix(led[0], "/operations/") {
		t.Errorf("led to %q", led)
	}
}
