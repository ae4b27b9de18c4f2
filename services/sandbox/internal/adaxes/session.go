package adaxes

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/identity"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
)

// The default lifetimes (REST_AuthLifeTime).
const (
	sessionLife = 10 * time.Minute
	tokenLife   = 30 * time.Minute
	maxAttempts = 5
	timeForm    = "2006-01-02T15:04:05.0000000Z"
)

// logins counts failed sign-ins, against brute force.
type logins struct {
	mu     sync.Mutex
	failed map[string]int
}

func (l *logins) fail(username string) (left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed[username]++
	return max(maxAttempts-l.failed[username], 0)
}

func (l *logins) locked(username string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed[username] >= maxAttempts
}

func (l *logins) succeed(username string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.failed, username)
}

// createSession signs in with user name and password (REST_Authentication_Legacy, step 1).
func (a *API) createSession(_ *http.Request, body []byte) call.Operation {
	p := a.parse(body, "username", "password")
	username, password := p.text("username", true), p.text("password", true)
	return call.Operation{Name: "sign-in", Target: username, Run: func(call.Run) call.Answer {
		if p.failed() {
			return invalid(p.faults)
		}
		if denied := a.signIn(username, password); denied != nil {
			return answer(http.StatusForbidden, denied.Code, errorBody{Message: "Access is denied.", Code: "forbidden", InnerError: denied})
		}
		text, expires, err := identity.Issue(a.world, state.Token{Audience: identity.AdaxesSession, Subject: username}, sessionLife)
		if err != nil {
			return problem(http.StatusInternalServerError, "internalServerError", err.Error())
		}
		return answer(http.StatusOK, "signed in", map[string]any{"sessionId": text, "expiresAtUtc": expires.Format(timeForm)})
	}}
}

// signIn says why a sign-in fails; nil where it does not. A failure is a 403, not a 401.
func (a *API) signIn(username, password string) *inner {
	key := strings.ToLower(username)
	if a.logins.locked(key) {
		return &inner{Message: "The account is locked out.", Code: "accountLockedOut"}
	}
	for _, account := range a.world.Seed().Adaxes.Accounts {
		if !strings.EqualFold(account.Username, username) && !strings.EqualFold(account.Legacy, username) {
			continue
		}
		if account.Password != password {
			break
		}
		if account.Disabled {
			return &inner{Message: "The account is disabled.", Code: "accountIsDisabled"}
		}
		a.logins.succeed(key)
		return nil
	}
	left := a.logins.fail(key)
	return &inner{Message: "Invalid user name or password.", Code: "invalidCredentials", AttemptsLeft: &left}
}

// createToken turns a session into a token (step 2).
func (a *API) createToken(_ *http.Request, body []byte) call.Operation {
	p := a.parse(body, "sessionId", "type")
	session := p.text("sessionId", true)
	p.number("type")
	return call.Operation{Name: "create-token", Run: func(call.Run) call.Answer {
		if p.failed() {
			return invalid(p.faults)
		}
		grant := identity.Check(a.world, session, identity.AdaxesSession)
		if grant == nil {
			return problem(http.StatusUnauthorized, "unauthorized", "The session is invalid or expired.")
		}
		return a.issueToken(*grant)
	}}
}

func (a *API) issueToken(session state.Token) call.Answer {
	text, expires, err := identity.Issue(a.world, state.Token{Audience: identity.AdaxesToken, Subject: session.Subject, Parent: session.Hash}, tokenLife)
	if err != nil {
		return problem(http.StatusInternalServerError, "internalServerError", err.Error())
	}
	return answer(http.StatusOK, "token issued", map[string]any{"token": text, "expiresAtUtc": expires.Format(timeForm)})
}

// renewToken extends a token. The page shows that a PATCH does it, not its body; the sandbox
// reads nothing and gives the bearer's token a new life under a new value.
func (a *API) renewToken(r *http.Request, _ []byte) call.Operation {
	return call.Operation{Run: func(call.Run) call.Answer {
		grant := identity.Check(a.world, r.Header.Get("Adm-Authorization"), identity.AdaxesToken)
		if grant == nil {
			return problem(http.StatusBadRequest, "badRequest", "An account token cannot be renewed.")
		}
		return a.issueToken(state.Token{Subject: grant.Subject, Hash: grant.Parent})
	}}
}

func (a *API) destroyToken(r *http.Request, _ []byte) call.Operation {
	return a.revoke(query(r, "token"), identity.AdaxesToken)
}

func (a *API) endSession(r *http.Request, _ []byte) call.Operation {
	return a.revoke(query(r, "id"), identity.AdaxesSession)
}

func (a *API) revoke(text, audience string) call.Operation {
	return call.Operation{Run: func(call.Run) call.Answer {
		if identity.Check(a.world, text, audience) == nil {
			return problem(http.StatusNotFound, "notFound", "There is no such session or token.")
		}
		err := a.world.Update(state.Origin{}, func(tx *state.Tx) error {
			tx.DeleteToken(identity.Hash(text))
			return nil
		})
		if err != nil {
			return problem(http.StatusInternalServerError, "internalServerError", err.Error())
		}
		return call.Answer{Status: http.StatusOK, Outcome: "revoked"}
	}}
}

// query reads a query parameter by its name in any case.
func query(r *http.Request, name string) string {
	for key, values := range r.URL.Query() {
		if strings.EqualFold(key, name) {
			return values[0]
		}
	}
	return ""
}
