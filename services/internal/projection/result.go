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

// result is one event of an operation, which every projection of EVENTS starts from.
type result struct {
	projector.Record
	event event.Event
	// Tokens of the subject. Events with the same tokens belong to one operation.
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

// results decodes the records that have one of the given event types, and ignores the others.
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

// typeOf reads the event type from the header that our services write, without decoding the event.
// known is false if the header is missing or has another form.
func typeOf(r projector.Record) (t string, known bool) {
	values := r.Header["ce-type"]
	return strings.Join(values, ""), len(values) == 1 && !strings.Contains(values[0], "%")
}

// eventSubjects is the pattern of the subjects of all events of a domain.
func eventSubjects(domain event.Domain) string {
	return strings.TrimSuffix(topology.EventSubject("*", domain, "x"), "x") + "*"
}

// into decodes the data into a data type of package event.
func (r result) into(data any) error { return into(r.event, data) }

func (r result) correlationID() string { return attribute(r.event, event.AttrCorrelationID) }

func into(e event.Event, data any) error {
	if unmarshal(e.Data(), data) == nil {
		return nil
	}
	return unreadable(e)
}

// v1Options make the decoder behave as encoding/json, so that a replay gives the rows that earlier
// versions gave. There is one exception: it stops at the first fault.
var v1Options = jsonv2.JoinOptions(jsonv1.DefaultOptionsV1(), jsonv1.ReportErrorsWithLegacySemantics(false))

// unmarshal is json.Unmarshal in the implementation that Go 1.27 has, which takes a third of the
// time.
func unmarshal(data []byte, into any) error { return jsonv2.Unmarshal(data, into, v1Options) }

// unreadable is the error for data that cannot be decoded.
func unreadable(e event.Event) error {
	if !json.Valid(e.Data()) {
		return errNotJSON
	}
	// The decoder's error may quote the data; the faults of the schema check do not.
	if faults := event.Check(e); len(faults) > 0 {
		return projector.Unprojectablef("%s: %s %s", text(e.Type()), faults[0].Field, faults[0].Problem)
	}
	return projector.Unprojectablef("%s: the data can not be read", text(e.Type()))
}

// decode decodes a CloudEvent, and replaces what Postgres cannot store in its data. Data that need
// no replacement may still be invalid JSON, which [into] finds.
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

// Postgres stores neither NUL nor half of a surrogate pair nor invalid UTF-8, and a JSON text can
// hold all of them. They are replaced by U+FFFD, as Go does.
const nul, replacement = "\x00", "\uFFFD"

// text replaces what Postgres cannot store in a text.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, replacement), nul, replacement)
}

func attribute(e event.Event, name string) string { return text(event.Extension(e, name)) }

var errNotJSON = projector.Unprojectablef("the data are not JSON")

// needsCleaning reports whether JSON may hold what Postgres cannot store.
func needsCleaning(data []byte) bool { return bytes.Contains(data, []byte(`\u`)) || !utf8.Valid(data) }

// cleanJSON replaces what Postgres cannot store in jsonb. ok is false if the data are not JSON.
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

// jsonList encodes a list as JSON; [] if it is empty.
func jsonList[T any](items []T) json.RawMessage {
	if len(items) == 0 {
		return json.RawMessage("[]")
	}
	raw, err := json.Marshal(items)
	if err != nil {
		return json.RawMessage("[]") // cannot happen: plain data types always marshal
	}
	return raw
}
