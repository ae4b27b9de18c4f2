package nextlink_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/nextlink"
)

const first = "https://api.example.com/smp/exchange/mailboxes?top=2"

func start(t *testing.T, maxPages int) *nextlink.Walk {
	t.Helper()
	u, err := url.Parse(first)
	if err != nil {
		t.Fatal(err)
	}
	return nextlink.Start("enpower", u, maxPages)
}

func TestNextAcceptsTheSameOriginOnly(t *testing.T) {
	t.Parallel()
	const same = "https://api.example.com/smp/exchange/mailboxes?skip=2"
	for link, want := range map[string]string{
		same:                              same,
		"/smp/exchange/mailboxes?skip=2":  same,
		"mailboxes?skip=2":                same,
		"?skip=2":                         same,
		"?skip=2#part":                    same,
		"//api.example.com/smp?skip=2":    "https://api.example.com/smp?skip=2",
		"HTTPS://API.example.com:443/a?b": "https://API.example.com:443/a?b",
		"  " + same + "\n":                same,

		"https://evil.example.net/smp/exchange/mailboxes": "",
		"//evil.example.net/smp":                          "",
		"http://api.example.com/smp":                      "",
		"https://api.example.com:8443/smp":                "",
		"https://api.example.com@evil.example.net/smp":    "",
		"https://user:pw@api.example.com/smp":             "",
		"https://api.example.com.evil.example.net/smp":    "",
		"https:evil":          "",
		"javascript:alert(1)": "",
		"https://%zz":         "",
		"https://api.example.com\x00.evil.example.net/": "",
	} {
		t.Run(link, func(t *testing.T) {
			t.Parallel()
			walk := start(t, 0)
			err := walk.Next(link)
			if want == "" {
				if !failure.Is(err, failure.Internal) {
					t.Fatalf("Next = %v, want an Internal failure", err)
				}
				if got := walk.URL().String(); got != first {
					t.Fatalf("the walk moved to %s", got)
				}
				return
			}
			if err != nil {
				t.Fatalf("Next: %v, cause %v", err, failure.Of(err).Cause)
			}
			if got := walk.URL().String(); got != want {
				t.Fatalf("URL = %s, want %s", got, want)
			}
		})
	}
}

func TestNextNamesTheDanger(t *testing.T) {
	t.Parallel()
	err := start(t, 0).Next("https://evil.example.net/")
	if got := failure.Of(err).Text; !strings.Contains(got, "another host") || strings.Contains(got, "evil") {
		t.Fatalf("Text = %q: it must name the danger, and no server", got)
	}
}

func TestNextEndsLoops(t *testing.T) {
	t.Parallel()
	for name, links := range map[string][]string{
		"to the first page":   {first},
		"to itself":           {"?skip=2", "?skip=2"},
		"over several pages":  {"?skip=2", "?skip=4", "?skip=6", "?skip=4"},
		"another fragment":    {"?skip=2", "?skip=2#again"},
		"relative, absolute":  {"?skip=2", "https://api.example.com/smp/exchange/mailboxes?skip=2"},
		"back over the start": {"?skip=2", "?top=2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			walk := start(t, 0)
			for i, link := range links {
				err := walk.Next(link)
				if last := i == len(links)-1; last != failure.Is(err, failure.Internal) {
					t.Fatalf("link %d: %v", i, err)
				}
			}
		})
	}
}

func TestNextCapsThePages(t *testing.T) {
	t.Parallel()
	walk := start(t, 3)
	for i := range 2 {
		if err := walk.Next(fmt.Sprintf("?skip=%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if walk.Page() != 3 {
		t.Fatalf("Page = %d, want 3", walk.Page())
	}
	if err := walk.Next("?skip=last"); !failure.Is(err, failure.Internal) {
		t.Fatalf("the fourth page: %v", err)
	}
}

func FuzzNextStaysAtHome(f *testing.F) {
	for _, s := range []string{"?a", "//b", "https://api.example.com:443/", `\\evil\x`, "https://api.example.com@evil/", "/%2F/evil"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, link string) {
		u, err := url.Parse(first)
		if err != nil {
			t.Fatal(err)
		}
		walk := nextlink.Start("enpower", u, 0)
		if walk.Next(link) != nil {
			return
		}
		// What net/http would dial, read back from the text that it would be given.
		again, err := url.Parse(walk.URL().String())
		if err != nil || !strings.EqualFold(again.Hostname(), "api.example.com") || again.Scheme != "https" {
			t.Fatalf("%q led to %q (%v)", link, walk.URL(), err)
		}
	})
}

func TestALaterPageIsWaitedFor(t *testing.T) {
	t.Parallel()
	away := &failure.Error{Kind: failure.Unavailable, Text: "away"}
	busy := &failure.Error{Kind: failure.Throttled, Text: "busy", RetryAfter: 20 * time.Second}
	for name, c := range map[string]struct {
		page    int
		answers []error // the last one again and again
		asked   int
		waited  time.Duration // at least
		fails   bool
	}{
		"comes back":         {2, []error{away, busy, nil}, 3, 20 * time.Second, false},
		"first page":         {1, []error{away, nil}, 1, 0, true},
		"a refusal":          {2, []error{&failure.Error{Kind: failure.Refused}, nil}, 1, 0, true},
		"expired":            {2, []error{&failure.Error{Kind: failure.Unavailable, Cause: nextlink.ErrExpired}, nil}, 1, 0, true},
		"later than we wait": {2, []error{&failure.Error{Kind: failure.Throttled, RetryAfter: time.Hour}, nil}, 1, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := start(t, 0)
				if c.page > 1 {
					if err := w.Next("?skip=2"); err != nil {
						t.Fatal(err)
					}
				}
				asked, began := 0, time.Now()
				err := w.Read(t.Context(), time.Minute, func() error {
					asked++
					return c.answers[min(asked, len(c.answers))-1]
				})
				if (err != nil) != c.fails || asked != c.asked || time.Since(began) < c.waited {
					t.Errorf("%v after %d requests and %s", err, asked, time.Since(began))
				}
			})
		})
	}
}
