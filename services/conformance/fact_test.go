package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// fact is one thing that a vendor's page documents, or that our notes on the vendor infer.
type fact struct {
	name string
	// source is the page, and the section or field. "notes 7.2" is heading 7.2 of
	// docs/vendors/<vendor>.md, whose table of sources has the pages' addresses.
	source string
	// faults is a script in testdata/faults that is applied first.
	faults string
	// client checks our client; vendor checks the API behind it, by requests without our client. A
	// nil function means that this side has nothing to check.
	client, vendor func(*env) error
	// reads is true if client only reads and needs no object of the sandbox's tenant. Then it also
	// runs against a real vendor.
	reads bool
}

// run verifies each fact of a vendor. They run one after another, since they share a tenant, which
// is reset in between.
func run(t *testing.T, vendor string, facts []fact) {
	b := newEnv(t, vendor)
	if b.real != nil && !b.configured() {
		t.Skip("the tenant does not configure " + vendor)
	}
	for _, f := range facts {
		if b.real != nil && !f.reads {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			row := row{Vendor: vendor, Fact: f.name, Source: f.source}
			row.Client = b.verify(t, "client", f, f.client)
			if b.real == nil {
				row.Sandbox = b.verify(t, "sandbox", f, f.vendor)
			}
			report.add(row)
		})
	}
}

// verify checks one side of a fact.
func (b *env) verify(t *testing.T, side string, f fact, try func(*env) error) status {
	if try == nil {
		return ""
	}
	at := *b
	at.T = t
	if b.real == nil {
		at.reset()
		if f.faults != "" {
			at.apply(f.faults, "", "")
		}
	}
	if err := try(&at); err != nil {
		t.Errorf("%s: %v", side, err)
		return broken
	}
	return passed
}

// Checks of facts: each returns nil if the fact holds.

func wants(err error, kind failure.Kind) error {
	if kind == "" {
		return err
	}
	if !failure.Is(err, kind) {
		return fmt.Errorf("got %v, want %s", err, kind)
	}
	return nil
}

func refusedAs(err error, kind failure.Kind, code string) error {
	if f := failure.Of(err); f == nil || f.Kind != kind || f.Code != code {
		return fmt.Errorf("got %v, want %s with code %s", err, kind, code)
	}
	return nil
}

func same[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %v, want %v", what, got, want)
	}
	return nil
}

func that(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func all(errs ...error) error { return errors.Join(errs...) }

// faultCases are the expected results of a write and a read that a fault script makes fail.
var faultCases = []struct {
	script      string
	write, read failure.Kind
	done        bool // whether the write took effect
	retryAfter  func(time.Duration) bool
}{
	{"latency", "", "", true, nil},
	{"timeout-before", failure.Unknown, failure.Unavailable, false, nil},
	{"timeout-after", failure.Unknown, failure.Unavailable, true, nil},
	{"reset-before", failure.Unknown, failure.Unavailable, false, nil},
	{"reset-after", failure.Unknown, failure.Unavailable, true, nil},
	{"throttled-seconds", failure.Throttled, failure.Throttled, false, func(d time.Duration) bool { return d == 7*time.Second }},
	{"throttled-date", failure.Throttled, failure.Throttled, false, func(d time.Duration) bool { return d > 24*time.Hour }},
	{"throttled-silent", failure.Throttled, failure.Throttled, false, func(d time.Duration) bool { return d == 0 }},
	{"unavailable", failure.Unavailable, failure.Unavailable, false, nil},
	{"unavailable-after", failure.Unavailable, failure.Unavailable, true, nil},
	{"failing", failure.Unknown, failure.Unavailable, false, nil},
	{"gateway", failure.Unknown, failure.Unavailable, true, nil},
}

// creates are the vendors whose write creates an object. After a 503 its effect is unknown, since a
// gateway also answers so after the vendor has acted. A write that may be repeated is Unavailable
// instead.
var creates = []string{"adaxes", "hostedexchange"}

// faults are the facts of each fault script, for one write and one read of a vendor's calls; "" if
// there is none. done reports whether the write took effect.
func faults(vendor, source, writeCall string, write func(*env) error, done func(*env) (bool, error), readCall string, read func(*env) error) (list []fact) {
	for _, s := range faultCases {
		if strings.HasPrefix(s.script, "unavailable") && slices.Contains(creates, vendor) {
			s.write = failure.Unknown
		}
		attempt := func(b *env, call string, do func(*env) error, kind failure.Kind) error {
			b.apply(s.script, vendor, call)
			err := do(b)
			if s.retryAfter != nil && err != nil && !s.retryAfter(failure.Of(err).RetryAfter) {
				return fmt.Errorf("Retry-After is read as %s", failure.Of(err).RetryAfter)
			}
			return wants(err, kind)
		}
		list = append(list, fact{
			name: "fault " + s.script, source: source,
			client: func(b *env) error {
				var errs []error
				if readCall != "" {
					errs = append(errs, attempt(b, readCall, read, s.read))
				}
				if writeCall != "" {
					errs = append(errs, attempt(b, writeCall, write, s.write))
				}
				return all(errs...)
			},
			vendor: func(b *env) error {
				if writeCall == "" {
					return nil
				}
				b.apply(s.script, vendor, writeCall)
				_ = write(b)
				now, err := done(b)
				return all(err, same("carried out", now, s.done))
			},
		})
	}
	return list
}

// tokenFault is the fact that a token which expires during a walk costs one more token request and
// one repeated page. walk calls between after each page.
func tokenFault(vendor, call string, walk func(b *env, between func()) (pages int, err error), raw func(b *env) (answer, error)) fact {
	return fact{
		name: "fault expire-token: in mid-walk another token is fetched, once, and the page asked for again", source: "RFC 6750 section 3.1; notes 2",
		client: func(b *env) error {
			pages, err := walk(b, sync.OnceFunc(func() { b.apply("expire-token", vendor, call) }))
			asked, _ := b.calls(call)
			tokens, _ := b.calls("token")
			return all(err, that(pages > 2, "%d pages", pages), same("calls of "+call, asked, pages+1), same("token requests", tokens, 2))
		},
		vendor: func(b *env) error {
			b.apply("expire-token", vendor, call)
			failed, err := raw(b)
			after, err2 := raw(b)
			return all(answers(failed, err, http.StatusUnauthorized), answers(after, err2, http.StatusOK))
		},
	}
}

// awayFault is the fact that a page which is unavailable is requested again, unless it is the
// first.
func awayFault(vendor, call string, walk func(b *env, between func()) (pages int, err error), raw func(b *env) (answer, error)) fact {
	return fact{
		name: "a later page that is away is asked for again; a first one is not", source: "notes 7 (503); client duties",
		client: func(b *env) error {
			pages, err := walk(b, sync.OnceFunc(func() { b.apply("unavailable", vendor, call) }))
			asked, _ := b.calls(call)
			b.reset()
			b.apply("unavailable", vendor, call)
			_, first := walk(b, nil)
			askedFirst, _ := b.calls(call)
			return all(err, that(pages > 2, "%d pages", pages), same("calls of "+call, asked, pages+1), wants(first, failure.Unavailable), same("calls for a first page", askedFirst, 1))
		},
		vendor: func(b *env) error {
			b.apply("unavailable", vendor, call)
			failed, err := raw(b)
			after, err2 := raw(b)
			return all(answers(failed, err, http.StatusServiceUnavailable), answers(after, err2, http.StatusOK))
		},
	}
}

// echoes is the fact that our errors never repeat a credential, even if the vendor does. read makes
// a call with a client of the given configuration.
func echoes(source string, vendors []string, read func(*env, transport.Config) error) fact {
	return fact{
		name: "fault secret-echo", source: source,
		client: func(b *env) error {
			var errs []error
			for _, vendor := range vendors {
				sent := &recordingTransport{}
				bounds := b.http()
				bounds.RoundTripper = sent
				b.apply("secret-echo", vendor, "")
				err := read(b, bounds)
				shown := failure.Of(err)
				errs = append(errs, that(err != nil, "%s: no error", vendor), that(len(sent.secrets) > 0, "%s: no credential was sent", vendor))
				for _, secret := range sent.secrets {
					if text := fmt.Sprintf("%v %q %q %v", err, shown.Code, shown.Text, shown.Cause); strings.Contains(text, secret) {
						errs = append(errs, fmt.Errorf("%s: the error repeats the credential: %s", vendor, text))
					}
				}
			}
			return all(errs...)
		},
		vendor: func(b *env) error {
			var errs []error
			for _, vendor := range vendors {
				heard := &recordingTransport{}
				bounds := b.http()
				bounds.RoundTripper = heard
				b.apply("secret-echo", vendor, "")
				_ = read(b, bounds)
				errs = append(errs, that(slices.ContainsFunc(heard.secrets, func(s string) bool { return strings.Contains(heard.answers, s) }), "%s repeats nothing", vendor))
			}
			return all(errs...)
		},
	}
}

// recordingTransport records requests and answers.
type recordingTransport struct {
	mu      sync.Mutex
	secrets []string
	calls   []string // method, content type and URL of each request
	body    string   // of the last request
	answers string   // bodies of all answers
}

func (r *recordingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, req.Method+" "+req.Header.Get("Content-Type")+" "+req.URL.String())
	for _, header := range []string{"Authorization", "Adm-Authorization"} {
		if words := strings.Fields(req.Header.Get(header)); len(words) > 0 {
			r.secrets = append(r.secrets, words[len(words)-1])
		}
	}
	if _, password, ok := req.BasicAuth(); ok {
		r.secrets = append(r.secrets, password)
	}
	if strings.Contains(req.Header.Get("Content-Type"), "form-urlencoded") && req.GetBody != nil {
		if body, err := req.GetBody(); err == nil {
			raw, _ := io.ReadAll(body)
			form, _ := url.ParseQuery(string(raw))
			r.secrets = append(r.secrets, form.Get("client_secret"))
		}
	}
	if req.Body != nil {
		raw, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		r.body = string(raw)
		req.Body = io.NopCloser(bytes.NewReader(raw))
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(res.Body)
	r.answers += string(raw)
	res.Body = io.NopCloser(bytes.NewReader(raw))
	return res, err
}

// redirector returns the address of a server that redirects every request, and the number of
// requests that followed.
func (b *env) redirector() (url string, followed *atomic.Int64) {
	elsewhere, followed := b.elsewhere()
	front := httptest.NewServer(http.RedirectHandler(elsewhere, http.StatusTemporaryRedirect))
	b.Cleanup(front.Close)
	return front.URL, followed
}
