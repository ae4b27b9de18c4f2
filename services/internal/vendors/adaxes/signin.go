package adaxes

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

const (
	// defaultLifetime is how long a token lives where the vendor does not say (REST_AuthLifeTime).
	defaultLifetime = 30 * time.Minute
	// minPause and maxPause bound for how long one failed sign-in answers every command. The
	// vendor's Retry-After decides between them.
	minPause = time.Second
	maxPause = time.Minute
)

// signIn keeps the token of the legacy session sign-in (REST_Authentication_Legacy).
type signIn struct {
	// busy holds its one element during a sign-in. A channel, so that a waiting caller still obeys
	// its context.
	busy chan struct{}
	// rest keeps credentials back that the vendor has refused.
	rest transport.Rest

	mu      sync.Mutex    // guards what follows
	current secret.String // zero for none
	renewAt time.Time     // before the token's end, so that no call meets it
	failed  error         // what the last sign-in came to, for those who ask before retryAt
	retryAt time.Time
}

func newSignIn() *signIn { return &signIn{busy: make(chan struct{}, 1)} }

// token returns a token that is good for now, signing in if need be, once for all callers.
//
// Its errors say nothing of the command that wants the token: all are Unavailable or Throttled.
func (s *signIn) token(ctx context.Context, c *Client) (secret.String, error) {
	if token, err, known := s.cached(); known {
		return token, err
	}
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-ctx.Done():
		return secret.String{}, &failure.Error{Kind: failure.Unavailable, Vendor: Vendor, Text: "time ran out while waiting for the sign-in", Cause: ctx.Err()}
	}
	if token, err, known := s.cached(); known { // whoever held busy before us did the work
		return token, err
	}
	if err := s.rest.Enter(); err != nil {
		return secret.String{}, err
	}
	token, lifetime, err := c.openSession(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.rest.Unanswered() // of no effect after a refusal
		if f := failure.Of(err); f.Code != "" && !s.rest.Stands() {
			s.failed, s.retryAt = err, time.Now().Add(min(max(f.RetryAfter, minPause), maxPause))
		}
		return secret.String{}, err
	}
	s.rest.Accepted()
	s.current, s.failed = token, nil
	s.renewAt = time.Now().Add(lifetime * 9 / 10)
	return token, nil
}

// cached returns the token, or what the last sign-in came to, if that still holds.
func (s *signIn) cached() (token secret.String, failed error, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case !s.current.IsZero() && now.Before(s.renewAt):
		return s.current, nil, true
	case s.failed != nil && now.Before(s.retryAt):
		return secret.String{}, s.failed, true
	}
	return secret.String{}, nil, false
}

// expire forgets a token that the vendor no longer takes, unless another call has replaced it
// already.
func (s *signIn) expire(token secret.String) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == token {
		s.current = secret.String{}
	}
}

// openSession does both steps of the sign-in: a session from the credentials, a token from the
// session.
func (c *Client) openSession(ctx context.Context) (token secret.String, lifetime time.Duration, err error) {
	var session struct{ SessionID string }
	credentials := map[string]string{"username": c.cfg.Username, "password": c.cfg.Password.Reveal()}
	res, err := c.signInStep(ctx, "/api/authSessions/create", credentials, &session)
	if err != nil && res != nil && unauthenticated(res) {
		err = c.signIn.rest.Refused(failure.Of(err))
	}
	if err != nil {
		return secret.String{}, 0, err
	}
	var answer struct{ Token, ExpiresAtUtc string }
	_, err = c.signInStep(ctx, "/api/auth", map[string]string{"sessionId": session.SessionID}, &answer, secret.New(session.SessionID))
	if err != nil {
		return secret.String{}, 0, err
	}
	if session.SessionID == "" || answer.Token == "" {
		return secret.String{}, 0, unusable("the vendor's answer holds no token")
	}
	return secret.New(answer.Token), lifetimeUntil(answer.ExpiresAtUtc, time.Now()), nil
}

// signInStep posts one step. secrets are those of in, the password apart. The response is there
// where an answer came.
//
// Its failures speak of the sign-in. Whatever the vendor answers here, it has not seen the command:
// a 404 says nothing of the command's object, and a 400 nothing of its data.
func (c *Client) signInStep(ctx context.Context, path string, in, out any, secrets ...secret.String) (*transport.Response, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, &failure.Error{Kind: failure.Internal, Vendor: Vendor, Text: "sign-in: the request cannot be written as JSON", Cause: err}
	}
	res, err := c.exchange(ctx, transport.Read, http.MethodPost, path, secret.String{}, body, secrets...)
	if err != nil {
		return nil, err
	}
	if res.Status/100 != 2 {
		e := httpFailure(transport.Read, res, c.redactor(secrets...))
		if e.Kind != failure.Throttled {
			e.Kind = failure.Unavailable
		}
		e.Text = "sign-in: " + e.Text
		return res, e
	}
	if json.Unmarshal(res.Body, out) != nil { // the error might quote the token
		return res, unusable("the vendor's answer cannot be understood")
	}
	return res, nil
}

// unusable is the failure of a sign-in that the vendor reports as done.
func unusable(text string) error {
	return &failure.Error{Kind: failure.Unavailable, Vendor: Vendor, Code: "HTTP 200", Text: "sign-in: " + text + "; check the configured base URL"}
}

// lifetimeUntil is how long a token lives that ends at the vendor's time, which is UTC where it has
// no zone: the field's name says so. Where the time is missing, unreadable or already past by our
// clock, the default serves: the clocks may differ, and a 401 corrects us.
func lifetimeUntil(end string, now time.Time) time.Duration {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} { // the vendor's samples have both, with fractions
		if t, err := time.Parse(layout, end); err == nil && t.After(now) {
			return t.Sub(now)
		}
	}
	return defaultLifetime
}
