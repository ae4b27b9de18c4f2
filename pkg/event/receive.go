package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

const (
	headerPrefix    = "ce-"
	contentType     = "content-type"
	contentTypeJSON = "application/json"
	structuredType  = "application/cloudevents+json"
	base64Member    = "data_base64"

	maxAttributes = 100
)

// received is an event as it came, in either content mode.
type received struct {
	// attributes by their names in lower case, in normal form. nil: null, or refused by a fault.
	attributes map[string]any
	data       []byte
	faults     []Fault
}

// receive reads the message by the NATS protocol binding: in structured mode the body is the event,
// in binary mode the headers are its attributes and the body is its data. Its error is an
// *UnreadableError.
func receive(header nats.Header, body []byte) (*received, error) {
	h, err := readHeader(header)
	if err != nil {
		return nil, err
	}
	isStructured, err := h.structured()
	if err != nil {
		return nil, err
	}
	r := h.event
	if isStructured {
		if r, err = readStructured(body); err != nil {
			return nil, err
		}
		r.compare(h.event)
	} else {
		r.binary(h.contentType, body)
	}
	r.trace(h)
	return r, nil
}

// messageHeader is what the headers of a message say of the event.
type messageHeader struct {
	event       *received
	contentType string
	// traceparent and tracestate of instrumentation that knows no CloudEvents
	plain map[string]string
}

func readHeader(header nats.Header) (messageHeader, error) {
	h := messageHeader{event: &received{attributes: make(map[string]any, len(header)+1)}}
	for name, values := range header {
		if len(values) == 0 {
			continue
		}
		lower := strings.ToLower(name)
		attribute, ok := strings.CutPrefix(lower, headerPrefix)
		switch {
		case ok && len(h.event.attributes) == maxAttributes:
			return h, tooMany("header")
		case ok:
			h.event.addHeader(attribute, values)
		case lower == contentType:
			h.addContentType(values)
		case plainTrace[lower] > 0:
			h.addPlain(lower, values[0])
		}
	}
	return h, nil
}

func (h *messageHeader) addPlain(name, value string) {
	if h.plain == nil {
		h.plain = map[string]string{}
	}
	h.plain[name] = value
}

func tooMany(where string) *UnreadableError {
	return &UnreadableError{Field: where, Problem: fmt.Sprintf("has more than %d attributes", maxAttributes)}
}

const twice = "is given more than once"

func (h *messageHeader) addContentType(values []string) {
	if len(values) > 1 || h.contentType != "" {
		h.event.fault(contentType, twice)
	}
	h.contentType = strings.Trim(values[0], " \t")
}

// structured tells the content mode. Without any header of CloudEvents the body is tried as a
// structured event, since many NATS clients send no headers.
func (h *messageHeader) structured() (bool, error) {
	media, _, _ := mime.ParseMediaType(h.contentType)
	switch format, ok := strings.CutPrefix(media, "application/cloudevents"); {
	case !ok:
		return len(h.event.attributes) == 0, nil
	case format == "", format == "+json":
		return true, nil
	case strings.HasPrefix(format, "-batch"):
		return false, &UnreadableError{Field: contentType, Problem: "is a batch, which is not supported: publish each event as its own message"}
	default:
		return false, &UnreadableError{Field: contentType, Problem: "is an event format other than JSON; use " + structuredType}
	}
}

// binary completes an event whose attributes are headers.
func (r *received) binary(media string, body []byte) {
	if _, given := r.attributes["datacontenttype"]; !given && media != "" {
		r.add("datacontenttype", media)
	}
	r.data = withoutMark(body)
}

// readStructured reads an event that is one JSON object.
func readStructured(body []byte) (*received, error) {
	if len(body) == 0 {
		return nil, &UnreadableError{Field: "body", Problem: "is empty, and no header says that this is a CloudEvent"}
	}
	body = withoutMark(body)
	if isWide(body) {
		return nil, &UnreadableError{Field: "body", Problem: wideProblem}
	}
	r := &received{attributes: make(map[string]any, 16)}
	tokens := json.NewDecoder(bytes.NewReader(body))
	if open, err := tokens.Token(); err != nil || open != json.Delim('{') {
		return nil, notAnEvent()
	}
	for tokens.More() {
		if len(r.attributes) == maxAttributes {
			return nil, tooMany("body")
		}
		if !r.member(tokens) {
			return nil, notAnEvent()
		}
	}
	if _, err := tokens.Token(); err != nil || (&parser{tokens: tokens}).end() != nil {
		return nil, notAnEvent()
	}
	r.decodeBase64()
	return r, nil
}

func notAnEvent() *UnreadableError {
	return &UnreadableError{Field: "body", Problem: "is not a JSON object, as a CloudEvent in structured mode is, and no header is one of CloudEvents"}
}

// member reads the next member of a structured event. It is false where that is not JSON.
func (r *received) member(tokens *json.Decoder) bool {
	token, err := tokens.Token()
	name, ok := token.(string)
	var value json.RawMessage
	if err != nil || !ok || tokens.Decode(&value) != nil {
		return false
	}
	switch {
	case name != "data":
		r.add(strings.ToLower(name), scalar(value))
	case r.data != nil:
		r.fault(name, twice)
	default:
		r.data = value
	}
	return true
}

// scalar reads a JSON value as [form] takes it. Objects and arrays stay as they are: no form takes
// them.
func scalar(value json.RawMessage) any {
	switch value[0] {
	case 'n':
		return nil
	case 't', 'f':
		return value[0] == 't'
	case '{', '[':
		return value
	case '"':
		return unquoted(value)
	default:
		return json.Number(value)
	}
}

// unquoted reads a JSON string. One with half of a surrogate pair stays as it is: no form takes it.
func unquoted(value json.RawMessage) any {
	if bytes.IndexByte(value, '\\') < 0 || !utf8.Valid(value) {
		return string(value[1 : len(value)-1])
	}
	var s string
	if hasLoneSurrogate(value) || json.Unmarshal(value, &s) != nil {
		return value
	}
	return s
}

// decodeBase64 takes data that came as data_base64.
func (r *received) decodeBase64() {
	encoded, given := r.attributes[base64Member].(string)
	delete(r.attributes, base64Member)
	if !given {
		return
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	switch {
	case err != nil:
		r.fault(base64Member, "is not base64")
	case r.data != nil:
		r.fault(base64Member, "cannot stand beside data; give one of them")
	case r.attributes["datacontenttype"] == nil:
		r.fault("datacontenttype", "is missing; it is required beside data_base64")
	}
	r.data = withoutMark(data)
}

// compare holds the attributes that headers repeat beside a structured event against the event.
func (r *received) compare(header *received) {
	r.faults = append(r.faults, header.faults...)
	for name, value := range header.attributes {
		if value != nil && value != r.attributes[name] && name != "datacontenttype" {
			r.fault(name, "is not the same in the header "+headerPrefix+clip(name)+" as in the event")
		}
	}
}

// trace takes the trace of plain headers where no attribute says it. What is no text is left out:
// no publisher wrote it.
func (r *received) trace(h messageHeader) {
	for name, value := range h.plain {
		_, given := r.attributes[name]
		if normal, problem := text(value); !given && problem == "" && len(value) <= plainTrace[name] {
			r.attributes[name] = normal
		}
	}
}

// plainTrace names the headers of instrumentation that count where there is no attribute, with the
// most bytes that they may have. cloudevent.json has the same bounds.
var plainTrace = map[string]int{AttrTraceParent: 128, AttrTraceState: 512}

// addHeader adds an attribute that came as a header.
func (r *received) addHeader(name string, values []string) {
	if len(values) > 1 {
		r.attributes[name] = nil
		r.fault(name, twice)
		return
	}
	value, problem := decodeValue(values[0])
	if problem != "" {
		r.attributes[name] = nil
		r.fault(name, problem)
		return
	}
	r.add(name, value)
}

// add adds an attribute in its normal form, or the fault that it has none.
func (r *received) add(name string, value any) {
	if _, given := r.attributes[name]; given {
		r.attributes[name] = nil
		r.fault(name, twice)
		return
	}
	r.attributes[name] = nil
	if name == base64Member { // no attribute: the data of a structured event
		r.attributes[name] = value
		return
	}
	if value == nil {
		return
	}
	normal, problem := formOf(name)(value)
	if problem != "" {
		r.fault(name, problem)
		return
	}
	r.attributes[name] = normal
}

func (r *received) fault(field, problem string) {
	r.faults = append(r.faults, Fault{Field: clip(field), Problem: problem})
}
