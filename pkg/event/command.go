package event

import (
	"fmt"
	"slices"
	"strings"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/nats-io/nats.go"
)

// Command is a command as it was read: its envelope by the table of attributes, its data by its
// schema. Its Event holds only what is in its form and within its bounds, so that results can
// repeat it.
type Command struct {
	Document
	// AttrTenantID is the attribute tenantid; "" where it is absent.
	TenantID string
	// AttrDryRun asks for the plan alone.
	DryRun bool
	// AttrNotBefore and ExpiryTime are zero where they are absent.
	NotBefore, ExpiryTime time.Time
	faults                []Fault // of the envelope
}

// UnreadableError says why nobody can be answered about a message: it has no usable id or source.
type UnreadableError struct {
	// Field is the attribute, or "body", "header" or "content-type".
	Field string
	// Problem never quotes a value.
	Problem string
	// ID, Source and Type are the command's, as far as they could be read.
	ID, Source, Type string
}

// Error implements error.
func (e *UnreadableError) Error() string { return e.Field + " " + e.Problem }

// ReadCommand reads a command from a NATS message in either content mode (CloudEvents 1.0, NATS
// protocol binding), and holds its envelope and its data against their schemas. What is wrong with
// it is in [Command.Check]. The error is an *[UnreadableError] where the message has no usable id
// or source, so that no result could name the command.
//
// It takes what publishers do differently and what still has one meaning: names of attributes in
// any case of letters, the content type in ce-datacontenttype or content-type, a structured event
// with no header at all, a byte order mark.
func ReadCommand(header nats.Header, body []byte) (Command, error) {
	r, err := receive(header, body)
	if err != nil {
		return Command{}, err
	}
	r.hold()
	if err := r.identified(); err != nil {
		return Command{}, err
	}
	c := Command{Document: Document{Event: r.build()}, faults: sorted(r.faults)}
	c.TenantID, _ = r.attributes[AttrTenantID].(string)
	c.DryRun, _ = r.attributes[AttrDryRun].(bool)
	c.NotBefore, c.ExpiryTime = r.instant(AttrNotBefore), r.instant(AttrExpiryTime)
	switch {
	case r.isFaulty("type"), r.isFaulty("datacontenttype"), r.isFaulty(base64Member): // the data cannot be told
	case compiled().types[c.Event.Type()] != nil && !IsCommand(c.Event.Type()):
		c.faults = append(c.faults, Fault{Field: "type", Problem: fmt.Sprintf("%q is a result; asyncapi.yaml lists the commands", c.Event.Type())})
	default:
		c.Document = readData(c.Event, maxValues)
	}
	return c, nil
}

// Check returns every fault of envelope and data, those of the envelope first; none means valid.
func (c Command) Check() []Fault { return bounded(slices.Concat(c.faults, c.Document.faults)) }

// hold holds the attributes against cloudevent.json. An attribute with a fault is taken out.
func (r *received) hold() {
	r.dropAbsent()
	faulty := len(r.faults)
	for _, f := range envelopeFaults(r.attributes) {
		f.Field = strings.TrimPrefix(f.Field, "/")
		if slices.ContainsFunc(r.faults[:faulty], func(g Fault) bool { return g.Field == f.Field }) {
			continue // it has been told why there is none
		}
		r.faults = append(r.faults, f)
		delete(r.attributes, f.Field)
	}
}

// require holds an event of ours against what every CloudEvent has. Its lengths are not held
// against cloudevent.json, which costs more than the reading: what was published by us fits.
func (r *received) require() {
	r.dropAbsent()
	for _, name := range [...]string{"id", "source", "type"} {
		if r.text(name) == "" && !r.isFaulty(name) {
			r.fault(name, "is missing; it is required")
		}
	}
	if v := r.text("specversion"); v != "1.0" && !r.isFaulty("specversion") {
		r.fault("specversion", "must be 1.0")
	}
}

// dropAbsent takes out the attributes that are null or refused.
func (r *received) dropAbsent() {
	for name, value := range r.attributes {
		if value == nil {
			delete(r.attributes, name)
		}
	}
}

// identified says why a message names no command. What else is wrong with it can be answered.
func (r *received) identified() error {
	for _, f := range r.faults {
		if f.Field == "id" || f.Field == "source" {
			return &UnreadableError{Field: f.Field, Problem: f.Problem, ID: r.text("id"), Source: r.text("source"), Type: r.text("type")}
		}
	}
	return nil
}

func (r *received) text(name string) string {
	s, _ := r.attributes[name].(string)
	return s
}

func (r *received) isFaulty(name string) bool {
	return slices.ContainsFunc(r.faults, func(f Fault) bool { return f.Field == name })
}

func (r *received) instant(name string) time.Time { return instant(r.text(name)) }

// build makes the SDK's event of the attributes. Its setters would rewrite them: they trim, and
// normalise a source.
func (r *received) build() Event {
	c := &cloudevents.EventContextV1{ID: r.text("id"), Type: r.text("type"), Source: verbatim(r.text("source"))}
	media := contentTypeJSON
	c.DataContentType = &media
	for name, value := range r.attributes {
		switch name {
		case "specversion", "id", "source", "type":
		case "subject":
			s := value.(string)
			c.Subject = &s
		case "datacontenttype":
			media = value.(string)
		case "dataschema":
			c.DataSchema = types.ParseURI(value.(string))
		case "time":
			c.Time = &types.Timestamp{Time: r.instant(name)}
		default:
			if c.Extensions == nil {
				c.Extensions = make(map[string]any, len(r.attributes))
			}
			c.Extensions[name] = value
		}
	}
	return Event{Context: c, DataEncoded: r.data}
}

// verbatim is a source that stays as it is written: an opaque URL is given back as it is, and
// nothing is normalised.
func verbatim(source string) (ref types.URIRef) {
	ref.Opaque = source
	return ref
}

// Decode reads an event of ours, such as a result, in either content mode. Its error names the
// first thing that is wrong with the envelope, and never quotes a value; the data is not looked at.
// Commands are read by [ReadCommand].
func Decode(header nats.Header, body []byte) (Event, error) {
	r, err := receive(header, body)
	if err != nil {
		return Event{}, err
	}
	r.require()
	if len(r.faults) > 0 {
		f := sorted(r.faults)[0]
		return Event{}, &UnreadableError{Field: f.Field, Problem: f.Problem, ID: r.text("id"), Source: r.text("source"), Type: r.text("type")}
	}
	return r.build(), nil
}
