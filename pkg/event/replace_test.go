package event_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/event"
)

func TestReplaceSecrets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		eventType, data string
		want            string
		fields          []string
	}{
		"a member": {
			event.TypeBusinessUserCreate, `{"container":"LDAP://x","userPrincipalName":"a@b","preferredDomainController":"d","isAdmin":false,"newPassword":"Zebra"}`,
			`{"container":"LDAP://x","isAdmin":false,"newPassword":"ZEBRA","preferredDomainController":"d","userPrincipalName":"a@b"}`, []string{"/newPassword"},
		},
		"values of a property": {
			event.TypeObjectCreate, `{"createIn":"x","objectType":"user","properties":[{"propertyName":"cn","propertyType":"String","values":["Ann"]},{"propertyName":"unicodePwd","propertyType":1,"values":["Zebra","lion"]}]}`,
			`{"createIn":"x","objectType":"user","properties":[{"propertyName":"cn","propertyType":"String","values":["Ann"]},{"propertyName":"unicodePwd","propertyType":1,"values":["ZEBRA","LION"]}]}`,
			[]string{"/properties/1/values/0", "/properties/1/values/1"},
		},
		"a number is no text": {
			event.TypeObjectCreate, `{"createIn":"x","objectType":"user","properties":[{"propertyName":"pwdLastSet","propertyType":"LargeInteger","values":[-1]}]}`,
			`{"createIn":"x","objectType":"user","properties":[{"propertyName":"pwdLastSet","propertyType":"LargeInteger","values":[-1]}]}`, nil,
		},
		"data that does not fit": {event.TypeBusinessUserCreate, `{"newPassword":["Zebra"]}`, `{"newPassword":["ZEBRA"]}`, []string{"/newPassword/0"}},
		"no secret":              {event.TypeMailboxCreate, `{"directoryObject":"x","mailboxParameters":{"alias":"a"}}`, `{"directoryObject":"x","mailboxParameters":{"alias":"a"}}`, nil},
		"no JSON":                {event.TypeMailboxCreate, `{`, ``, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := event.New("1", "/test", c.eventType, nil)
			if err != nil {
				t.Fatal(err)
			}
			e.DataEncoded = []byte(c.data)
			d := event.Read(e)
			before := d.Secrets()
			var fields []string
			data, faults := d.ReplaceSecrets(func(field, text string) (string, error) {
				fields = append(fields, field)
				return strings.ToUpper(text), nil
			})
			if string(data) != c.want || !slices.Equal(fields, c.fields) || len(faults) > 0 {
				t.Errorf("got %s of %v, %v", data, fields, faults)
			}
			data, faults = d.ReplaceSecrets(func(string, string) (string, error) { return "", errors.New("is refused") })
			if strings.Contains(string(data), "ZEBRA") || len(faults) != len(c.fields) || !slices.Equal(d.Secrets(), before) {
				t.Errorf("refused: %s, %v, %v", data, faults, d.Secrets())
			}
			for i, f := range faults {
				if f.Field != c.fields[i] || f.Problem != "is refused" {
					t.Errorf("fault %v", f)
				}
			}
		})
	}
}

// TestSchemasTakeSealedValues: where a secret may stand, one that is sealed may, whatever the type
// of the property; and nowhere else.
func TestSchemasTakeSealedValues(t *testing.T) {
	t.Parallel()
	const value = `"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n"`
	property := func(name, propertyType, value string) string {
		return `{"createIn":"x","objectType":"user","properties":[{"propertyName":"` + name + `","propertyType":` + propertyType + `,"values":[` + value + `]}]}`
	}
	hosted := func(more string) string {
		return `{"container":"LDAP://x","userPrincipalName":"a@b","preferredDomainController":"d","isAdmin":false,` + more + `}`
	}
	long := `"-----BEGIN AGE ENCRYPTED FILE-----` + strings.Repeat("x", 4096) + `"`
	const elsewhere = "is a sealed value; one may stand only where a secret may"
	for name, c := range map[string]struct {
		eventType, data string
		want            []event.Fault
	}{
		"a text":              {event.TypeObjectCreate, property("unicodePwd", `"String"`, value), nil},
		"a large integer":     {event.TypeObjectCreate, property("pwdLastSet", `10`, value), nil},
		"bytes":               {event.TypeObjectCreate, property("unicodePwd", `"Binary"`, value), nil},
		"a time":              {event.TypeObjectCreate, property("pwdLastSet", `"DateTime"`, value), nil},
		"a boolean":           {event.TypeObjectCreate, property("pwdNever", `"Boolean"`, value), []event.Fault{{Field: "/properties/0/values/0", Problem: "must be boolean, not string"}}},
		"plain bytes":         {event.TypeObjectCreate, property("unicodePwd", `"Binary"`, `"!"`), []event.Fault{{Field: "/properties/0/values/0", Problem: "must be base64"}}},
		"no secret":           {event.TypeObjectCreate, property("description", `"String"`, value), []event.Fault{{Field: "/properties/0/values/0", Problem: elsewhere}}},
		"no secret, of bytes": {event.TypeObjectCreate, property("thumbnail", `"Binary"`, value), []event.Fault{{Field: "/properties/0/values/0", Problem: elsewhere}}},
		"a password":          {event.TypeBusinessUserCreate, hosted(`"newPassword":` + value), nil},
		"a long password":     {event.TypeBusinessUserCreate, hosted(`"newPassword":"` + strings.Repeat("x", 257) + `"`), []event.Fault{{Field: "/newPassword", Problem: "must have at most 256 characters"}}},
		"a long sealed one":   {event.TypeBusinessUserCreate, hosted(`"newPassword":` + long), []event.Fault{{Field: "/newPassword", Problem: "must have at most 256 characters"}, {Field: "/newPassword", Problem: "must have at most 4096 characters"}}},
		"a hosted property":   {event.TypeBusinessUserCreate, hosted(`"properties":[{"name":"userPassword","values":[` + value + `]}]`), nil},
		"another":             {event.TypeBusinessUserCreate, hosted(`"properties":[{"name":"info","values":[` + value + `]}]`), []event.Fault{{Field: "/properties/0/values/0", Problem: elsewhere}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := event.New("1", "/test", c.eventType, nil)
			if err != nil {
				t.Fatal(err)
			}
			e.DataEncoded = []byte(c.data)
			if diff := cmp.Diff(c.want, event.Check(e)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}
