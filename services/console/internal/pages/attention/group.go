package attention

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/console/internal/act"
	"github.com/mailwright/mailwright/services/console/internal/page"
	"github.com/mailwright/mailwright/services/console/internal/runs"
	"github.com/mailwright/mailwright/services/internal/operator"
)

const (
	// maxCounted is how many rows of a kind are grouped, the latest first: no page counts to the
	// end.
	maxCounted = 10_000
	// maxMembers is how many members of a group are listed.
	maxMembers = 100
	// sparks is the number of bars of a group's small chart.
	sparks = 24
)

// kind is a kind of group: where its rows come from, and what helps.
type kind struct {
	name, label, hint string
	// actions that help, by their names in package runs.
	actions []string
	// rows selects (at, tenant, operation, letter, domain, type, vendor, failure, code, text,
	// about), the latest first. $1 are the tenants, $2 is the beginning of the time, $3 bounds the
	// rows, $4 is the source of commands that are sent again.
	rows string
}

var kinds = []kind{
	{
		name: "dead", label: "Dead letters", hint: "Messages that nobody can carry out or answer.", actions: []string{"replay", "discard"},
		rows: `SELECT dead_at, tenant, operation_id, sequence, domain, type, '', reason, '', detail, command_id
  FROM dead_letters WHERE ($1::text[] IS NULL OR tenant = ANY ($1)) AND dead_at > $2 AND $4 <> '' ORDER BY dead_at DESC LIMIT $3`,
	},
	{
		name: "unknown", label: "Unknown outcomes", hint: "A call was sent and its answer was lost. They are read back by themselves.", actions: nil,
		rows: open("unknown", ""),
	},
	{
		name: "failed", label: "Failures", hint: "They ended without success. Put the cause right, then send them again.", actions: []string{"again"},
		rows: ended("failed"),
	},
	{
		name: "rejected", label: "Rejections", hint: "Their commands were wrong, and nothing was sent to a vendor. Correct each and send it as new.", actions: []string{"again"},
		rows: ended("rejected"),
	},
	{
		name: "waiting", label: "Waiting after a failure", hint: "They are tried again by themselves. Once the cause is put right, they need not wait.",
		actions: []string{"retry", "cancel"},
		rows:    open("waiting", "AND waiting_reason = 'failure'"),
	},
}

// open selects operations that are in a state.
func open(state, further string) string {
	return `SELECT coalesce(failing_since, received_at), tenant, operation_id, 0::bigint, domain, command_type, failure_vendor, failure_kind, failure_code,
       failure_text, coalesce(nullif(subject, ''), key)
  FROM operations WHERE ($1::text[] IS NULL OR tenant = ANY ($1))
   AND state IN ('received', 'started', 'waiting', 'unknown') AND state = '` + state + `' ` + further + `
   AND $2::timestamptz IS NOT NULL AND $4 <> '' ORDER BY next_attempt_at LIMIT $3`
}

// ended selects operations that ended badly, and were not sent again.
func ended(state string) string {
	return `SELECT finished_at, tenant, operation_id, 0::bigint, domain, command_type, failure_vendor, failure_kind, failure_code,
       CASE WHEN state = 'rejected' THEN concat_ws(' ', faults -> 0 ->> 'field', faults -> 0 ->> 'problem') ELSE failure_text END, coalesce(nullif(subject, ''), key)
  FROM operations o WHERE ($1::text[] IS NULL OR tenant = ANY ($1)) AND state IN ('failed', 'rejected') AND state = '` + state + `' AND finished_at > $2
   AND command_type <> 'io.mailwright.operation.cancel.v1'
   AND NOT EXISTS (SELECT FROM operations again WHERE again.command_id = 'again.' || o.operation_id AND again.command_source = $4)
 ORDER BY finished_at DESC LIMIT $3`
}

func kindOf(name string) (kind, bool) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if i < 0 {
		return kind{}, false
	}
	return kinds[i], true
}

// member is a row of a group.
type member struct {
	At                time.Time
	Tenant, Operation string
	Letter            int64
	Domain, Type      string
	Vendor, Failure   string
	Code, Text, About string
}

// Item is what a run does something to.
func (m member) item() runs.Item {
	return runs.Item{Target: operator.Target{OperationID: m.Operation, Tenant: m.Tenant, Domain: event.Domain(m.Domain)}, Letter: uint64(max(m.Letter, 0)), Label: m.About}
}

// Name is the value of the member's box.
func (m member) Name() string {
	if m.Letter > 0 {
		return strconv.FormatInt(m.Letter, 10)
	}
	return m.Operation
}

// Link is the member's page.
func (m member) Link() string { return m.item().Link() }

// cause is what the members of a group have in common.
type cause struct{ Domain, Type, Vendor, Failure, Code, Fault string }

func (k kind) causeOf(m member) cause {
	c := cause{m.Domain, m.Type, m.Vendor, m.Failure, m.Code, ""}
	if k.name == "rejected" {
		c.Fault = m.Text
	}
	return c
}

// Text names the cause.
func (c cause) Text() string {
	text := strings.TrimSpace(strings.Join([]string{c.Vendor, c.Failure, c.Code}, " "))
	return cmp.Or(text, c.Fault, "not carried out")
}

// group is what has one cause.
type group struct {
	cause
	Count         int
	First, Latest time.Time
	Example       member
	Spark         template.HTML
	Link          string
}

// rows reads the rows of a kind.
func (a attention) rows(ctx context.Context, r *page.Request, k kind) ([]member, error) {
	return page.Rows[member](ctx, a.source, k.rows, r.Tenants(), time.Now().Add(-chosenSpan(r).length), maxCounted, act.Source)
}

// groups reads the groups of a kind, the largest first.
func (a attention) groups(ctx context.Context, r *page.Request, k kind) ([]group, error) {
	rows, err := a.rows(ctx, r, k)
	if err != nil {
		return nil, err
	}
	byCause := map[cause]*group{}
	counts := map[cause]*[sparks]int{}
	span, now := chosenSpan(r), time.Now()
	var list []*group
	for _, m := range rows {
		c := k.causeOf(m)
		g, ok := byCause[c]
		if !ok {
			g = &group{cause: c, Example: m, Latest: m.At, First: m.At, Link: groupLink(k, c, span)}
			byCause[c], counts[c] = g, &[sparks]int{}
			list = append(list, g)
		}
		g.Count++
		g.First, g.Latest = earlier(g.First, m.At), later(g.Latest, m.At)
		if i := sparks - 1 - int(now.Sub(m.At)*sparks/span.length); i >= 0 && i < sparks {
			counts[c][i]++
		}
	}
	var groups []group
	for _, g := range list {
		g.Spark = spark(*counts[g.cause], span.label)
		groups = append(groups, *g)
	}
	slices.SortStableFunc(groups, func(x, y group) int { return cmp.Compare(y.Count, x.Count) })
	return groups, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// spark draws a row of small bars, the oldest at the left.
func spark(counts [sparks]int, span string) template.HTML {
	highest := slices.Max(counts[:])
	if highest == 0 {
		return ""
	}
	const height, width = 24, 5
	var w strings.Builder
	fmt.Fprintf(&w, `<svg class="spark" viewBox="0 0 %d %d" role="img" aria-label="%d at most in a %dth of the %s, the last %d">`,
		sparks*width, height, highest, sparks, template.HTMLEscapeString(span), counts[sparks-1])
	for i, n := range counts {
		if n > 0 {
			h := max(2, n*height/highest)
			fmt.Fprintf(&w, `<rect x="%d" y="%d" width="%d" height="%d"/>`, i*width, height-h, width-1, h)
		}
	}
	w.WriteString(`</svg>`)
	return template.HTML(w.String()) //nolint:gosec // made of numbers
}

// span is how far back the pages look.
type span struct {
	name, label string
	length      time.Duration
}

const day = 24 * time.Hour

var spanChoices = []span{{"hour", "last hour", time.Hour}, {"day", "last day", day}, {"week", "last week", 7 * day}, {"month", "last 30 days", 30 * day}}

// spanChoice is a span that the page offers.
type spanChoice struct {
	Name, Label, Link string
	Current           bool
}

func chosenSpan(r *page.Request) span {
	for _, s := range spanChoices {
		if s.name == r.Query.Get("span") {
			return s
		}
	}
	return spanChoices[1]
}

func spans(r *page.Request) (list []spanChoice) {
	for _, s := range spanChoices {
		list = append(list, spanChoice{s.name, s.label, r.With("span", s.name), s == chosenSpan(r)})
	}
	return list
}

func groupLink(k kind, c cause, s span) string {
	q := url.Values{"kind": {k.name}, "span": {s.name}}
	for name, value := range map[string]string{"domain": c.Domain, "type": c.Type, "vendor": c.Vendor, "failure": c.Failure, "code": c.Code, "fault": c.Fault} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return "/attention/group?" + q.Encode()
}

func causeFrom(q url.Values) cause {
	return cause{q.Get("domain"), q.Get("type"), q.Get("vendor"), q.Get("failure"), q.Get("code"), q.Get("fault")}
}

// groupData is the page of one group.
type groupData struct {
	group
	Kind    string
	Hint    string
	Members []member
	Left    int
	Actions []runs.Action
	Fields  []field
	Back    string
}

// field is a hidden field of the form: what the group is.
type field struct{ Name, Value string }

// Title names the group.
func (d groupData) Title() string { return d.Text() }

func (a attention) loadGroup(ctx context.Context, r *page.Request) (groupData, error) {
	k, ok := kindOf(r.Query.Get("kind"))
	if !ok {
		return groupData{}, page.NotFound("There is no such group.")
	}
	c := causeFrom(r.Query)
	d := groupData{group: group{cause: c}, Kind: k.label, Hint: k.hint, Back: "/attention?span=" + chosenSpan(r).name}
	members, err := a.members(ctx, r, k, c)
	if err != nil {
		return d, err
	}
	d.Count, d.Left = len(members), max(0, len(members)-maxMembers)
	d.Members = members[:min(len(members), maxMembers)]
	for i, m := range members {
		if i == 0 {
			d.Example, d.First, d.Latest = m, m.At, m.At
		}
		d.First, d.Latest = earlier(d.First, m.At), later(d.Latest, m.At)
	}
	for _, name := range k.actions {
		if action, ok := runs.ActionOf(name); ok && r.Person.May(action.Least) {
			d.Actions = append(d.Actions, action)
		}
	}
	for _, name := range []string{"kind", "span", "domain", "type", "vendor", "failure", "code", "fault"} {
		if v := r.Query.Get(name); v != "" {
			d.Fields = append(d.Fields, field{name, v})
		}
	}
	return d, nil
}

// members reads the members of a group, the latest first.
func (a attention) members(ctx context.Context, r *page.Request, k kind, c cause) ([]member, error) {
	rows, err := a.rows(ctx, r, k)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(rows, func(m member) bool { return k.causeOf(m) != c }), nil
}
