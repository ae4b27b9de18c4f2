package event_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
)

const validUser = `"container":"LDAP://OU=x","userPrincipalName":"a@b","preferredDomainController":"dc","isAdmin":false`

func document(t *testing.T, eventType, data string) event.Document {
	t.Helper()
	e, err := event.New("1", "test", eventType, nil)
	if err != nil {
		t.Fatal(err)
	}
	e.DataEncoded = []byte(data)
	return event.Read(e)
}

func TestExcerptHidesWhatTheSchemaMarks(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`{` + validUser + `,"newPassword":"hunter2"}`:                                                                    `"newPassword":"[redacted]"`,
		`{` + validUser + `,"properties":[{"name":"unicodePwd","values":["hunter2"]},{"name":"title","values":["Dr"]}]}`: `[{"name":"unicodePwd","values":"[redacted]"},{"name":"title","values":["Dr"]}]`,
	} {
		d := document(t, event.TypeBusinessUserCreate, data)
		if faults := d.Check(); len(faults) > 0 {
			t.Fatal(faults)
		}
		if got := string(event.Excerpt(d)); !strings.Contains(got, want) || containsSecret(got) {
			t.Errorf("got %s, want something with %s", got, want)
		}
		if secrets := d.Secrets(); len(secrets) != 1 || secrets[0] != "hunter2" {
			t.Errorf("secrets %q", secrets)
		}
	}
}

// TestWhatBreaksItsSchemaHasNoExcerpt: there nobody can tell which part is the secret.
func TestWhatBreaksItsSchemaHasNoExcerpt(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		`"{\"mailbox\":\"a\",\"newPassword\":\"hunter2\"}"`,
		`{` + validUser + `,"properties":[{"name":"unicodePwd","value":"hunter2"}]}`,
		`{` + validUser + `,"properties":[["unicodePwd","hunter2"]]}`,
		`["unicodePwd","hunter2"]`,
		`{` + validUser + `,"password2":"hunter2"}`,
		`hunter2`,
	} {
		d := document(t, event.TypeBusinessUserCreate, data)
		if got := event.Excerpt(d); got != nil {
			t.Errorf("%s has the excerpt %s", data, got)
		}
	}
}

func TestShapeTellsNoValue(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]event.Shape{
		`{"mailbox":"hunter2","hunter2 is a name":1,"b":2}`: {Kind: "object", Size: 49, Members: []string{"b", "mailbox"}},
		`"hunter2"`:   {Kind: "string", Size: 9},
		`["hunter2"]`: {Kind: "array", Size: 11},
		`7`:           {Kind: "number", Size: 1},
		`true`:        {Kind: "boolean", Size: 4},
		`null`:        {Kind: "null", Size: 4},
		`hunter2`:     {Size: 7},
		``:            {},
	} {
		if diff := cmp.Diff(want, event.ShapeOf([]byte(body))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

func TestRedactShowsNoValueThatMayBeASecret(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		`"{\"newPassword\":\"hunter2\"}"`,
		`["unicodePwd","hunter2"]`,
		`{"data":"{\"newPassword\":\"hunter2\"}"}`,
		`{"properties":[{"propertyName":"unicodePwd","value":"hunter2"}]}`,
		`{"a":"hunter2","a":1}`,
	} {
		if got := string(event.Redact([]byte(data))); containsSecret(got) {
			t.Errorf("%s -> %s", data, got)
		}
	}
}

// TestAnExcerptNeedsDataThatWasRead: where the envelope has a fault in the type or the content
// type, the data is not held against a schema.
func TestAnExcerptNeedsDataThatWasRead(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]nats.Header{
		"no type":      {"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/x"}},
		"type twice":   {"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/x"}, "ce-type": {"a", "b"}},
		"unknown type": {"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/x"}, "ce-type": {"com.example.x"}},
	} {
		command, err := event.ReadCommand(h, []byte(`{"note":"hunter2"}`))
		if err != nil {
			t.Fatal(err)
		}
		if excerpt := event.Excerpt(command.Document); excerpt != nil {
			t.Errorf("%s: %s", name, excerpt)
		}
	}
}
