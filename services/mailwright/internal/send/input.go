package send

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// commands reads what is to be published: one command from the flags, or whole events from a file.
func (c *Command) commands(stdin io.Reader) ([]event.Event, error) {
	switch {
	case c.File != "" && (c.Type != "" || c.flagOfOneCommand() != ""):
		return nil, fmt.Errorf("--file holds whole events: %s does not go with it", cmp.Or(c.flagOfOneCommand(), "TYPE"))
	case c.File != "":
		return c.fromFile(stdin)
	case c.Type == "":
		return nil, errors.New("nothing to send: name a TYPE, or a --file (- is standard input)")
	}
	e, err := c.fromFlags(stdin)
	return []event.Event{e}, err
}

// flagOfOneCommand names a given flag that goes with TYPE alone.
func (c *Command) flagOfOneCommand() string {
	for _, f := range []struct {
		name  string
		given bool
	}{
		{"--data", c.Data != ""}, {"--set", len(c.Set) > 0}, {"--id", c.ID != ""}, {"--source", c.Source != ""},
		{"--subject", c.Subject != ""}, {"--correlation", c.Correlation != ""},
		{"--not-before", c.NotBefore != ""}, {"--plan", c.Plan}, {"--domain", c.Domain != ""},
	} {
		if f.given {
			return f.name
		}
	}
	return ""
}

func (c *Command) fromFlags(stdin io.Reader) (event.Event, error) {
	data, err := c.data(stdin)
	if err != nil {
		return event.Event{}, err
	}
	e, err := event.New(cmp.Or(c.ID, watermill.NewUUID()), cmp.Or(c.Source, app.DefaultSource()), render.Long(c.Type), data)
	if err != nil {
		return event.Event{}, err
	}
	e.SetTime(time.Now().UTC())
	if c.Subject != "" {
		e.SetSubject(c.Subject)
	}
	if c.Correlation != "" {
		e.SetExtension(event.AttrCorrelationID, c.Correlation)
	}
	if c.Plan {
		e.SetExtension(event.AttrDryRun, "true")
	}
	if c.NotBefore != "" {
		at, err := app.Ahead(c.NotBefore, time.Now())
		if err != nil {
			return event.Event{}, fmt.Errorf("--not-before %s: %w", c.NotBefore, err)
		}
		e.SetExtension(event.AttrNotBefore, at.UTC().Format(time.RFC3339Nano))
	}
	return e, nil
}

// data is --data with every --set applied.
func (c *Command) data(stdin io.Reader) (json.RawMessage, error) {
	raw, err := app.ReadValue(c.Data, stdin)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		raw = []byte("{}")
	}
	doc, err := decode(raw)
	if err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	if !isReference(c.Data) && c.hasSecret(doc) {
		return nil, fmt.Errorf("--data holds a secret, %s", onCommandLine)
	}
	for _, assignment := range c.Set {
		if doc, err = set(doc, assignment); err != nil {
			return nil, fmt.Errorf("--set: %w", err)
		}
	}
	if path := c.secretSet(doc); path != "" {
		return nil, fmt.Errorf("--set %s is a secret, %s", path, onCommandLine)
	}
	return json.Marshal(doc)
}

// isReference tells whether a value names a file or standard input.
func isReference(value string) bool { return value == "-" || strings.HasPrefix(value, "@") }

func decode(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var doc any
	if err := d.Decode(&doc); err != nil {
		return nil, errors.New("is not JSON") // the decoder's error may quote the text
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("is more than one JSON value")
	}
	return doc, nil
}

// fromFile reads whole events: one, an array, or one after another.
func (c *Command) fromFile(stdin io.Reader) ([]event.Event, error) {
	file := stdin
	name := "standard input"
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		file = f
		name = c.File
	}
	events, err := readEvents(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("%s holds no event", name)
	}
	return events, nil
}

func readEvents(r io.Reader) ([]event.Event, error) {
	var events []event.Event
	for d := json.NewDecoder(r); ; {
		var raw json.RawMessage
		if err := d.Decode(&raw); errors.Is(err, io.EOF) {
			return events, nil
		} else if err != nil {
			return nil, fmt.Errorf("event %d, near byte %d: is not JSON", len(events)+1, d.InputOffset())
		}
		items := []json.RawMessage{raw}
		if raw[0] == '[' {
			if err := json.Unmarshal(raw, &items); err != nil {
				return nil, err
			}
		}
		for _, item := range items {
			e, err := event.Decode(nil, item)
			if err != nil {
				return nil, fmt.Errorf("event %d: %w", len(events)+1, err)
			}
			events = append(events, e)
		}
	}
}
