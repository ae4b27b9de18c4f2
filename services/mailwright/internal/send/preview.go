package send

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// plan is a command that is not published, as --dry-run --json prints it.
type plan struct {
	client.Receipt
	Mode   string              `json:"mode"`
	Header map[string][]string `json:"header"`
	// Body has its secrets redacted; data that is no JSON is left out.
	Body json.RawMessage `json:"body"`
}

// preview prints what would be published.
func (c *Command) preview(a *app.App, commands []event.Event) error {
	for _, e := range commands {
		p, err := c.plan(e)
		if err != nil {
			return err
		}
		if a.JSON {
			err = a.PrintJSON(p)
		} else {
			err = p.print(a.Out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Command) plan(e event.Event) (plan, error) {
	command := c.command(e)
	// The key comes from the data before it is redacted, as a part of it may be redacted.
	command.Key = cmp.Or(command.Key, event.Key(e))
	command.DataEncoded = event.Redact(e.Data())
	command.DataBase64 = false
	msg, receipt, err := command.Message()
	if err != nil {
		return plan{}, err
	}
	return plan{Receipt: receipt, Mode: c.Mode, Header: msg.Header, Body: msg.Data}, nil
}

func (p plan) print(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Would publish to %s\n", p.Subject)
	fmt.Fprintf(&b, "  operation  %s\n", p.OperationID)
	fmt.Fprintf(&b, "  results    %s\n", p.Results)
	fmt.Fprintf(&b, "  key        %s\n\n", p.Key)
	for _, name := range slices.Sorted(maps.Keys(p.Header)) {
		fmt.Fprintf(&b, "%s: %s\n", name, p.Header[name][0])
	}
	b.WriteByte('\n')
	if len(p.Body) == 0 {
		b.WriteString("(the data is no JSON: not shown)")
	} else if err := json.Indent(&b, p.Body, "", "  "); err != nil {
		return err
	}
	b.WriteString("\n\n")
	_, err := w.Write(b.Bytes())
	return err
}
