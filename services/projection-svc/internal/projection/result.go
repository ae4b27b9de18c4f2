package projection

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/projection-svc/internal/projector"
)

// result is one event of an operation, as every projection of EVENTS starts from it.
type result struct {
	projector.Record
	event       event.Event
	domain      string
	operationID string // from the subject, which is what makes events one operation's
	tenant      string
}

// readResult reads an event of the stream EVENTS.
func readResult(r projector.Record) (result, error) {
	e, err := decode(r)
	if err != nil {
		return result{}, err
	}
	tokens := strings.Split(r.Subject, ".") // mailwright.evt.<domain>.<operationid>
	if len(tokens) != 4 {
		return result{}, projector.Unfitf("the subject is not one of an operation")
	}
	return result{
		Record: r, event: e, domain: tokens[2], operationID: text(tokens[3]),
		tenant: attribute(e, event.TenantID),
	}, nil
}

// results reads the events of the types that a projection is made from, and leaves out the others.
func results(records []projector.Record, types ...string) ([]result, error) {
	var list []result
	for _, record := range records {
		r, err := readResult(record)
		if err != nil {
			return nil, err
		}
		for _, t := range types {
			if r.event.Type() == t {
				list = append(list, r)
			}
		}
	}
	return list, nil
}

// topic is where the events of all operations of a domain stand.
func topic(domain event.Domain) string {
	return strings.TrimSuffix(bus.EventSubject(domain, "x"), "x") + "*"
}

// into reads the event's data into a type of package event.
func (r result) into(data any) error { return into(r.event, data) }

func (r result) correlationID() string { return attribute(r.event, event.CorrelationID) }

func into(e event.Event, data any) error {
	if json.Unmarshal(e.Data(), data) == nil {
		return nil
	}
	// The decoder's own error may quote the data; the schema's faults do not.
	if faults := event.Check(e); len(faults) > 0 {
		return projector.Unfitf("%s: %s %s", text(e.Type()), faults[0].Field, faults[0].Problem)
	}
	return projector.Unfitf("%s: the data can not be read", text(e.Type()))
}

// decode reads a CloudEvent, and makes its data fit for Postgres.
func decode(r projector.Record) (event.Event, error) {
	e, err := event.Decode(r.Header, r.Data)
	if err != nil {
		return event.Event{}, projector.Unfitf("%s", text(err.Error()))
	}
	if len(e.Data()) > 0 {
		data, ok := cleanJSON(e.Data())
		if !ok {
			return event.Event{}, projector.Unfitf("the data are not JSON")
		}
		e.DataEncoded = data
	}
	return e, nil
}

// Postgres stores neither NUL nor halves of a surrogate pair nor what is not UTF-8, all of which a JSON
// text can hold; they become the replacement character, as they do in Go.
const nul, replacement = "\x00", "\uFFFD"

// text makes a text fit for Postgres.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, replacement), nul, replacement)
}

func attribute(e event.Event, name string) string { return text(event.Extension(e, name)) }

// cleanJSON makes JSON fit for jsonb; ok is false where it is no JSON.
func cleanJSON(data []byte) (clean []byte, ok bool) {
	if !bytes.Contains(data, []byte(`\u`)) && utf8.Valid(data) {
		return data, json.Valid(data)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var v any
	if !json.Valid(data) || decoder.Decode(&v) != nil {
		return nil, false
	}
	clean, err := json.Marshal(cleanValue(v))
	return clean, err == nil
}

func cleanValue(v any) any {
	switch v := v.(type) {
	case string:
		return text(v)
	case []any:
		for i := range v {
			v[i] = cleanValue(v[i])
		}
	case map[string]any:
		clean := make(map[string]any, len(v))
		for name, member := range v {
			clean[text(name)] = cleanValue(member)
		}
		return clean
	}
	return v
}

// list gives a list as JSON, [] for none.
func list[T any](items []T) json.RawMessage {
	if len(items) == 0 {
		return json.RawMessage("[]")
	}
	raw, err := json.Marshal(items)
	if err != nil {
		return json.RawMessage("[]") // T are plain data types, which always marshal
	}
	return raw
}
