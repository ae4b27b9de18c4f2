// Package transport is the HTTP underneath the vendor clients: bounded in time and size, deaf to
// redirects and to its own credentials when a vendor repeats them, and exact about one question, on
// which the safety of every create rests: may the request have been carried out?
package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/lease"
	"github.com/mailwright/mailwright/services/internal/metrics"
)

// DefaultMaxBody bounds a vendor's answer, in bytes. A page of 1,000 EnPower mailboxes is about 3
// MiB.
const DefaultMaxBody = 32 << 20

// Config shapes a Client. The zero value of each field takes the default.
type Config struct {
	// Vendor names the API in errors, as [failure.Error.Vendor].
	Vendor string
	// Timeout bounds one exchange, from dialling to the last byte. Default 60 s.
	Timeout time.Duration
	// MaxBody bounds the answer's body in bytes. Default [DefaultMaxBody].
	MaxBody int64
	// Limits bound the rate of requests, and give a vendor that is down a rest.
	Limits Limits
	// Secrets are the client's credentials; see [Client.Do].
	Secrets []secret.String
	// RootCAs are the authorities that may sign the vendor's certificate; nil: the system's. It has
	// no effect with a RoundTripper.
	RootCAs *x509.CertPool
	// RoundTripper is the HTTP stack; default a pooled http.Transport. Another one must run the
	// hooks of package httptrace as that does: else a request may leave after its lease.
	RoundTripper http.RoundTripper
}

// Client sends one vendor's requests.
type Client struct {
	cfg  Config
	gate *Limiter
}

// maxIdleConns is how many connections to a vendor are kept for the next calls. With fewer than the
// calls that may be under way (256 in slots and 256 detached), a burst closes and dials them again:
// each costs a TLS handshake. Over HTTP/2 calls share few connections, so it does not matter there.
const maxIdleConns = 512

// New returns a Client.
func New(cfg Config) *Client {
	if cfg.Timeout == 0 {
		cfg.Timeout = 60 * time.Second
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	if cfg.RoundTripper == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost, t.MaxIdleConns = maxIdleConns, 0
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
		cfg.RoundTripper = t
	}
	return &Client{cfg: cfg, gate: NewLimiter(cfg.Vendor, cfg.Limits)}
}

// Response is a whole answer, its body already read.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Effect says what a request does at the vendor, and so what a lost answer means.
type Effect bool

const (
	// Read is a request whose lost answer changes nothing: Unavailable.
	Read Effect = false
	// Write is a request whose lost answer leaves the outcome open: Unknown.
	Write Effect = true
)

// Do sends a request and reads the whole answer, whatever its status.
//
// Its errors: Throttled or Unavailable if [Limits] kept the request back; Unavailable if it
// certainly did not reach the vendor, or was a Read; Unknown if a Write was sent and no complete
// answer came back; Internal if the answer is too large to a Read. A cancelled ctx counts like
// any other lost answer. Where the lease of ctx is lost, nothing is sent: Unavailable, with the
// cause [lease.ErrLost].
//
// Credentials that an answer repeats are removed from it, since codes, links and ids of vendors are
// published. They are those of [Config.Secrets], of the request's authorisation, and the argument
// secrets, which are those of the body.
func (c *Client) Do(ctx context.Context, effect Effect, req *http.Request, secrets ...secret.String) (res *Response, err error) {
	ctx, end := c.span(ctx, req)
	began := time.Now()
	res, err = c.exchange(ctx, effect, req, secrets...)
	c.count(callOf(ctx, metrics.Other), time.Since(began), res, err)
	end(res, err)
	return res, err
}

// exchange is Do without its measurements.
func (c *Client) exchange(ctx context.Context, effect Effect, req *http.Request, secrets ...secret.String) (res *Response, err error) {
	done, err := c.gate.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	if lease.Check(ctx) != nil {
		done(context.Canceled) // tells nothing of the vendor
		return nil, c.unleased()
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	// Connected is the last moment at which nothing can have been sent.
	var connected atomic.Bool
	trace := httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	body, err := bodyOf(req)
	if err != nil {
		done(context.Canceled)
		return nil, &failure.Error{Kind: failure.Internal, Vendor: c.cfg.Vendor, Cause: err, Text: "the request's body cannot be read"}
	}
	var keptBack atomic.Bool
	if body != nil {
		// The hook runs once there is a connection, just before the body goes: no dialling and no
		// waiting lies between the check and the wire. A vendor can do nothing with a request whose
		// body lacks.
		trace.WroteHeaders = func() {
			if lease.Check(ctx) != nil {
				keptBack.Store(true)
				body.Reset(nil)
				cancel()
			}
		}
	}
	if effect == Write {
		// net/http silently repeats a request on a stale connection if it believes it safe to.
		// Without GetBody it cannot repeat one with a body.
		req.GetBody = nil
	}
	req = req.WithContext(httptrace.WithClientTrace(ctx, &trace))
	// Not an http.Client: it would read where a redirect points, and quote that and the request's
	// URL in its errors.
	answer, err := c.cfg.RoundTripper.RoundTrip(req)
	if keptBack.Load() {
		if err == nil {
			_ = answer.Body.Close() // an answer to half a request
		}
		done(context.Canceled) // tells nothing of the vendor
		return nil, c.unleased()
	}
	if err != nil {
		done(err)
		return nil, c.lost(effect, connected.Load(), err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, c.cfg.MaxBody+1))
	done(answered(answer.StatusCode, err))
	if err != nil {
		return nil, c.lost(effect, true, err)
	}
	if int64(len(text)) > c.cfg.MaxBody {
		return nil, c.tooLarge(effect)
	}
	return withoutSecrets(&Response{Status: answer.StatusCode, Header: answer.Header, Body: text},
		slices.Concat(c.cfg.Secrets, authorisation(req.Header), secrets)), nil
}

// bodyOf gives the reader of a request's body, which lies in memory; nil where there is none. It
// replaces the request's reader by one of a type that net/http knows: behind any other it sends the
// headers in a packet of their own.
func bodyOf(req *http.Request) (*bytes.Reader, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	whole, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	body := bytes.NewReader(whole)
	req.Body = io.NopCloser(body)
	return body, nil
}

// unleased is the failure that a request was kept back, since the lease is lost.
func (c *Client) unleased() error {
	return &failure.Error{
		Kind: failure.Unavailable, Vendor: c.cfg.Vendor, Cause: lease.ErrLost,
		Text: "nothing was sent: another replica may be at work on the command",
	}
}

// authorisation gives the credentials in a request's headers.
func authorisation(h http.Header) (secrets []secret.String) {
	for _, name := range []string{"Authorization", "Adm-Authorization"} {
		if words := strings.Fields(h.Get(name)); len(words) > 0 {
			secrets = append(secrets, secret.New(words[len(words)-1])) // after Bearer or Basic
		}
	}
	return secrets
}

func withoutSecrets(res *Response, secrets []secret.String) *Response {
	res.Body = secret.HideBytes(res.Body, secrets...)
	if !anyIn(res.Header, secrets) {
		return res
	}
	for _, values := range res.Header {
		for i := range values {
			values[i] = secret.Hide(values[i], secrets...)
		}
	}
	return res
}

// anyIn reports whether headers may hold a secret, by one search through all of them.
func anyIn(h http.Header, secrets []secret.String) bool {
	all := make([]byte, 0, 512)
	for _, values := range h {
		for _, v := range values {
			all = append(append(all, v...), '\n')
		}
	}
	return !bytes.Equal(secret.HideBytes(all, secrets...), all)
}

// lost turns a missing answer into the failure that it means.
func (c *Client) lost(effect Effect, sent bool, cause error) error {
	e := &failure.Error{Kind: failure.Unavailable, Vendor: c.cfg.Vendor, Cause: cause, Text: "the vendor could not be reached: " + reason(cause)}
	if sent {
		e.Text = "the vendor's answer was lost: " + reason(cause)
		if effect == Write {
			e.Kind = failure.Unknown
		}
	}
	return e
}

// tooLarge is the failure of an answer beyond MaxBody. Repeating a Read would only bring the same
// answer again.
func (c *Client) tooLarge(effect Effect) error {
	e := &failure.Error{Kind: failure.Internal, Vendor: c.cfg.Vendor, Text: fmt.Sprintf("the vendor's answer exceeds %d bytes", c.cfg.MaxBody)}
	if effect == Write {
		e.Kind = failure.Unknown
	}
	return e
}

// reason names a network error without addresses, which may be internal to the customer.
func reason(err error) string {
	var dns *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &dns):
		return "its host name does not resolve"
	case errors.Is(err, context.Canceled):
		return "the call was cancelled"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "time ran out"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection closed early"
	default:
		return "the connection failed"
	}
}

// StatusFailure is the failure that a bare HTTP status means, for answers whose body says nothing
// better. The classification of a Write follows RFC 9110: a 5xx other than 503 does not say whether
// the vendor acted. Clients of vendors whose writes must not be repeated take a 503 for Unknown as
// well.
func StatusFailure(vendor string, effect Effect, res *Response) *failure.Error {
	e := &failure.Error{Vendor: vendor, Code: "HTTP " + strconv.Itoa(res.Status), RetryAfter: RetryAfter(res.Header, time.Now())}
	switch {
	case res.Status == http.StatusTooManyRequests:
		e.Kind, e.Text = failure.Throttled, "the vendor asks for fewer requests"
	case res.Status == http.StatusServiceUnavailable:
		e.Kind, e.Text = failure.Unavailable, "the vendor is temporarily unavailable"
	case res.Status == http.StatusRequestTimeout, res.Status >= 500:
		e.Kind, e.Text = failure.Unavailable, "the vendor failed"
		if effect == Write {
			e.Kind, e.Text = failure.Unknown, "the vendor failed and did not say whether it acted"
		}
	case res.Status == http.StatusUnauthorized, res.Status == http.StatusForbidden:
		e.Kind, e.Text = failure.Refused, "the vendor refuses our credentials or rights"
	case res.Status == http.StatusNotFound, res.Status == http.StatusGone:
		e.Kind, e.Text = failure.NotFound, "the vendor does not know the object"
	case res.Status >= 400:
		e.Kind, e.Text = failure.Refused, "the vendor refuses the request"
	case res.Status >= 300:
		e.Kind, e.Text = failure.Refused, "the vendor answers with a redirect; check the configured base URL"
	default:
		e.Kind, e.Text = failure.Internal, "the vendor's answer cannot be understood"
		if effect == Write {
			e.Kind = failure.Unknown
		}
	}
	return e
}

// RetryAfter reads the header in both forms of RFC 9110 section 10.2.3, seconds or a date;
// 0 where it is absent, malformed or in the past.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.Atoi(v); err == nil {
		return max(0, time.Duration(s)*time.Second)
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}

// Endpoint parses a configured URL: absolute, http or https, with a host, and without user, query
// or fragment. Its errors do not repeat the URL, which may hold a password by mistake.
func Endpoint(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return nil, errors.New("is missing")
	case err != nil:
		return nil, errors.New("is not a URL")
	case u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "":
		return nil, errors.New("must be an absolute http or https URL")
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return nil, errors.New("must not hold a user, a query or a fragment")
	}
	return u, nil
}

// JSON returns a POST-like request with a JSON body.
func JSON(method, url string, body []byte) (*http.Request, error) {
	// Do gives it one
	req, err := http.NewRequest(method, url, bytes.NewReader(body)) //nolint:noctx // Client.Do sets its context
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}
