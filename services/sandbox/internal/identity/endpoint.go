package identity

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/seed"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
)

// The audiences of the tokens.
const (
	ExchangeAudience = "https://outlook.office365.com"
	EnPowerAudience  = "enpower"
	AdaxesSession    = "adaxes-session"
	AdaxesToken      = "adaxes-token"
)

// exchangeHosts are the resources of Exchange Online in Microsoft's clouds.
var exchangeHosts = []string{
	"https://outlook.office365.com", "https://outlook.office365.cn", "https://outlook.office365.us", "https://outlook-dod.office365.us",
}

const tokenLife = 3600 * time.Second

// denial is an OAuth error (RFC 6749, section 5.2).
type denial struct {
	status      int
	code        string
	description string
}

func deny(status int, code, format string, args ...any) *denial {
	return &denial{status, code, fmt.Sprintf(format, args...)}
}

// grantForm reads the form of a client-credentials grant, strictly.
func grantForm(r *http.Request, body []byte) (url.Values, *denial) {
	if r.Method != http.MethodPost {
		return nil, deny(http.StatusMethodNotAllowed, "invalid_request", "the token endpoint takes POST only")
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "application/x-www-form-urlencoded" {
		return nil, deny(http.StatusBadRequest, "invalid_request", "the body must be application/x-www-form-urlencoded")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, deny(http.StatusBadRequest, "invalid_request", "the body is not a form")
	}
	for name, values := range form {
		if len(values) > 1 {
			return nil, deny(http.StatusBadRequest, "invalid_request", "parameter %s is given twice", name)
		}
	}
	return form, nil
}

// authenticate finds the client that a form proves to be: by its secret, or by an assertion
// whose audience is the token endpoint itself.
func authenticate(form url.Values, clients []seed.Client, audience string, now time.Time, spent *spentAssertions) (*seed.Client, *denial) {
	if form.Has("client_assertion") {
		if form.Get("client_assertion_type") != assertionType {
			return nil, deny(http.StatusBadRequest, "invalid_request", "client_assertion_type must be %s", assertionType)
		}
		client, err := verifyAssertion(form.Get("client_assertion"), clients, audience, now, spent)
		if err != nil {
			return nil, deny(http.StatusUnauthorized, "invalid_client", "the client assertion is not valid: %s", err)
		}
		return client, nil
	}
	for i, c := range clients {
		if c.ID == form.Get("client_id") {
			if c.Secret == "" || c.Secret != form.Get("client_secret") {
				return nil, deny(http.StatusUnauthorized, "invalid_client", "invalid client secret provided")
			}
			return &clients[i], nil
		}
	}
	return nil, deny(http.StatusBadRequest, "unauthorized_client", "the application was not found")
}

// Entra is Microsoft's token endpoint, /{tenant}/oauth2/v2.0/token.
type Entra struct {
	world *state.World
	spent spentAssertions
}

// NewEntra makes the endpoint.
func NewEntra(w *state.World) *Entra { return &Entra{world: w} }

// Vendor implements [call.API].
func (e *Entra) Vendor() string { return "entra" }

// Open implements [call.API].
func (e *Entra) Open(r *http.Request, body []byte) call.Operation {
	form, denied := grantForm(r, body)
	return call.Operation{Name: "token", Target: form.Get("client_id"), Run: func(call.Run) call.Answer {
		if denied == nil {
			var answer call.Answer
			if answer, denied = e.grant(r, form); denied == nil {
				return answer
			}
		}
		return e.refusal(denied)
	}}
}

func (e *Entra) grant(r *http.Request, form url.Values) (call.Answer, *denial) {
	tenant, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if rest != "oauth2/v2.0/token" {
		return call.Answer{}, deny(http.StatusNotFound, "invalid_request", "no such endpoint")
	}
	tenants := e.world.Seed().Entra
	at := slices.IndexFunc(tenants, func(t seed.EntraTenant) bool {
		return strings.EqualFold(t.ID, tenant) || strings.EqualFold(t.Domain, tenant)
	})
	if at < 0 {
		return call.Answer{}, deny(http.StatusBadRequest, "invalid_request", "AADSTS90002: tenant %q not found", tenant)
	}
	if grant := form.Get("grant_type"); grant != "client_credentials" {
		return call.Answer{}, deny(http.StatusBadRequest, "unsupported_grant_type", "AADSTS70003: the grant type %q is not supported", grant)
	}
	client, denied := authenticate(form, tenants[at].Apps, endpointURL(r), e.world.Now(), &e.spent)
	if denied != nil {
		return call.Answer{}, denied
	}
	resource, isDefault := strings.CutSuffix(form.Get("scope"), "/.default")
	if !isDefault || !strings.HasPrefix(resource, "https://") {
		return call.Answer{}, deny(http.StatusBadRequest, "invalid_scope", "AADSTS1002012: the scope must be the resource identifier followed by /.default")
	}
	if slices.Contains(exchangeHosts, strings.TrimSuffix(resource, "/")) {
		resource = ExchangeAudience
	}
	text, _, err := Issue(e.world, state.Token{
		Audience: resource, Subject: client.ID, Roles: client.Roles, Tenant: tenants[at].ID, RBAC: client.RBAC,
	}, tokenLife)
	if err != nil {
		return call.Answer{}, deny(http.StatusInternalServerError, "server_error", "%s", err)
	}
	return jsonAnswer(http.StatusOK, "token issued", map[string]any{
		"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": text,
	}), nil
}

func (e *Entra) refusal(d *denial) call.Answer {
	return jsonAnswer(d.status, d.code, map[string]any{
		"error": d.code, "error_description": d.description, "error_codes": []int{},
		"timestamp": e.world.Now().Format("2006-01-02 15:04:05Z"), "trace_id": state.NewGUID(), "correlation_id": state.NewGUID(),
	})
}

// AvePoint is AvePoint Online Services' token endpoint, /connect/token.
type AvePoint struct {
	world *state.World
	spent spentAssertions
}

// NewAvePoint makes the endpoint.
func NewAvePoint(w *state.World) *AvePoint { return &AvePoint{world: w} }

// Vendor implements [call.API].
func (a *AvePoint) Vendor() string { return "enpower-identity" }

// Open implements [call.API].
func (a *AvePoint) Open(r *http.Request, body []byte) call.Operation {
	form, denied := grantForm(r, body)
	return call.Operation{Name: "token", Target: form.Get("client_id"), Run: func(call.Run) call.Answer {
		if denied == nil {
			var answer call.Answer
			if answer, denied = a.grant(r, form); denied == nil {
				return answer
			}
		}
		status := denied.status
		if status == http.StatusUnauthorized {
			// the notes expect 400 for every denial; the page is silent
			status = http.StatusBadRequest
		}
		return jsonAnswer(status, denied.code, map[string]any{"error": denied.code})
	}}
}

func (a *AvePoint) grant(r *http.Request, form url.Values) (call.Answer, *denial) {
	if r.URL.Path != "/connect/token" {
		return call.Answer{}, deny(http.StatusNotFound, "invalid_request", "no such endpoint")
	}
	if form.Get("grant_type") != "client_credentials" {
		return call.Answer{}, deny(http.StatusBadRequest, "unsupported_grant_type", "")
	}
	client, denied := authenticate(form, a.world.Seed().EnPower.Clients, endpointURL(r), a.world.Now(), &a.spent)
	if denied != nil {
		return call.Answer{}, denied
	}
	scopes := strings.Fields(form.Get("scope"))
	for _, scope := range scopes {
		if !slices.Contains(client.Roles, scope) {
			return call.Answer{}, deny(http.StatusBadRequest, "invalid_scope", "")
		}
	}
	if len(scopes) == 0 {
		return call.Answer{}, deny(http.StatusBadRequest, "invalid_scope", "")
	}
	text, _, err := Issue(a.world, state.Token{Audience: EnPowerAudience, Subject: client.ID, Roles: scopes}, tokenLife)
	if err != nil {
		return call.Answer{}, deny(http.StatusInternalServerError, "server_error", "%s", err)
	}
	return jsonAnswer(http.StatusOK, "token issued", map[string]any{
		"token_type": "Bearer", "expires_in": 3600, "access_token": text, "scope": strings.Join(scopes, " "),
	}), nil
}

// endpointURL is the token URL as the caller knows it, which an assertion's audience repeats.
func endpointURL(r *http.Request) string {
	path := r.RequestURI
	if before, _, ok := strings.Cut(path, "?"); ok {
		path = before
	}
	return call.Origin(r) + path
}

func jsonAnswer(status int, outcome string, body any) call.Answer {
	text, _ := json.Marshal(body) // maps of texts and numbers
	return call.Answer{
		Status: status, Type: "application/json; charset=utf-8", Body: text, Outcome: outcome,
		Header: http.Header{"Cache-Control": {"no-store"}},
	}
}

// spentAssertions remembers the ids of assertions until they expire, against replay.
type spentAssertions struct {
	mu  sync.Mutex
	ids map[string]time.Time
}

// spend reports whether an id was still unused.
func (s *spentAssertions) spend(id string, expires, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil {
		s.ids = map[string]time.Time{}
	}
	for old, end := range s.ids {
		if end.Before(now) {
			delete(s.ids, old)
		}
	}
	if _, used := s.ids[id]; used {
		return false
	}
	s.ids[id] = expires
	return true
}
