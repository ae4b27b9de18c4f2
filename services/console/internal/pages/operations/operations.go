// Package operations is the list of operations: searched, filtered, page by page.
package operations

import (
	"context"
	"embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/console/internal/page"
)

//go:embed *.html
var templates embed.FS

// New makes the page.
func New(s page.Source) page.Page {
	return page.Page{
		Path: "/operations", Title: "Operations", Nav: "Operations", Templates: templates, Live: []string{"rows"},
		Load: func(ctx context.Context, r *page.Request) (any, error) { return load(ctx, s, r) },
	}
}

const (
	// pageRows is how many operations a page shows.
	pageRows = 50
	// scanned is how many operations a page looks through for a filter, textScanned for a text
	// in any field. If fewer than a page match, the page says how far it looked and goes on
	// from there.
	scanned     = 100_000
	textScanned = 20_000
)

// states are what the filter offers: each names states of operations.
var states = []struct {
	Name, Label string
	in          []string
}{
	{"", "any", nil},
	{"open", "open", []string{"received", "started", "waiting", "unknown"}},
	{"running", "running", []string{"received", "started"}},
	{"waiting", "waiting", []string{"waiting"}},
	{"unknown", "unknown", []string{"unknown"}},
	{"bad", "failed or rejected", []string{"failed", "rejected"}},
	{"failed", "failed", []string{"failed"}},
	{"rejected", "rejected", []string{"rejected"}},
	{"succeeded", "succeeded", []string{"succeeded"}},
	{"cancelled", "cancelled", []string{"cancelled"}},
}

type option struct {
	Value, Label string
	Chosen       bool
}

type data struct {
	Query           string
	States, Domains []option
	Tenant          string
	Exact           []page.Operation // named by an id, a ticket, a key, an address
	Rows            []page.Operation
	Looked          *time.Time // how far back the page looked, if that is not all
	Newest, Older   string     // addresses
}

func load(ctx context.Context, s page.Source, r *page.Request) (data, error) {
	d := data{Query: strings.TrimSpace(r.Query.Get("q")), Tenant: r.Query.Get("tenant")}
	for _, each := range states {
		d.States = append(d.States, option{each.Name, each.Label, each.Name == r.Query.Get("state")})
	}
	d.Domains = []option{{"", "any", r.Query.Get("domain") == ""}}
	for _, each := range event.Domains() {
		d.Domains = append(d.Domains, option{string(each), string(each), string(each) == r.Query.Get("domain")})
	}
	cursor, err := readCursor(r.Query.Get("before"))
	if err != nil {
		return d, err
	}
	if d.Query != "" && cursor.at.IsZero() {
		if d.Exact, err = exact(ctx, s, r, d.Query); err != nil {
			return d, err
		}
	}
	if r.Query.Has("before") {
		d.Newest = r.With("before", "")
	}
	return d, d.list(ctx, s, r, cursor)
}

var operationID = regexp.MustCompile(`^[a-z2-7]{26}$`)

// exact finds what a text names, each by an index: the id of an operation or of a command, a
// ticket, a key, a subject, an address or name of a mailbox or account that an operation made.
func exact(ctx context.Context, s page.Source, r *page.Request, q string) ([]page.Operation, error) {
	var ids []string
	if operationID.MatchString(q) {
		ids = []string{q}
	}
	key := event.Token(strings.ToLower(q))
	return page.Rows[page.Operation](ctx, s, `
SELECT DISTINCT `+page.OperationColumns+` FROM (
  (SELECT * FROM operations WHERE operation_id = ANY ($2))
  UNION ALL (SELECT * FROM operations WHERE correlation_id = $3 AND correlation_id <> '' ORDER BY received_at DESC LIMIT $6)
  UNION ALL (SELECT * FROM operations WHERE command_id = $3 LIMIT $6)
  UNION ALL (SELECT * FROM operations WHERE domain = ANY ($5) AND md5(key) = ANY (ARRAY[md5($3), md5($4)]) LIMIT $6)
  UNION ALL (SELECT * FROM operations WHERE lower(subject) = lower($3) AND subject <> '' LIMIT $6)
  UNION ALL (SELECT o.* FROM mailboxes m JOIN operations o USING (operation_id) WHERE lower(m.primary_smtp_address) = lower($3) LIMIT $6)
  UNION ALL (SELECT o.* FROM directory_objects d JOIN operations o USING (operation_id) WHERE lower(d.upn) = lower($3) LIMIT $6)
) found WHERE ($1::text[] IS NULL OR tenant = ANY ($1)) ORDER BY received_at DESC LIMIT $6`,
		r.Tenants(), ids, q, key, event.Domains(), pageRows)
}

// list reads the page at a cursor.
func (d *data) list(ctx context.Context, s page.Source, r *page.Request, from cursor) error {
	f := filter{tenants: r.Tenants(), states: chosenStates(r), domain: r.Query.Get("domain"), tenant: d.Tenant, text: d.Query, from: from}
	rows, limit, err := f.read(ctx, s)
	if err != nil {
		return err
	}
	// What is named above is left out: a part of a page has each id once.
	d.Rows = slices.DeleteFunc(slices.Clone(rows[:min(len(rows), pageRows)]), func(each page.Operation) bool {
		return slices.ContainsFunc(d.Exact, func(named page.Operation) bool { return named.ID == each.ID })
	})
	if len(rows) > pageRows {
		last := rows[pageRows-1]
		d.Older = r.With("before", cursor{last.Received, last.ID}.String())
		return nil
	}
	if limit == 0 {
		return nil
	}
	end, err := page.Rows[struct {
		At time.Time
		ID string
	}](ctx, s, `SELECT received_at, operation_id FROM operations WHERE received_at <= $1 ORDER BY received_at DESC OFFSET $2 LIMIT 1`, from.bound(), limit-1)
	if err == nil && len(end) == 1 {
		d.Looked = &end[0].At
		d.Older = r.With("before", cursor{end[0].At, end[0].ID}.String())
	}
	return err
}

func chosenStates(r *page.Request) []string {
	for _, each := range states {
		if each.Name == r.Query.Get("state") {
			return each.in
		}
	}
	return nil
}

// filter is what a page of the list asks for.
type filter struct {
	tenants, states      []string
	domain, tenant, text string
	from                 cursor
}

// anywhere matches a text in any field that people write or read.
const anywhere = `concat_ws(' ', operation_id, command_id, command_source, command_type, key, correlation_id, subject, failure_vendor, failure_kind, failure_code,
 failure_text, result::text, warnings::text, faults::text) ILIKE $7`

// read gives a row more than a page where there are more. limit is how many operations were looked
// through at most; 0: all of them.
func (f filter) read(ctx context.Context, s page.Source) (rows []page.Operation, limit int, err error) {
	where := `($1::text[] IS NULL OR tenant = ANY ($1)) AND ($2::text[] IS NULL OR state = ANY ($2)) AND ($3 = '' OR domain = $3) AND ($4 = '' OR tenant = $4)
 AND (received_at, operation_id) < ($5, $6)`
	pattern := ""
	source := `operations`
	switch {
	case f.text != "":
		limit = textScanned
		where += ` AND ` + anywhere
		pattern = "%" + likeEscaper.Replace(f.text) + "%"
	case f.open(): // the index of open operations finds them all
		where += ` AND state IN ('received', 'started', 'waiting', 'unknown') AND $7 = ''`
	default:
		limit = scanned
		where += ` AND $7 = ''`
	}
	if limit > 0 {
		source = fmt.Sprintf(`(SELECT * FROM operations WHERE received_at <= $5 ORDER BY received_at DESC LIMIT %d) latest`, limit)
	}
	rows, err = page.Rows[page.Operation](ctx, s, `SELECT `+page.OperationColumns+` FROM `+source+` WHERE `+where+` ORDER BY received_at DESC, operation_id DESC LIMIT $8`,
		f.tenants, f.states, f.domain, f.tenant, f.from.bound(), f.from.id(), pattern, pageRows+1)
	return rows, limit, err
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func (f filter) open() bool {
	for _, s := range f.states {
		if s == "succeeded" || s == "failed" || s == "rejected" || s == "cancelled" {
			return false
		}
	}
	return len(f.states) > 0
}

// cursor is where a page begins: behind an operation. The zero value is the newest page.
type cursor struct {
	at time.Time
	op string
}

// bound is later than anything on the newest page. It is a constant then, so that the shared
// reading of the page is the same query each time.
func (c cursor) bound() time.Time {
	if c.at.IsZero() {
		return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return c.at
}

func (c cursor) id() string { return c.op }

// String writes a cursor as it stands in an address: microseconds since 1970, and an operation id.
func (c cursor) String() string { return strconv.FormatInt(c.at.UnixMicro(), 10) + "." + c.op }

func readCursor(text string) (cursor, error) {
	if text == "" {
		return cursor{}, nil
	}
	micros, op, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(micros, 10, 64)
	if err != nil || op != "" && !operationID.MatchString(op) {
		return cursor{}, page.Invalid("The parameter before of the address is not one that this page wrote. Take it out.")
	}
	return cursor{time.UnixMicro(n).UTC(), op}, nil
}
