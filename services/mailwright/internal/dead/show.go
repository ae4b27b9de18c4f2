package dead

import (
	"bytes"
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
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/words"
)

// Show is `mailwright dead show`.
type Show struct {
	Sequence uint64 `arg:"" name:"letter" help:"The letter's number."`
}

// Help implements kong.HelpProvider.
func (Show) Help() string {
	return `Shows a letter, and the message that it is about, from its stream, with secrets redacted. What is no JSON is not shown: nobody can tell what is in it.

Exit codes: 0 shown; 1 there is no such letter, or NATS is away; 2 the call is wrong.`
}

// shown is what --json prints.
type shown struct {
	Letter
	// Original is null where its stream no longer holds it.
	Original *original `json:"original"`
}

// original is the message that a letter is about, as it may be seen.
type original struct {
	StoredAt time.Time `json:"storedAt"`
	Subject  string    `json:"subject"`
	// Header has the values of CloudEvents' and of our own; of others the names.
	Header map[string]string `json:"header"`
	// Body is absent where it is no JSON.
	Body json.RawMessage `json:"body,omitempty"`
	Size int             `json:"size"`
}

// Run shows.
func (c *Show) Run(ctx context.Context, a *app.App) error {
	b, err := open(ctx, a)
	if err != nil {
		return err
	}
	defer b.close()
	l, found, err := b.letter(ctx, c.Sequence)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("there is no letter %d", c.Sequence)
	}
	m, err := b.original(ctx, l)
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

// visible makes of a message what a person may see.
func visible(m *jetstream.RawStreamMsg) *original {
	return &original{StoredAt: m.Time.UTC(), Subject: m.Subject, Header: visibleHeader(m.Header), Body: visibleBody(m.Header, m.Data), Size: len(m.Data)}
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

// visibleBody is the data, or in structured mode the whole event, with its secrets redacted.
func visibleBody(header nats.Header, body []byte) json.RawMessage {
	e, err := event.Decode(header, body)
	if err != nil {
		if bytes.Contains(bytes.ToLower(body), []byte("data_base64")) {
			return nil // what it encodes can not be redacted
		}
		return event.Redact(body)
	}
	data := event.Redact(e.Data())
	for name := range header {
		if strings.EqualFold(name, "ce-specversion") {
			return data
		}
	}
	e.DataEncoded, e.DataBase64 = data, false
	whole, err := json.Marshal(e)
	if err != nil {
		return nil
	}
	return event.Redact(whole)
}

func (s shown) print(out io.Writer) error {
	var b bytes.Buffer
	l := s.Letter.Letter
	fmt.Fprintf(&b, "Letter %d\n", s.Sequence)
	for _, f := range []struct{ name, value string }{
		{"given up", moment(l.Time)}, {"stored", moment(s.StoredAt)}, {"domain", string(s.Domain)}, {"reason", l.Reason}, {"detail", l.Detail},
		{"about", fmt.Sprintf("message %d of %s", l.Sequence, l.Stream)}, {"subject", l.Subject}, {"consumer", l.Consumer},
		{"type", l.Type}, {"source", l.Source}, {"id", l.ID}, {"operation", l.OperationID}, {"sha256", l.SHA256},
	} {
		if f.value != "" {
			fmt.Fprintf(&b, "  %-10s %s\n", f.name, words.OneLine(f.value))
		}
	}
	if s.Original == nil {
		fmt.Fprintf(&b, "\nThe original is gone: %s no longer holds it. The letter keeps of it:\n", cell(l.Stream))
		return writeJSON(out, &b, l.Excerpt, "(nothing)\n")
	}
	fmt.Fprintf(&b, "\nOriginal, stored %s, %d bytes\n", moment(s.Original.StoredAt), s.Original.Size)
	for _, name := range slices.Sorted(maps.Keys(s.Original.Header)) {
		fmt.Fprintf(&b, "  %s: %s\n", words.OneLine(name), words.OneLine(s.Original.Header[name]))
	}
	return writeJSON(out, &b, s.Original.Body, "(the body is no JSON: not shown)\n")
}

// writeJSON ends a page with an indented document.
func writeJSON(out io.Writer, b *bytes.Buffer, doc json.RawMessage, otherwise string) error {
	if len(doc) == 0 {
		b.WriteString(otherwise)
	} else {
		var page bytes.Buffer
		if err := json.Indent(&page, doc, "", "  "); err != nil {
			return err
		}
		b.WriteByte('\n')
		for line := range strings.Lines(page.String()) {
			b.WriteString(words.OneLine(strings.TrimSuffix(line, "\n")) + "\n")
		}
	}
	_, err := out.Write(b.Bytes())
	return err
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime)
}
