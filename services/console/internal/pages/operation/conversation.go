package operation

import (
	"context"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/console/internal/page"
	"github.com/mailwright/mailwright/services/internal/explain"
	"github.com/mailwright/mailwright/services/internal/operator"
	"github.com/mailwright/mailwright/services/internal/render"
)

// node is an operation of a conversation.
type node struct {
	ID, CommandID, Tenant, Domain, Type, Subject, State string
	Received                                            time.Time
	// Cause is the operation that caused it, if that is one of the conversation.
	Cause string
}

// maxRelated bounds how many operations of a conversation are shown.
const maxRelated = 30

// related are the operations that belong together: of one correlation id, and what one is sent
// again for, cancels, or was caused by. The operation itself is among them.
func (o reader) related(ctx context.Context, r *page.Request, x explain.Explanation, f explain.Facts) ([]node, error) {
	ids := []string{x.OperationID, x.CausedByOperation, operator.OperationBehind(x.ID), cancelledBy(x.Tenant, f.Events)}
	rows, err := page.Rows[node](ctx, o.source, `
SELECT DISTINCT operation_id, command_id, tenant, domain, command_type, subject, state, received_at, '' FROM (
  (SELECT * FROM operations WHERE operation_id = ANY ($2))
  UNION ALL (SELECT * FROM operations WHERE command_id = $3)
  UNION ALL (SELECT * FROM operations WHERE correlation_id = $4 AND correlation_id <> '' ORDER BY received_at DESC LIMIT $5)
) found WHERE ($1::text[] IS NULL OR tenant = ANY ($1)) ORDER BY received_at LIMIT $5`,
		r.Tenants(), ids, operator.AgainID(x.OperationID), x.CorrelationID, maxRelated)
	if err != nil || len(rows) < 2 {
		return rows, err
	}
	for i := range rows {
		if rows[i].Cause, err = o.cause(ctx, r, rows[i]); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// cancelledBy is the operation of the cancel that ended a record; "" if none did.
func cancelledBy(tenant string, events []explain.Event) string {
	if len(events) == 0 {
		return ""
	}
	var data event.CancelledData
	last := events[len(events)-1]
	if state, _ := event.StateOf(last.Event); state != event.StateCancelled || last.DataAs(&data) != nil {
		return ""
	}
	return event.OperationID(tenant, data.By.Source, data.By.ID)
}

// cause is the operation that caused another: its id says so, or its command's causationid.
func (o reader) cause(ctx context.Context, r *page.Request, n node) (string, error) {
	if behind := operator.OperationBehind(n.CommandID); behind != "" {
		return behind, nil
	}
	return o.causes.Get(ctx, r, n.ID, func(ctx context.Context) (string, error) {
		t := operator.Target{OperationID: n.ID, Tenant: n.Tenant, Domain: event.Domain(n.Domain)}
		c, found, err := operator.CommandOf(ctx, o.source.JS, t)
		if err != nil || !found {
			return "", err
		}
		return explain.OperationOfEvent(event.Extension(c.Event, event.AttrCausationID)), nil
	})
}

// Sizes of the graph, in its own units.
const (
	nodeWidth, nodeHeight = 190, 46
	columnGap, rowGap     = 44, 12
	gridColumns           = 4
)

// graph draws the operations of a conversation from the left to the right: what caused another
// stands left of it.
func graph(self string, nodes []node) template.HTML {
	if len(nodes) < 2 {
		return ""
	}
	places, columns, rows := arrange(nodes)
	width, height := columns*(nodeWidth+columnGap)-columnGap+8, rows*(nodeHeight+rowGap)-rowGap+8
	var w strings.Builder
	fmt.Fprintf(&w, `<svg class="graph" viewBox="0 0 %d %d" width="%d" height="%d" role="group" aria-label="Operations that belong together, causes on the left">`,
		width, height, width, height)
	for _, n := range nodes {
		from, ok := places[n.Cause]
		if !ok {
			continue
		}
		to := places[n.ID]
		x1, y1, x2, y2 := from.x+nodeWidth, from.y+nodeHeight/2, to.x, to.y+nodeHeight/2
		fmt.Fprintf(&w, `<path class="edge" d="M%d %d C%d %d %d %d %d %d"/><path class="tip" d="M%d %d l-7 -4 v8 z"/>`, x1, y1, x1+columnGap/2, y1, x2-columnGap/2, y2, x2-5, y2, x2, y2)
	}
	for _, n := range nodes {
		drawNode(&w, n, places[n.ID], n.ID == self)
	}
	w.WriteString(`</svg>`)
	return template.HTML(w.String()) //nolint:gosec // texts are escaped, the rest is made of numbers
}

type place struct{ x, y int }

// arrange gives each node its place: its column is how many causes it has one behind the other.
func arrange(nodes []node) (places map[string]place, columns, rows int) {
	byID := map[string]node{}
	for _, n := range nodes {
		byID[n.ID] = n
	}
	filled := map[int]int{}
	places = map[string]place{}
	if !slices.ContainsFunc(nodes, func(n node) bool { _, ok := byID[n.Cause]; return ok }) {
		for i, n := range nodes { // nothing is known to have caused another
			column := i % gridColumns
			places[n.ID] = place{4 + column*(nodeWidth+columnGap/2), 4 + i/gridColumns*(nodeHeight+rowGap)}
		}
		return places, min(len(nodes), gridColumns), (len(nodes) + gridColumns - 1) / gridColumns
	}
	for _, n := range nodes {
		column := 0
		for at := n; column < len(nodes); column++ {
			next, ok := byID[at.Cause]
			if !ok {
				break
			}
			at = next
		}
		places[n.ID] = place{4 + column*(nodeWidth+columnGap), 4 + filled[column]*(nodeHeight+rowGap)}
		filled[column]++
		columns, rows = max(columns, column+1), max(rows, filled[column])
	}
	return places, columns, rows
}

func drawNode(w *strings.Builder, n node, at place, self bool) {
	class, current := "node "+n.State, ""
	if self {
		class, current = class+" self", ` aria-current="true"`
	}
	about := n.Subject
	if about == "" {
		about = n.ID[:8]
	}
	label := render.Short(n.Type) + ", " + n.State + ", " + about
	fmt.Fprintf(w, `<a href="/operations/%s" class="%s"%s aria-label="%s"><title>%s</title><rect x="%d" y="%d" width="%d" height="%d" rx="5"/>`,
		n.ID, template.HTMLEscapeString(class), current, template.HTMLEscapeString(label), template.HTMLEscapeString(label), at.x, at.y, nodeWidth, nodeHeight)
	fmt.Fprintf(w, `<text x="%d" y="%d">%s</text><text class="soft" x="%d" y="%d">%s</text></a>`,
		at.x+10, at.y+19, template.HTMLEscapeString(shorten(render.Short(n.Type))), at.x+10, at.y+36, template.HTMLEscapeString(shorten(n.State+" · "+about)))
}

func shorten(text string) string {
	const longest = 26
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest-1]) + "…"
	}
	return text
}
