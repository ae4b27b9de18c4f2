package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/oauth"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

const hush = "hush-client-secret"

// handlerFunc answers in memory, so that a test can run on a fake clock.
type handlerFunc func(w http.ResponseWriter, req *http.Request)

func (f handlerFunc) RoundTrip(req *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	f(rec, req)
	return rec.Result(), nil
}

func config(rt http.RoundTripper) oauth.Config {
	return oauth.Config{
		Vendor:       "enpower",
		TokenURL:     "https://identity.example.com/connect/token",
		ClientID:     "app",
		ClientSecret: secret.New(hush),
		Scope:        "enpower.data.read.all",
		HTTP:         transport.Config{RoundTripper: rt},
	}
}

func source(t *testing.T, cfg oauth.Config) *oauth.Source {
	t.Helper()
	s, err := oauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func token(t *testing.T, s *oauth.Source) string {
	t.Helper()
	v, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v.Reveal()
}

// counting issues token-1, token-2, … with the given life in seconds.
func counting(count *atomic.Int64, life int) handlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":%d,"token_type":"Bearer"}`, count.Add(1), life)
	}
}

func TestSecretRequestIsTheDocumentedForm(t *testing.T) {
	t.Parallel()
	var form url.Values
	var req *http.Request
	s := source(t, config(handlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		req, form = r, r.PostForm
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"token_type":"Bearer","expires_in":3600,"ext_expires_in":3600,"access_token":"T"}`))
	})))
	if got := token(t, s); got != "T" {
		t.Fatalf("token %q", got)
	}
	want := url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {hush}, "scope": {"enpower.data.read.all"}}
	if d := cmp.Diff(want, form); d != "" {
		t.Error(d)
	}
	if req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || req.Header.Get("Authorization") != "" {
		t.Errorf("%s %v", req.Method, req.Header)
	}
}

func TestTokenIsCachedAndRenewedBeforeExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var count atomic.Int64
		s := source(t, config(counting(&count, 3600)))
		for _, step := range []struct {
			wait time.Duration
			want string
		}{
			{0, "token-1"},
			{54 * time.Minute, "token-1"},
			{time.Minute + time.Second, "token-2"}, // 5 minutes before expiry
			{54 * time.Minute, "token-2"},
		} {
			time.Sleep(step.wait) // the bubble's clock
			if got := token(t, s); got != step.want {
				t.Fatalf("after %s more: %s, want %s", step.wait, got, step.want)
			}
		}
	})
}

func TestShortLivesAreUsedToo(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		life  int
		valid time.Duration
	}{
		"a minute":   {60, 44 * time.Second},
		"not stated": {0, 7 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var count atomic.Int64
				s := source(t, config(counting(&count, tc.life)))
				token(t, s)
				time.Sleep(tc.valid)
				if got := token(t, s); got != "token-1" {
					t.Fatalf("%s after %s", got, tc.valid)
				}
				time.Sleep(tc.valid)
				if got := token(t, s); got != "token-2" {
					t.Fatalf("%s after twice %s", got, tc.valid)
				}
			})
		})
	}
}

func TestOneRequestAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var count atomic.Int64
		answer := counting(&count, 3600)
		s := source(t, config(handlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			answer(w, r)
		})))
		var wait sync.WaitGroup
		for range 50 {
			wait.Go(func() {
				if got := token(t, s); got != "token-1" {
					t.Errorf("got %s", got)
				}
			})
		}
		wait.Wait()
		if count.Load() != 1 {
			t.Fatalf("%d requests", count.Load())
		}
	})
}

func TestWaiterOutlivesACancelledFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var count atomic.Int64
		answer := counting(&count, 3600)
		s := source(t, config(handlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(10 * time.Second)
			answer(w, r)
		})))
		brief, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() { _, _ = s.Token(t.Context()) }()
		synctest.Wait()
		_, err := s.Token(brief)
		if !failure.Is(err, failure.Unavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a waiter whose time is over: %v", err)
		}
		if got := token(t, s); got != "token-1" {
			t.Fatalf("a patient waiter: %s", got)
		}
	})
}

func TestInvalidateForgetsOnlyTheRejectedToken(t *testing.T) {
	t.Parallel()
	var count atomic.Int64
	s := source(t, config(counting(&count, 3600)))
	first := token(t, s)
	s.Invalidate(secret.New(first))
	if got := token(t, s); got != "token-2" {
		t.Fatalf("after Invalidate: %s", got)
	}
	s.Invalidate(secret.New(first)) // a late answer to a call that still had the old one
	if got := token(t, s); got != "token-2" {
		t.Fatalf("after a late Invalidate: %s", got)
	}
}

func TestDoRepeatsOnceAfter401(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		accepts string
		status  int
		sent    []string
	}{
		"the token had aged":  {"Bearer token-2", 200, []string{"Bearer token-1", "Bearer token-2"}},
		"we are not let in":   {"none", 401, []string{"Bearer token-1", "Bearer token-2"}},
		"all well from begin": {"Bearer token-1", 200, []string{"Bearer token-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var count atomic.Int64
			s := source(t, config(counting(&count, 3600)))
			var sent []string
			api := transport.New(transport.Config{RoundTripper: handlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sent = append(sent, r.Header.Get("Authorization"))
				if r.Header.Get("Authorization") != tc.accepts {
					w.WriteHeader(http.StatusUnauthorized)
				}
			})})
			res, err := s.Do(t.Context(), api, transport.Write, func() (*http.Request, error) {
				return transport.JSON(http.MethodPost, "https://api.example.com/", []byte("{}"))
			})
			if err != nil || res.Status != tc.status {
				t.Fatalf("%+v, %v", res, err)
			}
			if d := cmp.Diff(tc.sent, sent); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		header map[string]string
		kind   failure.Kind
		code   string
	}{
		"wrong secret":          {400, `{"error":"invalid_client"}`, nil, failure.Unavailable, "invalid_client"},
		"wrong secret, 401":     {401, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}`, nil, failure.Unavailable, "invalid_client"},
		"scope":                 {400, `{"error":"invalid_scope"}`, nil, failure.Unavailable, "invalid_scope"},
		"grant":                 {400, `{"error":"unsupported_grant_type"}`, nil, failure.Unavailable, "unsupported_grant_type"},
		"outage by code":        {400, `{"error":"temporarily_unavailable"}`, nil, failure.Unavailable, "temporarily_unavailable"},
		"error with 200":        {200, `{"error":"invalid_client","access_token":"` + hush + `"}`, nil, failure.Unavailable, "invalid_client"},
		"unknown code":          {400, `{"error":"` + hush + `"}`, nil, failure.Unavailable, "HTTP 400"},
		"throttled":             {429, `{"error":"invalid_request"}`, map[string]string{"Retry-After": "7"}, failure.Throttled, "HTTP 429"},
		"down":                  {503, `<html>` + hush, nil, failure.Unavailable, "HTTP 503"},
		"crashed":               {500, "", nil, failure.Unavailable, "HTTP 500"},
		"wrong URL":             {404, "not here", nil, failure.Unavailable, "HTTP 404"},
		"bad request, no OAuth": {400, `{"error":{"code":"BadRequest"}}`, nil, failure.Unavailable, "HTTP 400"},
		"forbidden, a page":     {403, `<html>` + hush, nil, failure.Unavailable, "HTTP 403"},
		"not allowed":           {405, "", nil, failure.Unavailable, "HTTP 405"},
		"conflict":              {409, `{"error":"` + hush + `"}`, nil, failure.Unavailable, "HTTP 409"},
		"accepted":              {202, "", nil, failure.Unavailable, ""},
		"no token":              {200, `{"token_type":"Bearer"}`, nil, failure.Unavailable, ""},
		"not JSON":              {200, `<html>` + hush, nil, failure.Unavailable, ""},
		"token of another type": {200, `{"access_token":["` + hush + `"]}`, nil, failure.Unavailable, ""},
		"too large":             {200, strings.Repeat(" ", 2<<20), nil, failure.Unavailable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := source(t, config(handlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				for k, v := range tc.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			})))
			_, err := s.Token(t.Context())
			f := failure.Of(err)
			if f == nil || f.Kind != tc.kind || f.Code != tc.code || f.Vendor != "enpower" {
				t.Fatalf("%#v, want %s with code %q", f, tc.kind, tc.code)
			}
			if tc.header != nil && f.RetryAfter != 7*time.Second {
				t.Errorf("RetryAfter = %s", f.RetryAfter)
			}
			if all := fmt.Sprintf("%v %+v %v %+v", err, err, f.Cause, f.Cause); strings.Contains(all, hush) {
				t.Errorf("the error gives the secret away: %s", all)
			}
		})
	}
}

// TestOneBadAnswerIsAskedAgain: whatever the token endpoint answers, the next call asks it anew,
// but for a short rest where the endpoint says that the credentials are wrong.
func TestOneBadAnswerIsAskedAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		rest   time.Duration
	}{
		"bad request":        {400, `{"error":"invalid_request"}`, 0},
		"forbidden, a page":  {403, "<html>", 0},
		"not found":          {404, `{"error":"not_found"}`, 0},
		"not allowed":        {405, "", 0},
		"conflict":           {409, `{"error":"conflict"}`, 0},
		"redirect":           {307, "", 0},
		"no token":           {200, "{}", 0},
		"a page":             {200, "<html>", 0},
		"wrong secret":       {401, `{"error":"invalid_client"}`, 10 * time.Second},
		"unknown app":        {400, `{"error":"unauthorized_client"}`, 10 * time.Second},
		"wrong secret, busy": {503, `{"error":"invalid_client"}`, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var asked, issued atomic.Int64
				well := counting(&issued, 3600)
				s := source(t, config(handlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if asked.Add(1) > 1 {
						well(w, r)
						return
					}
					w.Header().Set("Content-Type", "application/json")
					w.Header().Set("Location", "https://elsewhere.example.com/%zz")
					w.WriteHeader(tc.status)
					_, _ = w.Write([]byte(tc.body))
				})))
				_, err := s.Token(t.Context())
				if f := failure.Of(err); f.Kind != failure.Unavailable || f.RetryAfter != tc.rest {
					t.Fatalf("%v, again in %s", f, f.RetryAfter)
				}
				if tc.rest > 0 {
					time.Sleep(4 * time.Second)
					_, err := s.Token(t.Context())
					if f := failure.Of(err); f.Kind != failure.Unavailable || f.RetryAfter != tc.rest-4*time.Second || asked.Load() != 1 {
						t.Fatalf("%v, again in %s, %d requests", f, f.RetryAfter, asked.Load())
					}
					time.Sleep(tc.rest)
				}
				if got := token(t, s); got != "token-1" || asked.Load() != 2 {
					t.Errorf("%s after %d requests", got, asked.Load())
				}
			})
		})
	}
}

// TestOneProbeForAll: after the rest, one of the waiting calls asks; its refusal is the others'
// too.
func TestOneProbeForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		s := source(t, config(handlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			time.Sleep(time.Second)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error":"invalid_client"}`))
		})))
		for round := range int64(3) {
			var wait sync.WaitGroup
			for range 20 {
				wait.Go(func() {
					if _, err := s.Token(t.Context()); !failure.Is(err, failure.Unavailable) {
						t.Errorf("%v", err)
					}
				})
			}
			wait.Wait()
			if asked.Load() != round+1 {
				t.Fatalf("%d requests after %d rounds", asked.Load(), round+1)
			}
			time.Sleep(11 * time.Second)
		}
	})
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var reached atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(other.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(other.URL, status))
		t.Cleanup(server.Close)
		cfg := config(nil)
		cfg.TokenURL = server.URL
		_, err := source(t, cfg).Token(t.Context())
		if !failure.Is(err, failure.Unavailable) {
			t.Errorf("%d: %v", status, err)
		}
	}
	if reached.Load() {
		t.Error("the secret went to where the redirect points")
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(nil)
	server.Close()
	cfg := config(nil)
	cfg.TokenURL = server.URL
	if _, err := source(t, cfg).Token(t.Context()); !failure.Is(err, failure.Unavailable) {
		t.Fatalf("%v", err)
	}
}

func TestNewNamesTheFields(t *testing.T) {
	t.Parallel()
	_, err := oauth.New(oauth.Config{TokenURL: "https://u:hunter2@example.com"})
	for _, field := range []string{"TokenURL", "ClientID", "ClientSecret", "Scope"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
	if strings.Contains(fmt.Sprint(err), "hunter2") {
		t.Errorf("%v", err)
	}
}

func TestNothingPrintsSecretOrToken(t *testing.T) {
	t.Parallel()
	cfg := config(handlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token":"hush-token","expires_in":3600}`))
	}))
	s := source(t, cfg)
	v, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []any{s, cfg, &cfg, v, struct{ inner *oauth.Source }{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			if got := fmt.Sprintf(verb, x); strings.Contains(got, "hush") {
				t.Errorf("%s of %T: %s", verb, x, got)
			}
		}
	}
}
