package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"slices"
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

func decodeMode(h attributes, data []byte) (Event, error) {
	switch media := h.media(); {
	case strings.HasPrefix(media, "application/cloudevents-batch"):
		return Event{}, errors.New("a batch of CloudEvents is not supported: publish each event as its own message")
	case h.has(headerPrefix + "specversion"):
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

func decodeBinary(h attributes, data []byte) (Event, error) {
	if v := h.get(headerPrefix + "specversion"); v != "1.0" {
		return Event{}, fmt.Errorf("ce-specversion is %q; this system speaks 1.0", clip(v))
	}
	c := &cloudevents.EventContextV1{Extensions: map[string]any{}}
	for _, a := range h {
		if err := setAttribute(c, a.name, a.value); err != nil {
			return Event{}, fmt.Errorf("header %s: %w", clip(a.name), err)
		}
	}
	if c.DataContentType == nil {
		json := cloudevents.ApplicationJSON
		c.DataContentType = &json
	}
	return Event{Context: c, DataEncoded: data}, nil
}

var errMalformed = errors.New("malformed")

// setAttribute sets what a header says. The SDK's own errors would repeat the value.
func setAttribute(c *cloudevents.EventContextV1, name, value string) error {
	if name == contentType {
		return c.SetDataContentType(value)
	}
	name = strings.TrimPrefix(name, headerPrefix)
	value, err := percentDecode(value)
	if err != nil {
		return err
	}
	switch name {
	case "specversion":
	case "id":
		err = c.SetID(value)
	case "source":
		err = c.SetSource(value)
	case "type":
		err = c.SetType(value)
	case "subject":
		err = c.SetSubject(value)
	case "dataschema":
		err = c.SetDataSchema(value)
	case "datacontenttype":
		if c.DataContentType == nil {
			err = c.SetDataContentType(value)
		}
	case "time":
		t, err := types.ParseTime(value)
		if err != nil {
			return errors.New("not a time as RFC 3339 has it")
		}
		return c.SetTime(t)
	default:
		if !cloudevents.IsExtensionNameValid(name) {
			return errMalformed
		}
		c.Extensions[name] = value
	}
	if err != nil {
		return errMalformed
	}
	return nil
}

// attributes are the headers that say something of the event, with names in lower case, each once.
type attributes []attribute

type attribute struct{ name, value string }

func (h attributes) get(name string) string {
	for _, a := range h {
		if a.name == name {
			return a.value
		}
	}
	return ""
}

func (h attributes) has(name string) bool {
	return slices.ContainsFunc(h, func(a attribute) bool { return a.name == name })
}

// media is the content type without its parameters.
func (h attributes) media() string {
	value := h.get(contentType)
	if value == cloudevents.ApplicationJSON {
		return value
	}
	media, _, _ := mime.ParseMediaType(value)
	return media
}

// single folds header names to lower case and refuses a name that is given twice.
func single(header nats.Header) (attributes, error) {
	h := make(attributes, 0, len(header))
	var folded map[string]bool // few publishers need it
	for name, values := range header {
		lower := strings.ToLower(name)
		relevant := lower == contentType || strings.HasPrefix(lower, headerPrefix)
		if !relevant || len(values) == 0 {
			continue
		}
		twice := len(values) > 1
		if lower != name {
			twice = twice || len(header[lower]) > 0 || folded[lower]
			if folded == nil {
				folded = map[string]bool{}
			}
			folded[lower] = true
		}
		if twice {
			return nil, fmt.Errorf("header %s is given more than once", clip(lower))
		}
		h = append(h, attribute{lower, values[0]})
	}
	return h, nil
}

// percentDecode undoes the binding's percent-encoding (section 3.1.3.2). A text that is no
// valid percent-encoding is taken as it is: many publishers do not encode at all.
func percentDecode(s string) (string, error) {
	if strings.Contains(s, "%") {
		if decoded, err := url.PathUnescape(s); err == nil {
			s = decoded
		}
	}
	if !utf8.ValidString(s) {
		return "", errors.New("not UTF-8")
	}
	return s, nil
}

// percentEncode is the binding's percent-encoding: space, double quote, percent, and everything
// outside printable ASCII.
func percentEncode(s string) string {
	plain := 0
	for plain < len(s) && !toEncode(s[plain]) {
		plain++
	}
	if plain == len(s) {
		return s
	}
	out := []byte(s[:plain])
	for i := plain; i < len(s); i++ {
		if c := s[i]; toEncode(c) {
			out = fmt.Appendf(out, "%%%02X", c)
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}

func toEncode(c byte) bool { return c <= ' ' || c == '"' || c == '%' || c >= 0x7f }

// Mode is a content mode of the NATS protocol binding.
type Mode int

const (
	// Binary puts attributes into ce- headers and the data into the body.
	Binary Mode = iota
	// Structured puts the whole event into the body as JSON.
	Structured
)

// What a header is given room for, so that it does not grow one by one: the attributes that our events have without an extension, and what
// JetStream is told beside them.
const (
	usualAttributes = 7
	publishHeaders  = 2
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
	further := extensions(e)
	room := usualAttributes + len(further)
	h, values := make(nats.Header, room+publishHeaders), make([]string, 0, room)
	set := func(name, value string) {
		if value != "" {
			values = append(values, percentEncode(value))
			h[name] = values[len(values)-1 : len(values) : len(values)]
		}
	}
	set(headerPrefix+"specversion", e.SpecVersion())
	set(headerPrefix+"id", e.ID())
	set(headerPrefix+"source", e.Source())
	set(headerPrefix+"type", e.Type())
	set(headerPrefix+"subject", e.Subject())
	set(headerPrefix+"dataschema", e.DataSchema())
	if !e.Time().IsZero() {
		set(headerPrefix+"time", types.FormatTime(e.Time()))
	}
	for name, v := range further {
		text, err := types.Format(v)
		if err != nil {
			return nil, nil, fmt.Errorf("extension %s: %w", name, err)
		}
		set(headerPrefix+name, text)
	}
	if ct := e.DataContentType(); ct != "" { // as it is: no attribute of the binding
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
