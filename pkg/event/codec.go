package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strings"
	"unicode/utf8"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/nats-io/nats.go"
)

const (
	headerPrefix   = "ce-"
	contentType    = "content-type"
	structuredType = "application/cloudevents+json"
)

// Decode reads a CloudEvent from a NATS message in either content mode (NATS protocol binding 1.0).
//
// It is tolerant where publishers differ: header names in any case, a charset behind the
// content type, attributes percent-encoded or not, the content type in ce-datacontenttype (as
// the CloudEvents Go SDK writes it) or content-type, a structured event with no header at all.
// It refuses what has no single meaning: a header given twice, text that is not UTF-8,
// a missing id, source or type.
func Decode(header nats.Header, data []byte) (Event, error) {
	h, err := single(header)
	if err != nil {
		return Event{}, err
	}
	e, err := decodeMode(h, data)
	if err != nil {
		return Event{}, err
	}
	if err := e.Validate(); err != nil {
		return Event{}, fmt.Errorf("not a valid CloudEvent: %w", err)
	}
	return e, nil
}

func decodeMode(h map[string]string, data []byte) (Event, error) {
	media, _, _ := mime.ParseMediaType(h[contentType])
	_, binary := h[headerPrefix+"specversion"]
	switch {
	case strings.HasPrefix(media, "application/cloudevents-batch"):
		return Event{}, errors.New("a batch of CloudEvents is not supported: publish each event as its own message")
	case binary:
		return decodeBinary(h, data)
	default:
		return decodeStructured(data)
	}
}

func decodeStructured(data []byte) (Event, error) {
	if len(data) == 0 {
		return Event{}, errors.New("the message is empty and has no ce-specversion header: not a CloudEvent")
	}
	if !utf8.Valid(data) {
		return Event{}, errors.New("the body is not UTF-8")
	}
	var e Event
	if err := json.Unmarshal(data, &e); err != nil {
		// The decoder's own message may quote the body.
		return Event{}, errors.New("no ce-specversion header, and the body is not a CloudEvent in JSON")
	}
	return e, nil
}

func decodeBinary(h map[string]string, data []byte) (Event, error) {
	if v := h[headerPrefix+"specversion"]; v != "1.0" {
		return Event{}, fmt.Errorf("ce-specversion is %q; this system speaks 1.0", clip(v))
	}
	e := cloudevents.New()
	for name, value := range h {
		if err := setAttribute(&e, name, value); err != nil {
			return Event{}, fmt.Errorf("header %s: %w", clip(name), err)
		}
	}
	if e.DataContentType() == "" {
		e.SetDataContentType(cloudevents.ApplicationJSON)
	}
	e.DataEncoded = data
	// The SDK gathers what a setter disliked; its Validate would repeat the values.
	for attr := range e.FieldErrors {
		return Event{}, fmt.Errorf("attribute %s is malformed", attr)
	}
	return e, nil
}

func setAttribute(e *Event, name, value string) error {
	if name == contentType {
		e.SetDataContentType(value)
		return nil
	}
	name, ours := strings.CutPrefix(name, headerPrefix)
	if !ours || name == "specversion" {
		return nil
	}
	value, err := percentDecode(value)
	if err != nil {
		return err
	}
	switch name {
	case "id":
		e.SetID(value)
	case "source":
		e.SetSource(value)
	case "type":
		e.SetType(value)
	case "subject":
		e.SetSubject(value)
	case "dataschema":
		e.SetDataSchema(value)
	case "datacontenttype":
		if e.DataContentType() == "" {
			e.SetDataContentType(value)
		}
	case "time":
		t, err := types.ParseTime(value)
		if err != nil {
			return errors.New("not a time as RFC 3339 has it")
		}
		e.SetTime(t)
	default:
		e.SetExtension(name, value)
	}
	return nil
}

// single folds header names to lower case and refuses a name that is given twice.
func single(header nats.Header) (map[string]string, error) {
	h := make(map[string]string, len(header))
	for name, values := range header {
		lower := strings.ToLower(name)
		relevant := lower == contentType || strings.HasPrefix(lower, headerPrefix)
		if !relevant || len(values) == 0 {
			continue
		}
		if _, twice := h[lower]; twice || len(values) > 1 {
			return nil, fmt.Errorf("header %s is given more than once", clip(lower))
		}
		h[lower] = values[0]
	}
	return h, nil
}

// percentDecode undoes the binding's percent-encoding (section 3.1.3.2). A text that is no
// valid percent-encoding is taken as it is: many publishers do not encode at all.
func percentDecode(s string) (string, error) {
	if decoded, err := url.PathUnescape(s); err == nil {
		s = decoded
	}
	if !utf8.ValidString(s) {
		return "", errors.New("not UTF-8")
	}
	return s, nil
}

// percentEncode is the binding's percent-encoding: space, double quote, percent, and everything
// outside printable ASCII.
func percentEncode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '"' || c == '%' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Mode is a content mode of the NATS protocol binding.
type Mode int

const (
	// Binary puts attributes into ce- headers and the data into the body.
	Binary Mode = iota
	// Structured puts the whole event into the body as JSON.
	Structured
)

// Encode writes an event as header and body, strictly as the NATS protocol binding has it.
func Encode(e Event, mode Mode) (nats.Header, []byte, error) {
	if err := e.Validate(); err != nil {
		return nil, nil, err
	}
	if mode == Structured {
		body, err := json.Marshal(e)
		return nats.Header{contentType: {structuredType}}, body, err
	}
	h := nats.Header{}
	set := func(name, value string) {
		if value != "" {
			h[headerPrefix+name] = []string{percentEncode(value)}
		}
	}
	set("specversion", e.SpecVersion())
	set("id", e.ID())
	set("source", e.Source())
	set("type", e.Type())
	set("subject", e.Subject())
	set("dataschema", e.DataSchema())
	if !e.Time().IsZero() {
		set("time", types.FormatTime(e.Time()))
	}
	for name, v := range e.Extensions() {
		text, err := types.Format(v)
		if err != nil {
			return nil, nil, fmt.Errorf("extension %s: %w", name, err)
		}
		set(name, text)
	}
	if ct := e.DataContentType(); ct != "" {
		h[contentType] = []string{ct}
	}
	return h, e.Data(), nil
}

// clip bounds a foreign text that an error quotes.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
