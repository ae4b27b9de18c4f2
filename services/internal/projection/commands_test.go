package projection

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// The operation id that is read from plain headers is that of the whole command. Else the row of
// another operation would take the place of the command's.
func TestPlainHeadersGiveTheOperationOfTheWholeCommand(t *testing.T) {
	t.Parallel()
	const body = `{"mailbox":"alex@contoso.com","delegates":[]}`
	structured := `{"specversion":"1.0","id":"other","source":"/s","type":"io.mailwright.delegation.set.v1","data":` + body + `}`
	headers := func(pairs ...string) nats.Header {
		h := nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"4711"}, "ce-source": {"/s"}, "ce-type": {"io.mailwright.delegation.set.v1"}}
		for i := 0; i < len(pairs); i += 2 {
			h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
		}
		return h
	}
	for name, c := range map[string]struct {
		header nats.Header
		body   string
		plain  bool
	}{
		"plain":                  {headers(), body, true},
		"further attributes":     {headers("ce-correlationid", "Ticket 1", "Nats-Msg-Id", "x"), body, true},
		"a dry run":              {headers("ce-dryrun", "true"), body, false},
		"a dry run in capitals":  {headers("CE-DryRun", "true"), body, false},
		"another case":           {headers("Ce-Id", "other"), body, false},
		"twice":                  {headers("ce-id", "other"), body, false},
		"structured":             {headers("Content-Type", "application/CloudEvents+json"), structured, false},
		"structured, by the way": {headers("ce-datacontenttype", "application/cloudevents+json"), structured, false},
		"no header":              {nil, structured, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, plain := plainIdentity(c.header); plain != c.plain {
				t.Errorf("plain: %v", plain)
			}
			record := projector.Record{Subject: "mailwright.cmd.contoso.delegation.3.alex", Header: c.header, Data: []byte(c.body)}
			got, ok := receive(record)
			command, err := event.ReadCommand(c.header, record.Data)
			if err != nil {
				if ok && got.decode() {
					t.Errorf("a command that cannot be read: %v", err)
				}
				return
			}
			if want := event.OperationOf("contoso", command.Event); !ok || got.operationID != want {
				t.Errorf("%v, want %s", got, want)
			}
		})
	}
	for _, value := range []string{"", " 1", "a%20b", `"a"`, `a\b`, "ä", "a\x7f"} {
		if isPlain(value) {
			t.Errorf("%q is plain", value)
		}
	}
}

// A command that cannot be read gives no row, and takes none from one behind it in the batch.
func TestTheFirstCommandThatCanBeReadGivesTheRow(t *testing.T) {
	t.Parallel()
	record := func(sequence int64, more int) projector.Record {
		h := nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"4711"}, "ce-source": {"/s"}, "ce-type": {event.TypeDelegationSet}}
		for i := range more {
			h[fmt.Sprint("ce-a", i)] = []string{"x"}
		}
		return projector.Record{Subject: "mailwright.cmd.contoso.delegation.3.alex", Sequence: sequence, Header: h, Data: []byte(`{}`)}
	}
	received := receiveAll([]projector.Record{record(1, 100), record(2, 0), record(3, 0)})
	rows := newRows(received, map[string]bool{})
	if len(rows) != 1 || rows[0].CommandID != "4711" {
		t.Errorf("%+v", rows)
	}
	if rows = newRows(received, map[string]bool{rows[0].OperationID: true}); len(rows) > 0 {
		t.Errorf("an operation that is known has the row %+v", rows)
	}
}
