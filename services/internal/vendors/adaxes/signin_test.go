package adaxes_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// gate is a vendor with the legacy sign-in: it numbers its tokens and accepts the last one only.
type gate struct {
	mu       sync.Mutex
	sessions int
	tokens   int
	lifetime time.Duration
	says     *string // what it says instead of the token's true end
	ends     time.Time
	revoked  bool
	calls    int
	refused  int
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	switch r.URL.Path {
	case "/restApi/api/authSessions/create":
		var in map[string]string
		if json.Unmarshal(body, &in) != nil || len(in) != 2 || in["username"] != `EXAMPLE\svc` || in["password"] != "hunter2!X" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"message": "hunter2!X is wrong", "code": "forbidden", "innerError": {"code": "invalidCredentials", "attemptsLeft": 1}}`)
			g.sessions++
			return
		}
		g.sessions++
		_, _ = fmt.Fprintf(w, `{"sessionId": "session-%d", "expiresAtUtc": "2026-01-01T00:00:00Z", "totpState": null}`, g.sessions)
	case "/restApi/api/auth":
		if want := fmt.Sprintf(`{"sessionId":"session-%d"}`, g.sessions); string(body) != want {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		g.tokens++
		g.revoked = false
		g.ends = time.Now().Add(g.lifetime)
		end := g.ends.UTC().Format("2006-01-02T15:04:05.0000000Z")
		if g.says != nil {
			end = *g.says
		}
		_, _ = fmt.Fprintf(w, `{"token": "token-%d", "expiresAtUtc": %q}`, g.tokens, end)
	default:
		g.calls++
		if g.revoked || time.Now().After(g.ends) || r.Header.Get("Adm-Authorization") != fmt.Sprintf("token-%d", g.tokens) {
			g.refused++
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, johnObject)
	}
}

func (g *gate) counts() (sessions, tokens, calls int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sessions, g.tokens, g.calls
}

func newSignedIn(t *testing.T, g *gate, password string) *adaxes.Client {
	t.Helper()
	v := newVendor(t, g.ServeHTTP)
	c, err := adaxes.New(adaxes.Config{BaseURL: v.URL, Username: `EXAMPLE\svc`, Password: secret.New(password)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newClockedClient returns a client that reaches the gate without a network, so that a test may own
// the clock.
func newClockedClient(t *testing.T, g *gate, password string) *adaxes.Client {
	t.Helper()
	return newRoutedClient(t, g.ServeHTTP, password)
}

// newRoutedClient returns a client that reaches a handler without a network.
func newRoutedClient(t *testing.T, vendor http.HandlerFunc, password string) *adaxes.Client {
	t.Helper()
	c, err := adaxes.New(adaxes.Config{BaseURL: "http://vendor.test/restApi", Username: `EXAMPLE\svc`, Password: secret.New(password), HTTP: transport.Config{
		RoundTripper: roundTripper(func(r *http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			vendor(w, r)
			return w.Result(), nil
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSignInOnceForAll(t *testing.T) {
	t.Parallel()
	g := &gate{lifetime: time.Hour}
	c := newSignedIn(t, g, "hunter2!X")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := c.GetObject(t.Context(), john); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if sessions, tokens, calls := g.counts(); sessions != 1 || tokens != 1 || calls != 20 {
		t.Errorf("%d sessions, %d tokens, %d calls", sessions, tokens, calls)
	}
	wantHidden(t, []string{"hunter2!X", "token-1"}, c, *c)
}

// TestSignInAgainBeforeTheTokenEnds runs on a clock of its own.
func TestSignInAgainBeforeTheTokenEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{lifetime: 10 * time.Minute}
		c := newClockedClient(t, g, "hunter2!X")
		steps := []struct {
			wait   time.Duration
			tokens int
		}{{0, 1}, {8*time.Minute + 59*time.Second, 1}, {2 * time.Second, 2}, {8 * time.Minute, 2}, {2 * time.Minute, 3}, {time.Hour, 4}}
		for _, step := range steps {
			time.Sleep(step.wait)
			if _, err := c.GetObject(t.Context(), john); err != nil {
				t.Fatal(err)
			}
			if _, tokens, _ := g.counts(); tokens != step.tokens {
				t.Errorf("after %v more: %d tokens, want %d", step.wait, tokens, step.tokens)
			}
		}
		if g.refused != 0 {
			t.Errorf("%d calls met an ended token", g.refused)
		}
	})
}

// TestTokenLifetimeIsReadTolerantly: a vendor that does not say, or whose clock is behind, gets the
// documented default of 30 minutes.
func TestTokenLifetimeIsReadTolerantly(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		end    string // given the bubble's start, 2000-01-01T00:00:00Z
		wanted time.Duration
	}{
		"zulu":      {"2000-01-01T01:00:00Z", time.Hour},
		"offset":    {"2000-01-01T02:00:00+01:00", time.Hour},
		"fractions": {"2000-01-01T01:00:00.1234567Z", time.Hour},
		"no zone":   {"2000-01-01T01:00:00.1234567", time.Hour},
		"past":      {"1999-12-31T23:59:00Z", 30 * time.Minute},
		"missing":   {"", 30 * time.Minute},
		"odd":       {"tomorrow", 30 * time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := &gate{lifetime: 24 * time.Hour, says: &tt.end}
				c := newClockedClient(t, g, "hunter2!X")
				for _, step := range []struct {
					wait   time.Duration
					tokens int
				}{{0, 1}, {tt.wanted*9/10 - time.Second, 1}, {2 * time.Second, 2}} {
					time.Sleep(step.wait)
					if _, err := c.GetObject(t.Context(), john); err != nil {
						t.Fatal(err)
					}
					if _, tokens, _ := g.counts(); tokens != step.tokens {
						t.Errorf("after %v more: %d tokens, want %d", step.wait, tokens, step.tokens)
					}
				}
			})
		})
	}
}

func TestSignInAgainOnceAfter401(t *testing.T) {
	t.Parallel()
	g := &gate{lifetime: time.Hour}
	c := newSignedIn(t, g, "hunter2!X")
	if _, err := c.GetObject(t.Context(), john); err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	g.revoked = true
	g.mu.Unlock()
	if _, err := c.GetObject(t.Context(), john); err != nil {
		t.Fatal(err)
	}
	if _, tokens, calls := g.counts(); tokens != 2 || calls != 3 {
		t.Errorf("%d tokens, %d calls", tokens, calls)
	}
}

// TestSignInAgainOnceAfter403: a 403 with an innerError says that nobody is signed in; one without
// is about rights.
func TestSignInAgainOnceAfter403(t *testing.T) {
	t.Parallel()
	for inner, want := range map[string]int{`,"innerError":{"code":"accountLockedOut"}`: 2, `,"innerError":{"code":"accessDenied"}`: 1, "": 1} {
		g := &gate{lifetime: time.Hour}
		calls := 0
		v := newVendor(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/directoryObjects") {
				if calls++; calls == 1 {
					w.WriteHeader(http.StatusForbidden)
					_, _ = io.WriteString(w, `{"message":"m","code":"forbidden"`+inner+`}`)
					return
				}
			}
			g.ServeHTTP(w, r)
		})
		c, err := adaxes.New(adaxes.Config{BaseURL: v.URL, Username: `EXAMPLE\svc`, Password: secret.New("hunter2!X")})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.GetObject(t.Context(), john)
		if _, tokens, _ := g.counts(); tokens != want || (err == nil) != (want == 2) {
			t.Errorf("%s: %d tokens, %v", inner, tokens, err)
		}
	}
}

func TestAccountTokenIsNotSentTwiceAfter401(t *testing.T) {
	t.Parallel()
	v := newVendor(t, says(401, ""))
	if _, err := newClient(t, v.URL).GetObject(t.Context(), john); !failure.Is(err, failure.Unavailable) {
		t.Error(err)
	}
	if n := len(v.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestRefusedSignInRests: the vendor locks an account after a few wrong passwords, and the password
// may be corrected at any time.
func TestRefusedSignInRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		c := newClockedClient(t, g, "wrong!W0rd")
		for asked, rest := range []time.Duration{5 * time.Second, 20 * time.Second, 80 * time.Second, 5 * time.Minute, 5 * time.Minute} {
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					_, err := c.CreateObject(t.Context(), pageObjects[0].object)
					if e := failure.Of(err); e.Kind != failure.Unavailable || e.Code != "invalidCredentials" || !strings.HasPrefix(e.Text, "sign-in: ") || e.RetryAfter != rest {
						t.Errorf("%v after %v, want %v", err, failure.Of(err).RetryAfter, rest)
					}
					wantHidden(t, []string{"hunter2!X", "wrong!W0rd"}, err, c)
				})
			}
			wg.Wait()
			if sessions, tokens, calls := g.counts(); sessions != asked+1 || tokens != 0 || calls != 0 {
				t.Errorf("%d sessions, %d tokens, %d calls; want %d sessions", sessions, tokens, calls, asked+1)
			}
			time.Sleep(rest - time.Millisecond)
			_, _ = c.GetObject(t.Context(), john)
			if sessions, _, _ := g.counts(); sessions != asked+1 {
				t.Errorf("asked again within the rest of %v", rest)
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
}

// TestSignInFailures: no fault of the sign-in is an answer to the command, and the vendor is asked
// again soon.
func TestSignInFailures(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int
		body   string
		want   failure.Kind
	}{
		"not there":       {404, `{"message": "m", "code": "notFound"}`, failure.Unavailable},
		"no API":          {404, "<html>", failure.Unavailable},
		"wrong":           {400, `{"message": "m", "code": "badRequest"}`, failure.Unavailable},
		"forbidden":       {403, `{"message": "m", "code": "forbidden"}`, failure.Unavailable},
		"no access":       {403, `{"message": "m", "code": "forbidden", "innerError": {"code": "accessDenied"}}`, failure.Unavailable},
		"forbidden page":  {403, "<html>", failure.Unavailable},
		"method":          {405, `{"message": "m", "code": "methodNotAllowed"}`, failure.Unavailable},
		"conflict":        {409, `{"message": "m", "code": "conflict"}`, failure.Unavailable},
		"too large":       {413, "", failure.Unavailable},
		"failed":          {500, "", failure.Unavailable},
		"away":            {503, "", failure.Unavailable},
		"throttled":       {429, "", failure.Throttled},
		"no JSON":         {200, "<html>", failure.Unavailable},
		"empty":           {200, "{}", failure.Unavailable},
		"wrong type":      {200, `{"sessionId": 5}`, failure.Unavailable},
		"redirect":        {302, "", failure.Unavailable},
		"session, no tok": {200, `{"sessionId": "s"}`, failure.Unavailable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g, struck := &gate{lifetime: time.Hour}, true
				c := newRoutedClient(t, func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Adm-Authorization") != "" && strings.Contains(r.URL.Path, "auth") {
						t.Error("a sign-in needs no token")
					}
					if struck {
						says(tt.status, tt.body)(w, r)
						return
					}
					g.ServeHTTP(w, r)
				}, "hunter2!X")
				if _, err := c.CreateObject(t.Context(), pageObjects[0].object); !failure.Is(err, tt.want) || !strings.Contains(err.Error(), "sign-in: ") {
					t.Error(err)
				}
				struck = false
				time.Sleep(3 * time.Second)
				if _, err := c.GetObject(t.Context(), john); err != nil {
					t.Errorf("three seconds later: %v", err)
				}
			})
		})
	}
}

// TestOneFailedSignInServesAllWhoWait: an outage of the sign-in does not cost a request a command.
func TestOneFailedSignInServesAllWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := newRoutedClient(t, func(w http.ResponseWriter, r *http.Request) {
			asked++
			says(400, `{"message": "m", "code": "badRequest"}`)(w, r)
		}, "hunter2!X")
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { _, _ = c.GetObject(t.Context(), john) })
		}
		wg.Wait()
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

func TestWaitingForASignInObeysTheContext(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	v := newVendor(t, func(http.ResponseWriter, *http.Request) {
		close(arrived) // a second sign-in would panic here
		<-release
	})
	c, err := adaxes.New(adaxes.Config{BaseURL: v.URL, Username: "u", Password: secret.New("p")})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = c.GetObject(t.Context(), john) })
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.CreateObject(ctx, pageObjects[0].object); !failure.Is(err, failure.Unavailable) {
		t.Error(err)
	}
	close(release)
	wg.Wait()
}
