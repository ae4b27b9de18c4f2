package bulk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// summary is what --dry-run tells.
type summary struct {
	Rows    int            `json:"rows"`
	Invalid int            `json:"invalid"`
	Types   map[string]int `json:"types"`
	Tenants map[string]int `json:"tenants"`
	// Keys is the number of different keys; SharedKeys have more than one row, whose commands take
	// effect in their order.
	Keys       int `json:"keys"`
	SharedKeys int `json:"sharedKeys"`
	// Finished rows have an outcome in the result file, and are not published again.
	Finished int       `json:"finished"`
	Examples []example `json:"examples"`
}

// example is a command as it would be published, its secrets redacted.
type example struct {
	Row         int             `json:"row"`
	ID          string          `json:"id"`
	OperationID string          `json:"operationId"`
	Key         string          `json:"key"`
	Subject     string          `json:"subject,omitempty"`
	NotBefore   string          `json:"notbefore,omitempty"`
	Data        json.RawMessage `json:"data"`
}

// summarise counts what a run would do. valid are the rows to be published; finished ones are
// skipped.
func summarise(rows, invalid, finished, examples int, valid []*entry) summary {
	s := summary{
		Rows:     rows,
		Invalid:  invalid,
		Finished: finished,
		Types:    map[string]int{},
		Tenants:  map[string]int{},
		Examples: []example{},
	}
	keys := map[string]int{}
	for i, e := range valid {
		s.Types[render.Short(e.receipt.Type)]++
		s.Tenants[e.receipt.Tenant]++
		keys[e.receipt.Tenant+"\n"+e.receipt.Key]++
		if i < examples {
			s.Examples = append(s.Examples, example{
				Row: e.row, ID: e.command.ID(), OperationID: e.receipt.OperationID, Key: e.receipt.Key, Subject: e.command.Subject(),
				NotBefore: event.Extension(e.command.Event, event.AttrNotBefore), Data: event.Excerpt(event.Read(e.command.Event)),
			})
		}
	}
	s.Keys = len(keys)
	for _, n := range keys {
		if n > 1 {
			s.SharedKeys++
		}
	}
	return s
}

func (s summary) print(a *app.App) error {
	if a.JSON {
		return a.PrintJSON(s)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "Would publish\n  rows     %s\n", render.Thousands(s.Rows-s.Invalid-s.Finished))
	if s.Invalid > 0 {
		fmt.Fprintf(&b, "  invalid  %s, left out\n", render.Thousands(s.Invalid))
	}
	if s.Finished > 0 {
		fmt.Fprintf(&b, "  finished %s, by the result file; left out\n", render.Thousands(s.Finished))
	}
	fmt.Fprintf(&b, "  types    %s\n  tenants  %s\n  keys     %s different", counts(s.Types), counts(s.Tenants), render.Thousands(s.Keys))
	if s.SharedKeys > 0 {
		fmt.Fprintf(&b, "; %s of more than one row, which take effect in the file's order", render.Thousands(s.SharedKeys))
	}
	b.WriteByte('\n')
	for _, e := range s.Examples {
		e.print(&b)
	}
	_, err := a.Out.Write(b.Bytes())
	return err
}

func (e example) print(b *bytes.Buffer) {
	fmt.Fprintf(b, "\nRow %d\n", e.Row)
	fmt.Fprintf(b, "  id         %s\n", render.OneLine(e.ID))
	fmt.Fprintf(b, "  operation  %s\n", e.OperationID)
	fmt.Fprintf(b, "  key        %s\n", render.OneLine(e.Key))
	if e.Subject != "" {
		fmt.Fprintf(b, "  subject    %s\n", render.OneLine(e.Subject))
	}
	if e.NotBefore != "" {
		fmt.Fprintf(b, "  notbefore  %s\n", e.NotBefore)
	}
	b.WriteString("  ")
	_ = json.Indent(b, e.Data, "  ", "  ") // Excerpt has written it
	b.WriteByte('\n')
}

func counts(by map[string]int) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		list = append(list, fmt.Sprintf("%s (%s)", name, render.Thousands(by[name])))
	}
	return strings.Join(list, ", ")
}
