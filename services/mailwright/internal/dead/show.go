package dead

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Show is `mailwright dead show`.
type Show struct {
	Sequence uint64 `arg:"" name:"letter" help:"The dead letter's number."`
}

// Help implements kong.HelpProvider.
func (Show) Help() string {
	return `Shows a dead letter and the original message from its stream, with secrets redacted. Data that does not fit the
schema of its type is not shown, because its secrets are not marked: only its type, its size and the names of its
members are.

Exit codes: 0 shown; 1 there is no such dead letter, or NATS does not answer; 2 the call is wrong.`
}

// shown is what --json prints.
type shown struct {
	Letter
	// Original is null if its stream no longer has it.
	Original *original `json:"original"`
}

// original is the message that a dead letter refers to, without its secrets.
type original struct {
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

// Run shows.
func (c *Show) Run(ctx context.Context, a *app.App) error {
	d, err := open(ctx, a)
	if err != nil {
		return err
	}
	defer d.close()
	l, found, err := d.letter(ctx, c.Sequence)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("there is no dead letter %d", c.Sequence)
	}
	m, err := d.original(ctx, l)
	if err != nil {
		return err
	}
	s := shown{Letter: l}
	if m != nil {
		s.Original = visible(m)
	}
	if a.JSON {
		return a.PrintJSON(s)
	}
	return s.print(a.Out)
}

// visible removes the secrets of a message.
func visible(m *jetstream.RawStreamMsg) *original {
	body, shape := visibleBody(m.Header, m.Data)
	return &original{
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

func (s shown) print(out io.Writer) error {
	var b bytes.Buffer
	l := s.Content
	fmt.Fprintf(&b, "Dead letter %d\n", s.Sequence)
	for _, f := range []struct{ name, value string }{
		{"given up", moment(l.Time)},
		{"stored", moment(s.StoredAt)},
		{"tenant", l.Tenant},
		{"domain", string(s.Domain)},
		{"reason", l.Reason},
		{"detail", l.Detail},
		{"about", fmt.Sprintf("message %d of %s", l.Sequence, l.Stream)},
		{"subject", l.Subject},
		{"consumer", l.Consumer},
		{"type", l.Type},
		{"source", l.Source},
		{"id", l.ID},
		{"operation", l.OperationID},
		{"correlation", l.CorrelationID},
		{"trace", l.TraceParent},
		{"sha256", l.SHA256},
	} {
		if f.value != "" {
			fmt.Fprintf(&b, "  %-11s %s\n", f.name, render.OneLine(f.value))
		}
	}
	if s.Original == nil {
		fmt.Fprintf(&b, "\nThe original is gone: %s no longer holds it. The dead letter keeps of it:\n", cell(l.Stream))
		return writeJSON(out, &b, l.Excerpt, l.Shape)
	}
	fmt.Fprintf(&b, "\nOriginal, stored %s, %d bytes\n", moment(s.Original.StoredAt), s.Original.Size)
	for _, name := range slices.Sorted(maps.Keys(s.Original.Header)) {
		fmt.Fprintf(&b, "  %s: %s\n", render.OneLine(name), render.OneLine(s.Original.Header[name]))
	}
	return writeJSON(out, &b, s.Original.Body, s.Original.Shape)
}

// writeJSON ends a page with an indented document, and the shape of what is not shown.
func writeJSON(out io.Writer, b *bytes.Buffer, doc json.RawMessage, shape *event.Shape) error {
	if len(doc) == 0 && shape == nil {
		b.WriteString("(nothing)\n")
	}
	if len(doc) > 0 {
		var page bytes.Buffer
		if err := json.Indent(&page, doc, "", "  "); err != nil {
			return err
		}
		b.WriteByte('\n')
		for line := range strings.Lines(page.String()) {
			b.WriteString(render.OneLine(strings.TrimSuffix(line, "\n")) + "\n")
		}
	}
	if shape != nil {
		fmt.Fprintf(b, "\n(the data is not shown, since it does not fit a schema: %s)\n", describeShape(*shape))
	}
	_, err := out.Write(b.Bytes())
	return err
}

// describeShape describes a shape.
func describeShape(s event.Shape) string {
	text := fmt.Sprintf("%s of %d bytes", cmp.Or(s.Kind, "no JSON"), s.Size)
	if len(s.Members) > 0 {
		text += " with the members " + strings.Join(s.Members, ", ")
	}
	return render.OneLine(text)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime)
}
