// Package oauth gets the access tokens that the vendors' APIs ask for, by the client credentials
// grant (RFC 6749 section 4.4), with a secret or with a certificate (RFC 7523 section 2.2).
//
// The grant itself is golang.org/x/oauth2/clientcredentials. This package adds what that leaves
// open: one request at a time, renewal before expiry, Invalidate after a 401, failure kinds, and
// that neither token nor secret can be printed or sent to where a redirect points.
package oauth

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/metrics"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// renewBefore is how long before its expiry a token is replaced, if it lives long enough for that.
const renewBefore = 5 * time.Minute

// credentialRest is how long the token endpoint is not asked after it has refused the credentials.
// It spares the vendor the attempts of every waiting command, since some lock an application that
// fails too often, and is short, so that credentials that were corrected there are noticed soon.
const credentialRest = 10 * time.Second

// defaultLife is assumed where the token endpoint does not say how long a token lives.
const defaultLife = 10 * time.Minute

// Config names an application at an identity service. Exactly one of ClientSecret and Certificate
// is set.
type Config struct {
	// Vendor names the API that the tokens are for, as [failure.Error.Vendor].
	Vendor string
	// TokenURL is the token endpoint.
	TokenURL string
	// ClientID is the application's id.
	ClientID string
	// ClientSecret proves the application by a shared secret.
	ClientSecret secret.String
	// Certificate proves the application by a signed assertion.
	Certificate *Certificate
	// AssertionOnly leaves client_id out of a request that carries an assertion, as AvePoint
	// documents it (Authentication and Authorization, certificate sample). Microsoft Entra ID
	// requires client_id.
	AssertionOnly bool
	// Scope is the permission to ask for.
	Scope string
	// HTTP shapes the connection to the token endpoint.
	HTTP transport.Config
}

// Source hands out access tokens. It is safe for concurrent use.
type Source struct {
	vendor string
	// grant makes a token request. A function, since fmt reaches even a secret.String inside
	// unexported fields.
	grant   func(now time.Time) (*clientcredentials.Config, error)
	http    *http.Client
	cached  atomic.Pointer[token]
	refused atomic.Pointer[refusal] // the last answer, if it refused the credentials
	asking  chan struct{}           // held by the one call that may ask the token endpoint
	// refusedFlag is set while the last answer refused the credentials.
	refusedFlag *metrics.Flag
}

// token is an access token and the time from which a new one is fetched.
type token struct {
	value   secret.String
	renewAt time.Time
}

// New returns a Source. Its error names every field of cfg that is wrong.
func New(cfg Config) (*Source, error) {
	_, urlErr := transport.Endpoint(cfg.TokenURL)
	err := errors.Join(
		fault(urlErr != nil, "TokenURL", urlErr),
		fault(cfg.ClientID == "", "ClientID", errMissing),
		fault(cfg.ClientSecret.IsZero() && cfg.Certificate == nil, "ClientSecret", errMissing),
		fault(!cfg.ClientSecret.IsZero() && cfg.Certificate != nil, "Certificate", errors.New("must not be set together with ClientSecret")),
		fault(cfg.Scope == "", "Scope", errMissing),
	)
	if err != nil {
		return nil, err
	}
	cfg.HTTP.Vendor = cfg.Vendor
	cfg.HTTP.MaxBody = 1 << 20 // a token is a few kilobytes
	cfg.HTTP.Secrets = []secret.String{cfg.ClientSecret}
	client := &http.Client{
		Transport:     roundTripper{transport.New(cfg.HTTP)},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	s := &Source{vendor: cfg.Vendor, grant: cfg.grant, http: client, asking: make(chan struct{}, 1)}
	s.refusedFlag = metrics.NewFlag(s, metrics.VendorCredentialsRefused.WithLabelValues(cfg.Vendor))
	return s, nil
}

var errMissing = errors.New("is missing")

// fault is an error that names a field, or nil.
func fault(wrong bool, field string, err error) error {
	if !wrong {
		return nil
	}
	return errors.New(field + " " + err.Error())
}

// refusal is a failure that says that the credentials are wrong.
type refusal struct {
	failure failure.Error
	until   time.Time // the end of the rest
}

// Token returns a valid access token, from the cache or from the token endpoint.
//
// Its errors say nothing of the command that wants the token. They are Unavailable, or Throttled if
// the endpoint asks for fewer requests; Internal only if the request cannot be signed. After the
// endpoint has refused the credentials, calls within credentialRest get the same failure, with the
// rest that remains as RetryAfter; then one call asks again, for all.
func (s *Source) Token(ctx context.Context) (secret.String, error) {
	if t := s.fresh(); t != nil {
		return t.value, nil
	}
	if err := s.resting(); err != nil {
		return secret.String{}, err
	}
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return secret.String{}, &failure.Error{
			Kind: failure.Unavailable, Vendor: s.vendor, Cause: ctx.Err(),
			Text: "the call ended while it waited for an access token",
		}
	}
	if t := s.fresh(); t != nil {
		return t.value, nil
	}
	if err := s.resting(); err != nil { // the call before this one was refused
		return secret.String{}, err
	}
	t, err := s.fetch(ctx)
	if err != nil {
		s.rest(err)
		return secret.String{}, cmp.Or(s.resting(), err)
	}
	s.cached.Store(t)
	s.refused.Store(nil)
	s.refusedFlag.Set(false)
	return t.value, nil
}

// rest begins the rest of the credentials, if err says that they are wrong.
func (s *Source) rest(err error) {
	if f := failure.Of(err); credentialCodes[f.Code] {
		s.refused.Store(&refusal{*f, time.Now().Add(max(credentialRest, f.RetryAfter))})
		s.refusedFlag.Set(true)
	}
}

// resting is the failure to answer with while the credentials rest, else nil.
func (s *Source) resting() error {
	r := s.refused.Load()
	if r == nil {
		return nil
	}
	again := r.failure
	if again.RetryAfter = time.Until(r.until); again.RetryAfter <= 0 {
		return nil
	}
	return &again
}

// Invalidate forgets the token that the vendor has just answered with 401. A token that was
// fetched since stays: many calls may fail on the same old one.
func (s *Source) Invalidate(rejected secret.String) {
	if t := s.cached.Load(); t != nil && t.value.Reveal() == rejected.Reveal() {
		s.cached.CompareAndSwap(t, nil)
	}
}

// Do sends a request with a token. After a 401, which a token that was revoked or aged on a slow
// walk gets, it fetches another token and sends the request once more: a request answered with 401
// was not carried out, so this holds for a Write too.
//
// The errors are those of [Source.Token] and [transport.Client.Do]; a second 401 is an answer like
// any other.
func (s *Source) Do(ctx context.Context, client *transport.Client, effect transport.Effect, newRequest func() (*http.Request, error)) (*transport.Response, error) {
	var res *transport.Response
	for range 2 {
		accessToken, err := s.Token(ctx)
		if err != nil {
			return nil, err
		}
		req, err := newRequest()
		if err != nil {
			return nil, &failure.Error{Kind: failure.Internal, Vendor: s.vendor, Text: "the request could not be built", Cause: err}
		}
		req.Header.Set("Authorization", "Bearer "+accessToken.Reveal())
		res, err = client.Do(ctx, effect, req)
		if err != nil {
			return nil, err
		}
		if res.Status != http.StatusUnauthorized {
			break
		}
		s.Invalidate(accessToken)
	}
	return res, nil
}

// fresh is the cached token, or nil if it is missing or due.
func (s *Source) fresh() *token {
	if t := s.cached.Load(); t != nil && time.Now().Before(t.renewAt) {
		return t
	}
	return nil
}

// fetch asks the token endpoint.
func (s *Source) fetch(ctx context.Context) (*token, error) {
	now := time.Now()
	grant, err := s.grant(now)
	if err != nil {
		return nil, &failure.Error{Kind: failure.Internal, Vendor: s.vendor, Text: "the client assertion could not be signed", Cause: err}
	}
	t, err := grant.Token(context.WithValue(ctx, oauth2.HTTPClient, s.http))
	if err != nil {
		return nil, s.failed(err)
	}
	life := defaultLife
	if !t.Expiry.IsZero() {
		life = t.Expiry.Sub(now)
	}
	return &token{value: secret.New(t.AccessToken), renewAt: now.Add(life - min(renewBefore, life/4))}, nil
}

// grant is the token request of this moment: an assertion is signed anew each time.
func (cfg Config) grant(now time.Time) (*clientcredentials.Config, error) {
	grant := &clientcredentials.Config{
		ClientID:     cfg.ClientID,
		ClientSecret: cfg.ClientSecret.Reveal(),
		TokenURL:     cfg.TokenURL,
		Scopes:       []string{cfg.Scope},
		AuthStyle:    oauth2.AuthStyleInParams,
	}
	if cfg.Certificate == nil {
		return grant, nil
	}
	assertion, err := cfg.Certificate.assertion(cfg.ClientID, cfg.TokenURL, now)
	if err != nil {
		return nil, err
	}
	grant.EndpointParams = url.Values{"client_assertion_type": {assertionType}, "client_assertion": {assertion}}
	if cfg.AssertionOnly {
		grant.ClientID = ""
	}
	return grant, nil
}
