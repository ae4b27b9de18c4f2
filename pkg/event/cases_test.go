package event_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
)

// TestCasesOfTheField reads what publishers in other languages really send, and what they send by
// mistake.
func TestCasesOfTheField(t *testing.T) {
	t.Parallel()
	const dryRun = "dryrun must be true or false, as a boolean or as text"
	for _, c := range []struct {
		header, body string
		want         string // the faults, or the error; "" where the command is valid
	}{
		{"", "integers-as-floats/a-userAccountControl.json", ""},
		{"", "integers-as-floats/b-userAccountControl.json", ""},
		{"", "integers-as-floats/c-userAccountControl.json", ""},
		{"", "integers-as-floats/d-accountExpires-beyond-int64.json", "/properties/2/values/0 must be at most 9223372036854775807"},
		{"", "integers-as-floats/e-accountExpires-exponent.json", ""},
		{"", "integers-as-floats/f-pageSize.json", ""},
		{"", "integers-as-floats/g-pageSize.json", ""},

		{"", "dryrun-spellings/structured-true-upper-case.json", ""},
		{"", "dryrun-spellings/structured-true-capitalized.json", ""},
		{"", "dryrun-spellings/structured-1.json", dryRun},
		{"", "dryrun-spellings/structured-empty.json", dryRun},
		{"", "dryrun-spellings/structured-number-1.json", dryRun},
		{"", "dryrun-spellings/structured-yes.json", dryRun},
		{"dryrun-spellings/headers-true-upper-case.txt", "dryrun-spellings/body.json", ""},
		{"dryrun-spellings/headers-true-capitalized.txt", "dryrun-spellings/body.json", ""},
		{"dryrun-spellings/headers-1.txt", "dryrun-spellings/body.json", dryRun},
		{"dryrun-spellings/headers-empty.txt", "dryrun-spellings/body.json", dryRun},
		{"dryrun-spellings/headers-yes.txt", "dryrun-spellings/body.json", dryRun},

		{"", "null-attributes/a-datacontenttype-null.json", ""},
		{"", "null-attributes/b-data_base64-null.json", ""},
		{"", "null-attributes/c-other-nulls-control.json", ""},
		{"", "null-attributes/d-bad-time.json", "time must be a time as RFC 3339 has it, with a zone, such as 2026-11-21T09:00:00Z"},
		{"", "null-attributes/e-underscore-extension.json", "trace_id can not be the name of an attribute; use the letters a to z and digits, at most 64"},

		{"", "json-media-types/a-vendor-plus-json.structured.json", ""},
		{"", "json-media-types/b-upper-case.structured.json", ""},
		{"", "json-media-types/c-plus-json-charset.structured.json", ""},
		{"", "json-media-types/d-charset-control.structured.json", ""},
		{"", "json-media-types/e-text-json-control.structured.json", ""},
		{"json-media-types/a-vendor-plus-json.headers.txt", "json-media-types/body.json", ""},
		{"json-media-types/b-upper-case.headers.txt", "json-media-types/body.json", ""},
		{"json-media-types/c-plus-json-charset.headers.txt", "json-media-types/body.json", ""},
		{"json-media-types/d-charset-control.headers.txt", "json-media-types/body.json", ""},
		{"json-media-types/e-text-json-control.headers.txt", "json-media-types/body.json", ""},

		{"", "duplicate-members/a-mailboxParameters-twice.json", "/mailboxParameters is given more than once"},
		{"", "duplicate-members/a-same-fingerprint.json", ""},
		{"", "duplicate-members/b-mailbox-twice.json", "/mailbox is given more than once"},
		{"", "duplicate-members/c-id-twice.json", "unreadable: id is given more than once"},
		{"", "duplicate-members/d-invalid-first-valid-last.json", "/mailboxParameters is given more than once"},
	} {
		t.Run(c.header+" "+c.body, func(t *testing.T) {
			t.Parallel()
			command, err := event.ReadCommand(headerFile(t, c.header), caseFile(t, c.body))
			if diff := cmp.Diff(c.want, verdict(command, err)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if strings.Contains(c.header+c.body, "true") && !command.DryRun {
				t.Error("not a dry run")
			}
		})
	}
}

// verdict is what a reader says of a message, in one text.
func verdict(c event.Command, err error) string {
	if unreadable, ok := errors.AsType[*event.UnreadableError](err); ok {
		return "unreadable: " + unreadable.Error()
	}
	if err != nil {
		return "an error of another kind: " + err.Error()
	}
	var texts []string
	for _, f := range c.Check() {
		texts = append(texts, f.Field+" "+f.Problem)
	}
	return strings.Join(texts, "; ")
}

func caseFile(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "cases", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func headerFile(t *testing.T, name string) nats.Header {
	t.Helper()
	if name == "" {
		return nil
	}
	h := nats.Header{}
	for line := range strings.Lines(string(caseFile(t, name))) {
		if field, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			h[field] = append(h[field], strings.TrimSpace(value))
		}
	}
	return h
}

// TestSourceIsKeptAsWritten: whoever publishes computes the subject of the answer from source and
// id, and knows no other spelling than the own one.
func TestSourceIsKeptAsWritten(t *testing.T) {
	t.Parallel()
	var expected map[string]struct{ Source, ID string }
	if err := json.Unmarshal(caseFile(t, "source-not-kept/expected-ids.json"), &expected); err != nil {
		t.Fatal(err)
	}
	for name, want := range expected {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			structured, err := event.ReadCommand(nil, caseFile(t, "source-not-kept/"+name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			if faults := structured.Check(); len(faults) > 0 {
				t.Error(faults)
			}
			for _, mode := range []event.Mode{event.Binary, event.Structured} {
				h, body, err := event.Encode(structured.Event, mode)
				if err != nil {
					t.Fatal(err)
				}
				again, err := event.ReadCommand(h, body)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range []event.Command{structured, again} {
					if c.Event.Source() != want.Source || c.Event.ID() != want.ID {
						t.Errorf("mode %d: source %q, id %q", mode, c.Event.Source(), c.Event.ID())
					}
				}
			}
		})
	}
}
