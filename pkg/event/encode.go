package event

import (
	"encoding/json"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/nats-io/nats.go"
)

// Mode is a content mode of the NATS protocol binding.
type Mode int

const (
	// Binary puts attributes into ce- headers and the data into the body.
	Binary Mode = iota
	// Structured puts the whole event into the body as JSON.
	Structured
)

// Encode writes an event as header and body, as the NATS protocol binding has it. In binary mode
// the content type stands in ce-datacontenttype, where the binding wants it, and in content-type,
// where other tools look.
func Encode(e Event, mode Mode) (nats.Header, []byte, error) {
	if err := e.Validate(); err != nil {
		return nil, nil, err
	}
	if mode == Structured {
		body, err := structured(e)
		return nats.Header{contentType: {structuredType}}, body, err
	}
	h, err := binaryHeader(e)
	return h, e.Data(), err
}

// What a header is given room for, so that it does not grow one by one: the attributes that our
// events have without an extension, and what JetStream is told beside them.
const (
	usualAttributes = 9
	publishHeaders  = 2
)

func binaryHeader(e Event) (nats.Header, error) {
	room := usualAttributes + len(extensions(e))
	h, values := make(nats.Header, room+publishHeaders), make([]string, 0, room)
	set := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	for _, a := range coreAttributes(e) {
		if a.Value != "" {
			set(headerPrefix+a.Name, percentEncode(a.Value))
		}
	}
	if media := e.DataContentType(); media != "" {
		set(contentType, media)
	}
	for name, v := range extensions(e) {
		value, err := types.Format(v)
		if err != nil {
			return nil, fmt.Errorf("extension %s: %w", name, err)
		}
		if value != "" {
			set(headerPrefix+name, percentEncode(value))
		}
	}
	return h, nil
}

// coreAttributes are the attributes of the CloudEvents specification as text; empty where an event
// has none.
func coreAttributes(e Event) [8]Attribute {
	at := ""
	if t := e.Time(); !t.IsZero() {
		at = types.FormatTime(t)
	}
	return [...]Attribute{
		{"specversion", e.SpecVersion()}, {"id", e.ID()}, {"source", e.Source()}, {"type", e.Type()}, {"subject", e.Subject()},
		{"time", at}, {"dataschema", e.DataSchema()}, {"datacontenttype", e.DataContentType()},
	}
}

// structured writes an event in the JSON event format. The SDK's own writer knows only four media
// types as JSON.
func structured(e Event) ([]byte, error) {
	members := make(map[string]any, usualAttributes+len(extensions(e)))
	for _, a := range coreAttributes(e) {
		if a.Value != "" {
			members[a.Name] = a.Value
		}
	}
	for name, v := range extensions(e) {
		members[name] = v
	}
	if data := e.Data(); len(data) > 0 {
		if _, problem := jsonMedia(e.DataContentType()); problem == "" {
			members["data"] = json.RawMessage(data)
		} else {
			members[base64Member] = data // encoding/json writes bytes as base64
		}
	}
	return json.Marshal(members)
}
