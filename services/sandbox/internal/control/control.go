// Package control is the sandbox's own API, for tests, checkers and demonstrations. No vendor has
// it. Everything is JSON; a wrong request gets 400 and {"error": "…"}.
//
//	GET    /control/                       the list of these endpoints
//	POST   /control/reset                  back to the seed: state, clock, switches, faults, journal
//	POST   /control/seed                   body: a YAML seed; begins again from it
//	GET    /control/clock                  {"now": …}
//	POST   /control/clock                  {"advance": "1h"}: moves the clock forward; tokens and cursors expire
//	POST   /control/scan                   EnPower scans now: {"changed": n}
//	GET    /control/switches               every switch: its setting, default, choices, source and meaning
//	PUT    /control/switches               {"name": value, …}: all or none
//	GET    /control/journal                ?vendor= &call= &match= &committed=true|false &after= &limit= (1000)
//	DELETE /control/journal                forgets the entries
//	GET    /control/objects                ?kind=objects|mailboxes|groups|stores|views|approvals|billing &match= &limit= (1000)
//	GET    /control/faults                 the rules that still stand
//	POST   /control/faults                 {"vendor", "call", "match", "kind", "count", "probability", "params"}
//	DELETE /control/faults                 takes all rules away
//	DELETE /control/faults/{id}            takes one away
//	GET    /control/approvals              requests that were suspended
//	POST   /control/approvals/{id}         {"decision": "approve" | "deny"}; id "all" for all that are pending
//	DELETE /control/tokens                 revokes every issued token
//	GET    /control/enpower/population     how many mailboxes EnPower makes up
//	POST   /control/enpower/population     {"count": 1000000, "changed": 0.01, "removed": 0.001, "tenantId": "…", "tenantDomain": "…"}
package control

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/fault"
	"github.com/mailwright/mailwright/services/sandbox/internal/journal"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// Vendors are the names that journal and faults know.
var Vendors = []string{"adaxes", "exchangeonline", "entra", "hostedexchange", "enpower", "enpower-identity", "ldap"}

// API is the control API.
type API struct {
	World   *state.World
	Journal *journal.Journal
	Faults  *fault.Rules
	// Approve carries out a suspended create.
	Approve func(call.Run, *state.Approval) call.Answer
	// Token, where set, must come as a bearer token with every request.
	Token string
}

// Handler serves the API below /control/.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h func(*http.Request) (any, error)) { mux.HandleFunc(pattern, serve(h)) }
	handle("GET /control/{$}", a.list)
	handle("POST /control/reset", a.reset)
	handle("POST /control/seed", a.seed)
	handle("GET /control/clock", a.clock)
	handle("POST /control/clock", a.advance)
	handle("POST /control/scan", a.scan)
	handle("GET /control/switches", a.switches)
	handle("PUT /control/switches", a.setSwitches)
	handle("GET /control/journal", a.journal)
	handle("DELETE /control/journal", a.clearJournal)
	handle("GET /control/objects", a.objects)
	handle("GET /control/faults", a.faults)
	handle("POST /control/faults", a.addFault)
	handle("DELETE /control/faults", a.clearFaults)
	handle("DELETE /control/faults/{id}", a.removeFault)
	handle("GET /control/approvals", a.approvals)
	handle("POST /control/approvals/{id}", a.decide)
	handle("DELETE /control/tokens", a.revokeTokens)
	handle("GET /control/enpower/population", a.population)
	handle("POST /control/enpower/population", a.setPopulation)
	return a.guarded(mux)
}

func (a *API) guarded(next http.Handler) http.Handler {
	if a.Token == "" {
		return next
	}
	want := []byte("Bearer " + a.Token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			reply(w, http.StatusUnauthorized, map[string]string{"error": "the control token is missing or wrong"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func serve(h func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := h(r)
		if err != nil {
			reply(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		reply(w, http.StatusOK, body)
	}
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // the caller went away
}

func read(r *http.Request, into any) error {
	decoder := json.NewDecoder(io.LimitReader(r.Body, call.MaxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("read the body: %w", err)
	}
	return nil
}

type done struct {
	OK bool `json:"ok"`
}

func (a *API) list(*http.Request) (any, error) {
	return map[string]any{
		"documentation": "docs/sandbox.md", "vendors": Vendors,
		"endpoints": []string{"reset", "seed", "clock", "scan", "switches", "journal", "objects", "faults", "approvals", "tokens", "enpower/population"},
	}, nil
}

func (a *API) reset(*http.Request) (any, error) { return done{true}, a.begin(nil) }

func (a *API) seed(r *http.Request) (any, error) {
	text, err := io.ReadAll(io.LimitReader(r.Body, call.MaxBody))
	if err != nil || len(text) == 0 {
		return nil, fmt.Errorf("the body must be a seed")
	}
	return done{true}, a.begin(text)
}

func (a *API) begin(seedText []byte) error {
	if err := a.World.Reset(seedText); err != nil {
		return err
	}
	a.Faults.Clear()
	a.Journal.Clear()
	return nil
}

func (a *API) clock(*http.Request) (any, error) {
	return map[string]time.Time{"now": a.World.Now()}, nil
}

func (a *API) advance(r *http.Request) (any, error) {
	var body struct {
		Advance string `json:"advance"`
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	by, err := time.ParseDuration(body.Advance)
	if err != nil || by < 0 {
		return nil, fmt.Errorf("advance must be a duration such as \"1h\"")
	}
	if err := a.World.AdvanceClock(by); err != nil {
		return nil, err
	}
	return a.clock(r)
}

func (a *API) scan(*http.Request) (any, error) {
	changed, err := a.World.Scan()
	return map[string]int{"changed": changed}, err
}

type setting struct {
	switches.Switch
	Value any `json:"value"`
}

func (a *API) switches(*http.Request) (any, error) {
	all := a.World.Switches.All()
	list := make([]setting, len(switches.Table))
	for i, entry := range switches.Table {
		if d, ok := entry.Default.(time.Duration); ok {
			entry.Default = d.String()
		}
		list[i] = setting{entry, all[entry.Name]}
	}
	return map[string]any{"switches": list}, nil
}

func (a *API) setSwitches(r *http.Request) (any, error) {
	var body map[string]any
	if err := read(r, &body); err != nil {
		return nil, err
	}
	return done{true}, a.World.SetSwitches(body)
}

func (a *API) journal(r *http.Request) (any, error) {
	q := r.URL.Query()
	f := journal.Filter{Vendor: q.Get("vendor"), Call: q.Get("call"), Match: q.Get("match")}
	var err error
	if f.Limit, err = limit(q.Get("limit")); err != nil {
		return nil, err
	}
	if text := q.Get("after"); text != "" {
		if f.After, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, fmt.Errorf("after must be a sequence number")
		}
	}
	if text := q.Get("committed"); text != "" {
		committed, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("committed must be true or false")
		}
		f.Committed = &committed
	}
	return map[string]any{"entries": a.Journal.Entries(f)}, nil
}

// limit reads how many rows are wanted: 1,000 by default, 0 for all.
func limit(text string) (int, error) {
	if text == "" {
		return 1000, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("limit must be a number, 0 for all")
	}
	return n, nil
}

func (a *API) clearJournal(*http.Request) (any, error) {
	a.Journal.Clear()
	return done{true}, nil
}

func (a *API) faults(*http.Request) (any, error) {
	return map[string]any{"faults": a.Faults.List()}, nil
}

func (a *API) addFault(r *http.Request) (any, error) {
	var rule fault.Rule
	if err := read(r, &rule); err != nil {
		return nil, err
	}
	return a.Faults.Add(rule, Vendors)
}

func (a *API) clearFaults(*http.Request) (any, error) {
	a.Faults.Clear()
	return done{true}, nil
}

func (a *API) removeFault(r *http.Request) (any, error) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil || !a.Faults.Remove(id) {
		return nil, fmt.Errorf("there is no fault %s", r.PathValue("id"))
	}
	return done{true}, nil
}

func (a *API) revokeTokens(*http.Request) (any, error) {
	n := 0
	err := a.World.Update(state.Origin{}, func(tx *state.Tx) error {
		n = tx.DeleteTokens()
		return nil
	})
	return map[string]int{"revoked": n}, err
}

func (a *API) population(*http.Request) (any, error) { return a.World.Population(), nil }

func (a *API) setPopulation(r *http.Request) (any, error) {
	var p state.Population
	if err := read(r, &p); err != nil {
		return nil, err
	}
	if p.Count < 0 || p.Count > 100_000_000 {
		return nil, fmt.Errorf("count must be between 0 and 100000000")
	}
	for name, share := range map[string]float64{"changed": p.Changed, "removed": p.Removed} {
		if share < 0 || share > 1 {
			return nil, fmt.Errorf("%s must be between 0 and 1", name)
		}
	}
	if p.TenantID == "" && p.TenantDomain == "" {
		if organizations := a.World.Seed().Organizations; len(organizations) > 0 {
			largest := organizations[min(1, len(organizations)-1)]
			p.TenantID, p.TenantDomain = largest.TenantID, largest.TenantDomain
		}
	}
	return p, a.World.SetPopulation(p)
}
