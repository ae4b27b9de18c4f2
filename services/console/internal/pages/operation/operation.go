// Package operation is the page of one operation: its timeline, why it is not done yet, what caused
// it and what it caused, and what a person can do about it.
package operation

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/console/internal/page"
	"github.com/mailwright/mailwright/services/internal/explain"
	"github.com/mailwright/mailwright/services/internal/operator"
	"github.com/mailwright/mailwright/services/internal/render"
)

//go:embed *.html
var templates embed.FS

// reader reads the page.
type reader struct {
	source page.Source
	// causes keeps what caused an operation: its command never changes.
	causes *page.Cache[string]
}

const causesLeast = time.Hour

// New makes the page.
func New(s page.Source) page.Page {
	o := reader{s, page.NewCache[string](causesLeast)}
	return page.Page{
		Path: "/operations/{id}", Title: "Operation", Under: "/operations", Templates: templates,
		Live: []string{"now", "doing", "picture", "moments", "conversation", "events"}, Always: true,
		Load:    func(ctx context.Context, r *page.Request) (any, error) { return o.load(ctx, r) },
		Actions: o.actions(),
		Files:   []page.File{{Path: "/operations/{id}/events.json", Serve: o.serveEvents}},
	}
}

// data is what the templates get.
type data struct {
	explain.Explanation
	Whom     string
	Data     json.RawMessage
	Picture  template.HTML
	Moments  []explain.Moment
	Left     int // moments that the list leaves out
	Graph    template.HTML
	Related  []node
	Events   []shownEvent
	More     int // events that the page leaves out
	Sequence uint64
	// May says what the person may do, and what makes sense.
	MayRetry, MayCancel, MaySendAgain, MayEdit, MayRepeat bool
	Letters                                               []explain.DeadLetter
}

// Title names the operation.
func (d data) Title() string {
	title := render.Short(d.CommandType)
	if title == "" {
		title = "Operation"
	}
	if d.Whom != "" {
		title += " for " + d.Whom
	}
	return title
}

// Sentence is one sentence; see package explain.
func (d data) Sentence() string { return d.Explanation.Sentence() }

type shownEvent struct {
	Sequence uint64
	Type     string
	At       time.Time
	JSON     string
	Cut      bool
}

func (o reader) load(ctx context.Context, r *page.Request) (data, error) {
	t, err := o.find(ctx, r)
	if err != nil {
		return data{}, err
	}
	f, err := operator.Facts(ctx, o.source.JS, t)
	if err != nil {
		return data{}, err
	}
	d := data{Explanation: explain.Explain(f, clock), Letters: f.DeadLetters}
	if d.State == "" && len(d.Timeline) == 0 {
		return d, page.NotFound(nothingKnown, t.OperationID)
	}
	d.Whom = d.Subject
	if d.Whom == "" {
		d.Whom = d.Key
	}
	if f.Command != nil {
		d.Data, d.Sequence = f.Command.Data, f.Command.Sequence
	}
	d.Picture = picture(d.Timeline, f.Now)
	d.Moments, d.Left = few(d.Timeline)
	d.Events, d.More = shownEvents(f.Events)
	d.may(r.Person)
	planned := f.Command != nil && f.Command.DryRun && d.State == event.StateSucceeded
	d.MayRepeat = planned && r.Person.May(page.Operator)
	d.Related, err = o.related(ctx, r, d.Explanation, f)
	d.Graph = graph(t.OperationID, d.Related)
	return d, err
}

// may says what the person may do.
func (d *data) may(p page.Person) {
	ended := d.State.Terminal()
	d.MayRetry = d.State == event.StateWaiting && p.May(page.HelpDesk)
	d.MayCancel = !ended && d.CommandType != event.TypeOperationCancel && p.May(page.Operator)
	bad := ended && d.State != event.StateSucceeded
	d.MaySendAgain = bad && d.State != event.StateRejected && d.CommandType != event.TypeOperationCancel && p.May(page.Operator)
	d.MayEdit = bad && d.CommandType != event.TypeOperationCancel && p.May(page.Operator)
}

const (
	// recordTimeout is how long the page waits for an operation of which nothing is known: whoever
	// has sent a command is led here before its row or its first event is there.
	recordTimeout = 3 * time.Second
	recordPoll    = 200 * time.Millisecond
	nothingKnown  = "Nothing is known of an operation %s."
)

// find says where the record of an operation stands. One of a tenant that the person may not see is
// not there.
func (o reader) find(ctx context.Context, r *page.Request) (operator.Target, error) {
	id := strings.ToLower(r.Value("id"))
	if !operator.IsWholeID(id) {
		return operator.Target{}, page.NotFound("%q is no operation's id: those have 26 of a-z and 2-7.", id)
	}
	until := time.Now().Add(recordTimeout)
	t, err := o.look(ctx, id)
	for errors.Is(err, operator.ErrNoRecord) && time.Now().Before(until) {
		select {
		case <-time.After(recordPoll):
		case <-ctx.Done():
			return t, ctx.Err()
		}
		t, err = o.look(ctx, id)
	}
	if errors.Is(err, operator.ErrNoRecord) || err == nil && !r.Person.Sees(t.Tenant) {
		return t, page.NotFound(nothingKnown, id)
	}
	return t, err
}

// look asks Postgres, and NATS if Postgres does not know: a row may lag behind, or Postgres be
// away.
func (o reader) look(ctx context.Context, id string) (operator.Target, error) {
	row, rowErr := page.Row[struct{ Tenant, Domain string }](ctx, o.source, `SELECT tenant, domain FROM operations WHERE operation_id = $1`, id)
	if rowErr == nil && row.Tenant != "" && row.Domain != "" {
		return operator.Target{OperationID: id, Tenant: row.Tenant, Domain: event.Domain(row.Domain)}, nil
	}
	t, err := operator.Find(ctx, o.source.JS, id, "", "")
	if errors.Is(err, operator.ErrNoRecord) && rowErr != nil && !errors.Is(rowErr, pgx.ErrNoRows) {
		return t, rowErr
	}
	return t, err
}

func clock(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") }

const (
	// maxMoments bounds the list of moments: of more, the first and the last are shown.
	maxMoments = 60
	// maxShownEvents bounds the events on the page, and maxEventText each of them, in bytes: the
	// file has all.
	maxShownEvents = 12
	maxEventText   = 3000
)

func few(list []explain.Moment) ([]explain.Moment, int) {
	if len(list) <= maxMoments {
		return list, 0
	}
	const first = 10
	left := len(list) - maxMoments
	return append(append([]explain.Moment{}, list[:first]...), list[first+left:]...), left
}

func shownEvents(events []explain.Event) (list []shownEvent, more int) {
	more = max(0, len(events)-maxShownEvents)
	for _, e := range events[more:] {
		raw, err := json.MarshalIndent(e.Event, "", "  ")
		if err != nil {
			continue
		}
		shown := shownEvent{Sequence: e.Sequence, Type: e.Type(), At: e.StoredAt, JSON: string(raw), Cut: len(raw) > maxEventText}
		if shown.Cut {
			shown.JSON = strings.ToValidUTF8(shown.JSON[:maxEventText], "") + " …"
		}
		list = append(list, shown)
	}
	return list, more
}

// serveEvents writes the record of an operation as JSON.
func (o reader) serveEvents(w http.ResponseWriter, request *http.Request, r *page.Request) error {
	t, err := o.find(request.Context(), r)
	if err != nil {
		return err
	}
	f, err := operator.Facts(request.Context(), o.source.JS, t)
	if err != nil {
		return err
	}
	events := []event.Event{}
	for _, e := range f.Events {
		events = append(events, e.Event)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Disposition", `attachment; filename="`+t.OperationID+`.json"`)
	return json.NewEncoder(w).Encode(events)
}
