// Package send is the page that sends a command: a form made from the schema of its type, checked
// while it is filled in, planned by a dry run, and then sent and followed.
package send

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/sealed"
	"github.com/mailwright/mailwright/services/console/internal/act"
	"github.com/mailwright/mailwright/services/console/internal/page"
	"github.com/mailwright/mailwright/services/console/internal/runs"
	"github.com/mailwright/mailwright/services/internal/deadletters"
	"github.com/mailwright/mailwright/services/internal/operator"
	"github.com/mailwright/mailwright/services/internal/render"
)

//go:embed *.html
var templates embed.FS

type sender struct {
	source  page.Source
	tenants *page.Tenants
}

// New makes the page.
func New(s page.Source) page.Page {
	x := sender{s, page.NewTenants(s)}
	return page.Page{
		Path: "/send", Title: "Send a command", Nav: "Send", Least: page.Operator, Templates: templates,
		Load:    func(ctx context.Context, r *page.Request) (any, error) { return x.load(ctx, r) },
		Actions: []page.Action{{Path: "/send", Do: x.send}},
		Files:   []page.File{{Path: "/send/check", Method: http.MethodPost, Least: page.Operator, Serve: x.serveCheck}},
	}
}

// choice is a command type that the page offers.
type choice struct{ Type, Title, About string }

type data struct {
	Choices []choice
	// Of a form:
	Type, About string
	Fields      []field
	Tenants     []string
	Tenant      string
	Key         string
	Subject     string
	Correlation string
	ID          string
	// Again is the operation that the command takes the place of, Letter the dead letter that it
	// was made of.
	Again, Letter string
	HasSecrets    bool
	Example       string
	title         string
}

// Title names the form.
func (d data) Title() string { return cmp.Or(d.title, "Send a command") }

// offered are the types that the page offers: operations are cancelled on their own pages.
func offered() (list []string) {
	return slices.DeleteFunc(event.CommandTypes(), func(t string) bool { return t == event.TypeOperationCancel })
}

func (x sender) load(ctx context.Context, r *page.Request) (d data, err error) {
	var value map[string]any
	switch q := r.Query; {
	case q.Get("again") != "" || q.Get("like") != "" || q.Get("letter") != "":
		if value, err = x.prefill(ctx, r, &d); err != nil {
			return d, err
		}
	case q.Get("type") == "":
		for _, t := range offered() {
			s, err := readSchema(t)
			if err != nil {
				return d, err
			}
			d.Choices = append(d.Choices, choice{render.Short(t), s.Title, s.Description})
		}
		return d, nil
	default:
		d.Type = render.Long(q.Get("type"))
		value = map[string]any{}
		for name := range q { // what a link gives, such as /mailbox
			if strings.HasPrefix(name, "/") {
				value[name[1:]] = q.Get(name)
			}
		}
		if q.Has("example") {
			value = example(d.Type)
		}
		d.Example = r.With("example", "1")
	}
	if !slices.Contains(offered(), d.Type) {
		return d, page.NotFound("There is no command %s.", render.Short(d.Type))
	}
	return d, x.form(ctx, r, &d, value)
}

// form makes the form of a type with a value.
func (x sender) form(ctx context.Context, r *page.Request, d *data, value map[string]any) (err error) {
	s, err := readSchema(d.Type)
	if err != nil {
		return err
	}
	d.title, d.About, d.Fields, d.ID = s.Title, s.Description, fieldsOf(s, "", value), runs.NewID()
	d.HasSecrets = event.MayHoldSecrets(d.Type)
	d.Tenants, err = x.tenants.Names(ctx, r)
	d.Tenant = cmp.Or(d.Tenant, r.Query.Get("tenant"))
	return err
}

// prefill reads the command of an operation, or of a dead letter, without its secrets.
func (x sender) prefill(ctx context.Context, r *page.Request, d *data) (map[string]any, error) {
	e, document, tenant, err := x.original(ctx, r)
	if err != nil {
		return nil, err
	}
	if !r.Person.Sees(tenant) {
		return nil, page.NotFound("There is no such command, or it is not yours to see.")
	}
	d.Again, d.Letter = r.Query.Get("again"), r.Query.Get("letter")
	d.Type, d.Tenant, d.Subject, d.Correlation = e.Type(), tenant, e.Subject(), event.Extension(e, event.AttrCorrelationID)
	var value map[string]any
	_ = json.Unmarshal(event.Excerpt(document), &value) // data that does not fit its schema is left out
	return value, nil
}

// original reads the command that a new one is made of.
func (x sender) original(ctx context.Context, r *page.Request) (event.Event, event.Document, string, error) {
	if id := cmp.Or(r.Query.Get("again"), r.Query.Get("like")); id != "" {
		t, err := operator.Find(ctx, x.source.JS, id, "", "")
		if err != nil {
			return event.Event{}, event.Document{}, "", page.NotFound("Nothing is known of an operation %s.", id)
		}
		c, found, err := operator.CommandOf(ctx, x.source.JS, t)
		if err == nil && !found {
			err = page.NotFound("COMMANDS no longer holds the command of operation %s.", id)
		}
		return c.Event, c.Document, t.Tenant, err
	}
	return x.originalOfLetter(ctx, r.Query.Get("letter"))
}

func (x sender) originalOfLetter(ctx context.Context, number string) (e event.Event, d event.Document, tenant string, err error) {
	gone := page.NotFound("There is no dead letter %s, or COMMANDS no longer holds its command.", number)
	sequence, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return e, d, "", gone
	}
	stream, err := deadletters.Open(ctx, x.source.JS)
	if err != nil {
		return e, d, "", err
	}
	l, found, err := stream.Letter(ctx, sequence)
	if err != nil || !found {
		return e, d, "", cmp.Or(err, gone)
	}
	m, err := stream.Original(ctx, l)
	if err != nil || m == nil {
		return e, d, "", cmp.Or(err, gone)
	}
	c, err := event.ReadCommand(m.Header, m.Data)
	if err != nil {
		return e, d, "", page.Invalid("The message of dead letter %d is unreadable: send its command anew.", sequence)
	}
	return c.Event, c.Document, l.Content.Tenant, nil
}

// command makes the command of a form.
func command(r *page.Request) (client.Command, error) {
	f := r.Form
	t := render.Long(f.Get("type"))
	if !slices.Contains(offered(), t) {
		return client.Command{}, page.Invalid("There is no command %s.", render.Short(t))
	}
	s, err := readSchema(t)
	if err != nil {
		return client.Command{}, err
	}
	id, source := "console-"+f.Get("id"), act.SourceOf(r.Person)
	plans := f.Get("do") == "plan"
	if again := f.Get("again"); again != "" && !plans { // it takes the place of that operation, once
		id, source = operator.AgainID(again), act.Source
	}
	e, err := event.New(id, source, t, dataFrom(s, f))
	if err != nil {
		return client.Command{}, err
	}
	e.SetTime(time.Now().UTC())
	e.SetSubject(strings.TrimSpace(f.Get("subject")))
	event.Extend(&e, event.Attribute{Name: event.AttrCorrelationID, Value: strings.TrimSpace(f.Get("correlation"))},
		event.Attribute{Name: event.AttrAuthType, Value: event.AuthTypeUser}, event.Attribute{Name: event.AttrAuthID, Value: r.Person.Name})
	if at := strings.TrimSpace(f.Get("notbefore")); at != "" {
		if local, err := time.Parse("2006-01-02T15:04", at); err == nil { // the form of a browser's field
			at = local.UTC().Format(time.RFC3339)
		}
		event.Extend(&e, event.Attribute{Name: event.AttrNotBefore, Value: at})
	}
	if plans {
		event.Extend(&e, event.Attribute{Name: event.AttrDryRun, Value: "true"})
	}
	return client.Command{Event: e, Tenant: f.Get("tenant"), Key: strings.TrimSpace(f.Get("key")), Sealer: sealed.Sealer{}}, nil
}

// checked is the answer to a check.
type checked struct {
	Faults []event.Fault `json:"faults"`
	// Key orders the command; Operation is the id that it will have.
	Key       string `json:"key,omitempty"`
	Operation string `json:"operation,omitempty"`
}

// check holds the command of a form against the contract, and against what the person may do.
func check(r *page.Request) (client.Command, checked, error) {
	c, err := command(r)
	if err != nil {
		return c, checked{}, err
	}
	answer := checked{Faults: []event.Fault{}}
	if !r.Person.Sees(c.Tenant) {
		answer.Faults = append(answer.Faults, event.Fault{Field: "tenant", Problem: "must be one that you may send for"})
		return c, answer, nil
	}
	faults, err := operator.Check(c)
	if err != nil {
		faults = []event.Fault{{Field: "command", Problem: err.Error()}}
	}
	answer.Faults = append(answer.Faults, faults...)
	if _, receipt, err := c.Message(); err == nil {
		answer.Key, answer.Operation = receipt.Key, receipt.OperationID
	}
	return c, answer, nil
}

// maxForm is the size of a form, in bytes.
const maxForm = 1 << 20

func (x sender) serveCheck(w http.ResponseWriter, request *http.Request, r *page.Request) error {
	request.Body = http.MaxBytesReader(w, request.Body, maxForm)
	if err := request.ParseForm(); err != nil {
		return page.Invalid("The form cannot be read.")
	}
	r.Form = request.PostForm
	_, answer, err := check(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(answer)
}

// send publishes the command of a form, or asks for its plan, and leads to its operation.
func (x sender) send(ctx context.Context, r *page.Request) (done page.Done, err error) {
	plans := r.Form.Get("do") == "plan"
	var reason string
	if !plans {
		if reason, err = act.Reason(r); err != nil {
			return done, err
		}
	}
	c, answer, err := check(r)
	if err != nil {
		return done, err
	}
	if len(answer.Faults) > 0 {
		return done, page.Invalid("Nothing was sent: %s. Go back to correct it.", render.DescribeFaults(answer.Faults))
	}
	if again := r.Form.Get("again"); again != "" && !plans {
		if err := x.takesPlaceOf(ctx, r, again, &c); err != nil {
			return done, err
		}
	}
	receipt, err := act.Publish(ctx, x.source, r.Person, c, reason)
	done = page.Done{To: "/operations/" + receipt.OperationID, Notice: "Sent. This page follows it."}
	if plans {
		done.Notice = "The dry run is under way: nothing is written. Its plan appears here."
	}
	return done, err
}

// takesPlaceOf makes sure that an operation may be sent again, and says that it caused the command.
func (x sender) takesPlaceOf(ctx context.Context, r *page.Request, again string, c *client.Command) error {
	t, err := operator.Find(ctx, x.source.JS, again, c.Tenant, "")
	if err != nil {
		return page.NotFound("Nothing is known of an operation %s.", again)
	}
	planned, err := operator.PlanAgain(ctx, x.source.JS, t, json.RawMessage(c.Data()), act.Actor(r.Person))
	if err != nil {
		return act.Told(err)
	}
	event.Extend(&c.Event, event.Attribute{Name: event.AttrCausationID, Value: event.Extension(planned.Command().Event, event.AttrCausationID)})
	return nil
}
