package deadletters

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
)

// Original is the message that a dead letter refers to, without its secrets.
type Original struct {
	StoredAt time.Time `json:"storedAt"`
	Subject  string    `json:"subject"`
	// Header has the values of the headers of CloudEvents and of ours, and the names of all others.
	Header map[string]string `json:"header"`
	// Body is the data, or the whole event of a message in structured mode. Data that does not fit
	// its schema is left out, since its secrets are not marked; Shape describes it.
	Body  json.RawMessage `json:"body,omitempty"`
	Shape *event.Shape    `json:"shape,omitempty"`
	Size  int             `json:"size"`
}

// Visible removes the secrets of a message.
func Visible(m *jetstream.RawStreamMsg) *Original {
	body, shape := visibleBody(m.Header, m.Data)
	return &Original{
		StoredAt: m.Time.UTC(),
		Subject:  m.Subject,
		Header:   visibleHeader(m.Header),
		Body:     body,
		Shape:    shape,
		Size:     len(m.Data),
	}
}

const hidden = "[not shown]"

func visibleHeader(header nats.Header) map[string]string {
	values := map[string]string{}
	for name, v := range header {
		switch lower := strings.ToLower(name); {
		case lower == "content-type", strings.HasPrefix(lower, "ce-"), name == replayHeader:
			values[name] = strings.Join(v, " | ")
		case !strings.HasPrefix(lower, "nats-"): // those are for the server, and for one publish
			values[name] = hidden
		}
	}
	raw, err := json.Marshal(values)
	redacted := map[string]string{}
	if err != nil || json.Unmarshal(event.Redact(raw), &redacted) != nil {
		return nil
	}
	return redacted
}

// visibleBody is the data with its secrets redacted, or the whole event in structured mode; and the
// shape of data that is left out.
func visibleBody(header nats.Header, body []byte) (json.RawMessage, *event.Shape) {
	command, err := event.ReadCommand(header, body)
	if err != nil {
		shape := event.ShapeOf(body)
		return nil, &shape
	}
	excerpt := event.Excerpt(command.Document)
	var shape *event.Shape
	if excerpt == nil {
		of := event.ShapeOf(command.Event.Data())
		shape = &of
	}
	if !structured(header) {
		return excerpt, shape
	}
	whole := command.Event
	whole.DataEncoded = excerpt
	whole.DataBase64 = false
	raw, err := json.Marshal(whole)
	if err != nil {
		return nil, shape
	}
	return event.Redact(raw), shape // of the attributes
}

// structured tells whether the body of a readable message is the whole event.
func structured(header nats.Header) bool {
	binary := false
	for name, values := range header {
		switch lower := strings.ToLower(name); {
		case lower == "content-type" && strings.HasPrefix(strings.ToLower(strings.Join(values, "")), "application/cloudevents"):
			return true
		case strings.HasPrefix(lower, "ce-"):
			binary = true
		}
	}
	return !binary
}
