// Package enpower simulates AvePoint EnPower's mailbox inventory: what its own scan of the
// tenant saw. Source: the page "Retrieve User or Shared Mailbox Details", and the notes on
// authentication, paging and its sibling for resource mailboxes.
package enpower

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/identity"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

const (
	scope       = "enpower.data.read.all"
	defaultPage = 100
	maxPage     = 1000
)

// API is the service. Paths are /smp/exchange/….
type API struct {
	world *state.World
}

// New makes the service.
func New(w *state.World) *API { return &API{world: w} }

// Vendor implements [call.API].
func (a *API) Vendor() string { return "enpower" }

// collection is one of the two lists.
type collection struct {
	call, key, typeParameter string
	types                    [3][]string // by the type parameter's value: 0 both, 1, 2
	population               bool        // made-up mailboxes belong to it
}

var collections = map[string]collection{
	"/smp/exchange/mailboxes": {"list-mailboxes", "mailboxes", "mailboxType",
		[3][]string{{"UserMailbox", "SharedMailbox"}, {"UserMailbox"}, {"SharedMailbox"}}, true},
	"/smp/exchange/resourcemailboxes": {"list-resource-mailboxes", "resourceMailboxes", "resourceMailboxType",
		[3][]string{{"RoomMailbox", "EquipmentMailbox"}, {"RoomMailbox"}, {"EquipmentMailbox"}}, false},
}

// query is a request's parameters, checked; it is what a nextLink carries.
type query struct {
	Top    int    `json:"t"`
	Tenant string `json:"n,omitempty"`
	Type   int    `json:"m,omitempty"`
	After  uint64 `json:"a,omitempty"` // the last view that was shown
	MadeUp int    `json:"p,omitempty"` // the next of the population
}

// Open implements [call.API].
func (a *API) Open(r *http.Request, _ []byte) call.Operation {
	c, ok := collections[r.URL.Path]
	if !ok {
		return call.Refuse("unknown", r.URL.Path, problem(a.world, http.StatusNotFound, "NotFound", "", "There is no such resource."))
	}
	if r.Method != http.MethodGet {
		refused := problem(a.world, http.StatusMethodNotAllowed, "MethodNotAllowed", "", "Use GET.")
		refused.Header.Set("Allow", http.MethodGet)
		return call.Refuse(c.call, r.URL.Path, refused)
	}
	return call.Operation{Name: c.call, Target: r.URL.Query().Get("tenant"), Run: func(call.Run) call.Answer {
		if denied := a.authorize(r); denied != nil {
			return *denied
		}
		q, wrong := a.read(r.URL.Query(), c)
		if wrong != nil {
			return *wrong
		}
		return a.list(r, c, q)
	}}
}

func (a *API) authorize(r *http.Request) *call.Answer {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	grant := identity.Check(a.world, text, identity.EnPowerAudience)
	if !ok || grant == nil {
		refused := problem(a.world, http.StatusUnauthorized, "Unauthorized", "", "The access token is missing, invalid or expired.")
		refused.Header.Set("WWW-Authenticate", "Bearer")
		return &refused
	}
	if !slices.Contains(grant.Roles, scope) {
		refused := problem(a.world, http.StatusForbidden, "Forbidden", "", "The access token lacks "+scope+".")
		return &refused
	}
	return nil
}

// read checks the query parameters (page, "Query Parameters").
func (a *API) read(values url.Values, c collection) (query, *call.Answer) {
	wrong := func(field, text string) (query, *call.Answer) {
		refused := problem(a.world, http.StatusBadRequest, "InvalidParameter", field, text)
		return query{}, &refused
	}
	for name, given := range values {
		if !slices.Contains([]string{"top", "tenant", c.typeParameter, "skipToken"}, name) {
			if a.world.Switches.Text(switches.EnPowerUnknownParameters) == "reject" {
				return wrong(name, "The parameter is not known.")
			}
		} else if len(given) > 1 {
			return wrong(name, "The parameter is given twice.")
		}
	}
	if values.Has("skipToken") {
		q, ok := decodeSkipToken(values.Get("skipToken"))
		if !ok {
			return wrong("skipToken", "The token is not valid.")
		}
		return q, nil
	}
	q := query{Top: defaultPage, Tenant: values.Get("tenant")}
	var err error
	if values.Has("top") {
		if q.Top, err = strconv.Atoi(values.Get("top")); err != nil || !q.isWithinBounds() {
			return wrong("top", "The value must be an integer from 1 to 1000.")
		}
	}
	if values.Has(c.typeParameter) {
		if q.Type, err = strconv.Atoi(values.Get(c.typeParameter)); err != nil || !q.isWithinBounds() {
			return wrong(c.typeParameter, "The value must be 0, 1 or 2.")
		}
	}
	return q, nil
}

func decodeSkipToken(token string) (q query, ok bool) {
	q.Top = defaultPage
	raw, err := base64.RawURLEncoding.DecodeString(token)
	return q, err == nil && json.Unmarshal(raw, &q) == nil && q.isWithinBounds()
}

func (q *query) isWithinBounds() bool {
	return q.Top >= 1 && q.Top <= maxPage && q.Type >= 0 && q.Type <= 2 && q.MadeUp >= 0
}

// list answers with one page: first what the scans saw, then the population, row by row.
func (a *API) list(r *http.Request, c collection, q query) call.Answer {
	people := a.world.Population()
	if !c.population || !a.isTenant(q.Tenant, people.TenantID, people.TenantDomain) {
		people.Count = 0
	}
	var page []*state.View
	total, more := 0, false
	next := q
	a.world.View(func(tx *state.Tx) {
		tx.ViewsAfter(0, func(v *state.View) bool {
			if !a.belongs(v, c, q) {
				return true
			}
			total++
			if v.Seq <= q.After {
				return true
			}
			if len(page) == q.Top {
				more = true
				return true
			}
			page = append(page, v)
			next.After = v.Seq
			return true
		})
	})
	var numbers []int
	for i := q.MadeUp; !more && i < people.Count; i++ {
		if !listed(people, i, q.Type) {
			continue
		}
		if len(page)+len(numbers) == q.Top {
			more = true
			break
		}
		numbers = append(numbers, i)
		next.MadeUp = i + 1
	}
	if a.world.Switches.Text(switches.EnPowerTotalCount) == "page" {
		total = len(page) + len(numbers)
	} else {
		total += populationSize(people, q.Type)
	}
	link := ""
	if more {
		link = a.nextLink(r, next)
	}
	newer := a.world.Switches.On(switches.EnPowerNewerFields)
	return call.Answer{
		Status: http.StatusOK, Header: http.Header{"Request-Id": {state.NewGUID()}}, Type: "application/json; charset=utf-8",
		Outcome: strconv.Itoa(len(page)+len(numbers)) + " mailboxes",
		Stream: func(w io.Writer) error {
			out := bufio.NewWriterSize(w, 64<<10)
			writePage(out, c.key, page, numbers, people, newer)
			tail, _ := json.Marshal(link) // a text
			_, _ = out.WriteString(`],"totalCount":` + strconv.Itoa(total) + `,"nextLink":` + string(unescapeHTML(tail)) + `}`)
			return out.Flush()
		},
	}
}

// writePage writes the rows; the writer keeps the first error for Flush.
func writePage(out *bufio.Writer, key string, page []*state.View, numbers []int, people state.Population, newer bool) {
	_, _ = out.WriteString(`{"` + key + `":[`)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for i := range len(page) + len(numbers) {
		if i > 0 {
			_ = out.WriteByte(',')
		}
		switch {
		case i >= len(page):
			_ = encoder.Encode(madeUp(people, numbers[i-len(page)], newer))
		case page[i].Verbatim != nil:
			_, _ = out.Write(page[i].Verbatim)
		default:
			_ = encoder.Encode(rowOf(page[i], newer))
		}
	}
}

// unescapeHTML undoes what json.Marshal does to the & of a URL.
func unescapeHTML(text []byte) []byte { return bytes.ReplaceAll(text, []byte(`\u0026`), []byte("&")) }

// listed reports whether made-up mailbox number i is there, and of a type.
func listed(p state.Population, i, kind int) bool {
	return (kind == 0 || shared(i) == (kind == 2)) && !removed(p, i)
}

// populationSize counts the made-up mailboxes of a type.
func populationSize(p state.Population, kind int) int {
	if p.Removed == 0 {
		sharedOnes := p.Count / 10
		return [3]int{p.Count, p.Count - sharedOnes, sharedOnes}[kind]
	}
	n := 0
	for i := range p.Count {
		if listed(p, i, kind) {
			n++
		}
	}
	return n
}

// belongs reports whether a view is in the collection and passes the filters.
func (a *API) belongs(v *state.View, c collection, q query) bool {
	if v.Mailbox == nil {
		return c.population && q.Type != 2 && q.Tenant == "" // the page's sample: a user mailbox without a tenant
	}
	return slices.Contains(c.types[q.Type], v.Mailbox.Type) && a.isTenant(q.Tenant, v.TenantID, v.TenantDomain)
}

// isTenant compares the tenant parameter, whose form the page leaves open.
func (a *API) isTenant(wanted, id, domain string) bool {
	form := a.world.Switches.Text(switches.EnPowerTenantForm)
	return wanted == "" || form != "domain" && strings.EqualFold(wanted, id) || form != "id" && strings.EqualFold(wanted, domain)
}

// nextLink carries the original parameters within an opaque token.
func (a *API) nextLink(r *http.Request, next query) string {
	raw, _ := json.Marshal(next) // numbers and a text
	path, _, _ := strings.Cut(r.RequestURI, "?")
	link := path + "?skipToken=" + base64.RawURLEncoding.EncodeToString(raw)
	if a.world.Switches.Text(switches.EnPowerNextLink) == "relative" {
		return link
	}
	return call.Origin(r) + link
}

// problem is an error in the nearest documented shape, that of the Cloud Backup sibling.
func problem(w *state.World, status int, code, field, text string) call.Answer {
	request := state.NewGUID()
	body, _ := json.Marshal(map[string]any{
		"statusCode": status, "message": http.StatusText(status),
		"errors":    []any{map[string]any{"code": code, "field": field, "message": text}},
		"requestId": request, "timestamp": w.Now().Format(time.RFC3339Nano), "traceId": "00-" + strings.ReplaceAll(request, "-", "") + "-0000000000000000-00",
	})
	return call.Answer{
		Status: status, Header: http.Header{"Request-Id": {request}}, Type: "application/json; charset=utf-8",
		Body: body, Outcome: code + ": " + text,
	}
}
