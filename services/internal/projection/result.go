package projection

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// result is one event of an operation, as every projection of EVENTS starts from it.
type result struct {
	projector.Record
	event event.Event
	// Those are the subject's tokens: what makes events one operation's.
	tenant, domain, operationID string
}

// readResult reads an event of the stream EVENTS.
func readResult(r projector.Record) (result, error) {
	e, err := decode(r)
	if err != nil {
		return result{}, err
	}
	tokens := strings.Split(r.Subject, ".") // mailwright.evt.<tenant>.<domain>.<operationid>
	if len(tokens) != 5 {
		return result{}, projector.Unprojectablef("the subject is not one of an operation")
	}
	return result{
		Record: r, event: e, tenant: text(tokens[2]), domain: tokens[3], operationID: text(tokens[4]),
	}, nil
}

// results reads the events of the types that a projection is made from, and leaves out the others.
func results(records []projector.Record, types ...string) ([]result, error) {
	var list []result
	for _, record := range records {
		if t, known := typeOf(record); known && !slices.Contains(types, t) {
			continue
		}
		r, err := readResult(record)
		if err != nil {
			return nil, err
		}
		if slices.Contains(types, r.event.Type()) {
			list = append(list, r)
		}
	}
	return list, nil
}

// typeOf reads the type off a header as we write it ourselves, without reading the event; known is
// false for any other.
func typeOf(r projector.Record) (t string, known bool) {
	values := r.Header["ce-type"]
	return strings.Join(values, ""), len(values) == 1 && !strings.Contains(values[0], "%")
}

// eventSubjects is where the events of all operations of a domain stand.
func eventSubjects(domain event.Domain) string {
	return strings.TrimSuffix(topology.EventSubject("*", domain, "x"), "x") + "*"
}

// into reads the event's data into a type of package event.
func (r result) into(data any) error { return into(r.event, data) }

func (r result) correlationID() string { return attribute(r.event, event.AttrCorrelationID) }

func into(e event.Event, data any) error {
	if unmarshal(e.Data(), data) == nil {
		return nil
	}
	return unreadable(e)
}

// v1Options is all that encoding/json does, so that a replay gives the rows that earlier versions
// gave, save that a fault ends the reading at once.
var v1Options = jsonv2.JoinOptions(jsonv1.DefaultOptionsV1(), jsonv1.ReportErrorsWithLegacySemantics(false))

// unmarshal is json.Unmarshal by Go 1.27's implementation, which takes a third of the time.
func unmarshal(data []byte, into any) error { return jsonv2.Unmarshal(data, into, v1Options) }

// unreadable says why data cannot be read.
func unreadable(e event.Event) error {
	if !json.Valid(e.Data()) {
		return errNotJSON
	}
	// The decoder's own error may quote the data; the schema's faults do not.
	if faults := event.Check(e); len(faults) > 0 {
		return projector.Unprojectablef("%s: %s %s", text(e.Type()), faults[0].Field, faults[0].Problem)
	}
	return projector.Unprojectablef("%s: the data can not be read", text(e.Type()))
}

// decode reads a CloudEvent, and makes its data fit for Postgres. Whether they are JSON at all is
// found by [into].
func decode(r projector.Record) (event.Event, error) {
	d := projector.Memoize(r, decodeOnce)
	return d.event, d.err
}

type decoded struct {
	event event.Event
	err   error
}

func decodeOnce(r projector.Record) decoded {
	e, err := decodeRecord(r)
	return decoded{e, err}
}

func decodeRecord(r projector.Record) (event.Event, error) {
	e, err := event.Decode(r.Header, r.Data)
	if err != nil {
		return event.Event{}, projector.Unprojectablef("%s", text(err.Error()))
	}
	if data := e.Data(); needsCleaning(data) {
		clean, ok := cleanJSON(data)
		if !ok {
			return event.Event{}, errNotJSON
		}
		e.DataEncoded = clean
	}
	return e, nil
}

// Postgres stores neither NUL nor halves of a surrogate pair nor what is not UTF-8, all of which a
// JSON text can hold; they become the replacement character, as they do in Go.
const nul, replacement = "\x00", "\uFFFD"

// text makes a text fit for Postgres.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, replacement), nul, replacement)
}

func attribute(e event.Event, name string) string { return text(event.Extension(e, name)) }

var errNotJSON = projector.Unprojectablef("the data are not JSON")

// needsCleaning tells whether JSON may hold what Postgres does not store.
func needsCleaning(data []byte) bool { return bytes.Contains(data, []byte(`\u`)) || !utf8.Valid(data) }

// cleanJSON makes JSON fit for jsonb; ok is false where it is no JSON.
func cleanJSON(data []byte) (clean []byte, ok bool) {
	if !needsCleaning(data) {
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

// jsonList gives a list as JSON, [] for none.
func jsonList[T any](items []T) json.RawMessage {
	if len(items) == 0 {
		return json.RawMessage("[]")
	}
	raw, err := json.Marshal(items)
	if err != nil {
		return json.RawMessage("[]") // T are plain data types, which always marshal
	}
	return raw
}
