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

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/deadletters"
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
	deadletters.Letter
	// Original is null if its stream no longer has it.
	Original *deadletters.Original `json:"original"`
}

// Run shows.
func (c *Show) Run(ctx context.Context, a *app.App) error {
	nc, d, err := open(ctx, a)
	if err != nil {
		return err
	}
	defer nc.Close()
	l, found, err := d.Letter(ctx, c.Sequence)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("there is no dead letter %d", c.Sequence)
	}
	m, err := d.Original(ctx, l)
	if err != nil {
		return err
	}
	s := shown{Letter: l}
	if m != nil {
		s.Original = deadletters.Visible(m)
	}
	if a.JSON {
		return a.PrintJSON(s)
	}
	return s.print(a.Out)
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
		fmt.Fprintf(&b, "\nThe original is gone: %s no longer holds it%s. The dead letter keeps of it:\n", render.Cell(l.Stream), whyGone(l.Stream))
		return writeJSON(out, &b, l.Excerpt, l.Shape)
	}
	fmt.Fprintf(&b, "\nOriginal, stored %s, %d bytes\n", moment(s.Original.StoredAt), s.Original.Size)
	for _, name := range slices.Sorted(maps.Keys(s.Original.Header)) {
		fmt.Fprintf(&b, "  %s: %s\n", render.OneLine(name), render.OneLine(s.Original.Header[name]))
	}
	return writeJSON(out, &b, s.Original.Body, s.Original.Shape)
}

// whyGone says more about an original that is gone from COMMANDS.
func whyGone(stream string) string {
	if stream != topology.StreamCommands {
		return ""
	}
	return ", since it is too old or may have held a secret. Its publisher has to send it again to have it carried out"
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
