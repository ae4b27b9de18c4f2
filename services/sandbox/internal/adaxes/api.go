// Package adaxes simulates the Adaxes REST API: creating, reading, changing and deleting
// directory objects, and Exchange mailboxes for them. Sources: the pages "Create directory
// object" and "Create Exchange mailbox", and the notes on their neighbours.
package adaxes

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/identity"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// API is the service. Paths are those below the base URL ~, such as /api/directoryObjects.
type API struct {
	world  *state.World
	routes map[string]map[string]handler // path in lower case, then method
	logins *logins
}

// handler turns a request into an operation; it changes nothing yet.
type handler func(r *http.Request, body []byte) call.Operation

// New makes the service.
func New(w *state.World) *API {
	a := &API{world: w, logins: &logins{failed: map[string]int{}}}
	a.routes = map[string]map[string]handler{
		"/api/authsessions/create": {"POST": a.createSession},
		"/api/authsessions":        {"DELETE": a.secured("end-session", a.endSession)},
		"/api/auth":                {"POST": a.createToken, "PATCH": a.secured("renew-token", a.renewToken), "DELETE": a.secured("destroy-token", a.destroyToken)},
		"/api/directoryobjects": {
			"POST": a.secured("create-object", a.createObject), "GET": a.secured("get-object", a.getObject),
			"PATCH": a.secured("update-object", a.updateObject), "DELETE": a.secured("delete-object", a.deleteObject),
		},
		"/api/directoryobjects/search":           {"POST": a.secured("search", a.search)},
		"/api/directoryobjects/exchange/mailbox": {"POST": a.secured("create-mailbox", a.createMailbox)},
		m365Path:                                 {"GET": a.secured("get-m365-properties", a.getM365)},
	}
	return a
}

// Vendor implements [call.API].
func (a *API) Vendor() string { return "adaxes" }

// Open implements [call.API]. Paths are matched in any case: the service runs in IIS.
func (a *API) Open(r *http.Request, body []byte) call.Operation {
	path := strings.ToLower(strings.TrimSuffix(r.URL.Path, "/"))
	methods, ok := a.routes[path]
	if !ok {
		if _, known := a.routes["/api"+path]; known && a.world.Switches.On(switches.AdaxesRedirect) {
			return call.Refuse("unknown", r.URL.Path, a.redirect(r))
		}
		return call.Refuse("unknown", r.URL.Path, problem(http.StatusNotFound, "notFound", "No resource was found that matches the request URI."))
	}
	handle, ok := methods[r.Method]
	if !ok {
		refused := problem(http.StatusMethodNotAllowed, "methodNotAllowed", "The requested resource does not support HTTP method '"+r.Method+"'.")
		for method := range methods {
			refused.Header.Add("Allow", method)
		}
		return call.Refuse("unknown", r.URL.Path, refused)
	}
	if r.Method == http.MethodPost || r.Method == http.MethodPatch {
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
			return call.Refuse("unknown", r.URL.Path, problem(http.StatusUnsupportedMediaType, "unsupportedMediaType", "Content-Type must be application/json."))
		}
	}
	return handle(r, body)
}

func (a *API) redirect(r *http.Request) call.Answer {
	target := strings.TrimSuffix(r.RequestURI, r.URL.RequestURI()) + "/api" + r.URL.RequestURI()
	return call.Answer{Status: http.StatusFound, Header: http.Header{"Location": {target}}, Outcome: "redirected"}
}

// secured wraps a handler with the check of Adm-Authorization (page, "Request headers").
func (a *API) secured(name string, handle handler) handler {
	return func(r *http.Request, body []byte) call.Operation {
		op := handle(r, body)
		op.Name = name
		if !a.authorized(r.Header.Get("Adm-Authorization")) {
			op.Run = func(call.Run) call.Answer {
				return problem(http.StatusUnauthorized, "unauthorized", "The security token is missing, invalid or expired.")
			}
		}
		return op
	}
}

func (a *API) authorized(token string) bool {
	if token == "" {
		return false
	}
	for _, t := range a.world.Seed().Adaxes.Tokens {
		if t.Token == token {
			expires, err := time.Parse(time.RFC3339, t.ExpiresAt)
			return t.ExpiresAt == "" || err == nil && a.world.Now().Before(expires)
		}
	}
	return identity.Check(a.world, token, identity.AdaxesToken) != nil
}

// modelState names faults of a request by field.
type modelState map[string][]string

func (m modelState) add(field, fault string) { m[field] = append(m[field], fault) }

// errorBody is the Error object of the page REST_Errors.
type errorBody struct {
	Message    string     `json:"message"`
	Code       string     `json:"code"`
	ModelState modelState `json:"modelState,omitempty"`
	InnerError *inner     `json:"innerError,omitempty"`
}

type inner struct {
	Message      string `json:"message"`
	Code         string `json:"code"`
	AttemptsLeft *int   `json:"attemptsLeft,omitempty"`
}

func problem(status int, code, message string) call.Answer {
	return answer(status, code, errorBody{Message: message, Code: code})
}

func invalid(faults modelState) call.Answer {
	return answer(http.StatusBadRequest, "badRequest", errorBody{Message: "The request is invalid.", Code: "badRequest", ModelState: faults})
}

func answer(status int, outcome string, body any) call.Answer {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // the package's own types
	return call.Answer{Status: status, Header: http.Header{}, Type: "application/json; charset=utf-8", Body: text.Bytes(), Outcome: outcome}
}
