package operation

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/sealed"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failure"
)

func newIdentities(t *testing.T) sealed.Identities {
	t.Helper()
	key, err := sealed.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := sealed.ParseIdentities(key)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// sealTo seals a secret, quoted as JSON.
func sealTo(t *testing.T, keys sealed.Identities, secret, operationID string) string {
	t.Helper()
	text, err := sealed.Seal(secret, operationID, keys.Recipients()...)
	if err != nil {
		t.Fatal(err)
	}
	return `"` + strings.ReplaceAll(text, "\n", `\n`) + `"`
}

func TestOpenSecrets(t *testing.T) {
	t.Parallel()
	keys, others := newIdentities(t), newIdentities(t)
	id := event.OperationID("contoso", "/test", "1")
	own := func(secret string) string { return sealTo(t, keys, secret, id) }
	hosted := func(password string) string {
		return `{"container":"LDAP://x","userPrincipalName":"a@b","preferredDomainController":"d","isAdmin":false,"newPassword":` + password + `}`
	}
	object := func(values string) string {
		return `{"createIn":"x","objectType":"user","properties":[{"propertyName":"cn","propertyType":"String","values":["x"]},{"propertyName":"unicodePwd","propertyType":"String","values":[` + values + `]}]}`
	}
	with := Secrets{Identities: func() sealed.Identities { return keys }}
	both := Secrets{Identities: with.Identities, PlainAllowed: true}
	const mustBeSealed = "must be sealed, since this tenant takes no plain secrets: " + remedy
	for name, c := range map[string]struct {
		secrets   map[string]Secrets
		eventType string
		data      string
		dryRun    bool
		want      string // the secret that the handler gets
		faults    []event.Fault
	}{
		"sealed":               {map[string]Secrets{"contoso": with}, event.TypeBusinessUserCreate, hosted(own("Zebra-Pass-1")), false, "Zebra-Pass-1", nil},
		"sealed property":      {map[string]Secrets{"contoso": with}, event.TypeObjectCreate, object(own("Zebra-Pass-1")), false, "Zebra-Pass-1", nil},
		"of a dry run":         {map[string]Secrets{"contoso": with}, event.TypeBusinessUserCreate, hosted(own("Zebra-Pass-1")), true, "Zebra-Pass-1", nil},
		"bound to none":        {map[string]Secrets{"contoso": with}, event.TypeBusinessUserCreate, hosted(sealTo(t, keys, "Zebra-Pass-1", "")), false, "Zebra-Pass-1", nil},
		"short":                {map[string]Secrets{"contoso": with}, event.TypeBusinessUserCreate, hosted(own("abc")), false, "abc", nil},
		"sealed, plain too":    {map[string]Secrets{"contoso": both}, event.TypeBusinessUserCreate, hosted(own("Zebra-Pass-1")), false, "Zebra-Pass-1", nil},
		"plain where allowed":  {map[string]Secrets{"contoso": both}, event.TypeBusinessUserCreate, hosted(`"Zebra-Pass-1"`), false, "Zebra-Pass-1", nil},
		"plain":                {map[string]Secrets{"contoso": with}, event.TypeBusinessUserCreate, hosted(`"Zebra-Pass-1"`), false, "", []event.Fault{{Field: "/newPassword", Problem: mustBeSealed}}},
		"plain, short":         {map[string]Secrets{"contoso": with}, event.TypeBusinessUserCreate, hosted(`"abc"`), false, "", []event.Fault{{Field: "/newPassword", Problem: mustBeSealed}}},
		"plain property":       {map[string]Secrets{"contoso": with}, event.TypeObjectCreate, object(own("Zebra-Pass-1") + `,"Zebra-Pass-2"`), false, "", []event.Fault{{Field: "/properties/1/values/1", Problem: mustBeSealed}}},
		"plain and no key":     {map[string]Secrets{"contoso": {}}, event.TypeBusinessUserCreate, hosted(`"Zebra-Pass-1"`), false, "", []event.Fault{{Field: "/newPassword", Problem: mustBeSealed}}},
		"sealed and no key":    {map[string]Secrets{"contoso": {}}, event.TypeBusinessUserCreate, hosted(own("Zebra-Pass-1")), false, "", []event.Fault{{Field: "/newPassword", Problem: errNoKey.Error()}}},
		"to another key":       {map[string]Secrets{"contoso": with}, event.TypeBusinessUserCreate, hosted(sealTo(t, others, "Zebra-Pass-1", id)), false, "", []event.Fault{{Field: "/newPassword", Problem: sealed.ErrOtherKey.Error() + ": " + remedy}}},
		"for another tenant":   {map[string]Secrets{"contoso": with}, event.TypeBusinessUserCreate, hosted(sealTo(t, keys, "Zebra-Pass-1", event.OperationID("other", "/test", "1"))), false, "", []event.Fault{{Field: "/newPassword", Problem: "is sealed for another operation: seal the secret anew for this tenant, source and id"}}},
		"torn":                 {map[string]Secrets{"contoso": with}, event.TypeBusinessUserCreate, hosted(`"-----BEGIN AGE ENCRYPTED FILE-----"`), false, "", []event.Fault{{Field: "/newPassword", Problem: sealed.ErrMalformed.Error()}}},
		"twice":                {map[string]Secrets{"contoso": with}, event.TypeBusinessUserCreate, hosted(own("-----BEGIN AGE ENCRYPTED FILE-----\n")), false, "", []event.Fault{{Field: "/newPassword", Problem: errTwice.Error()}}},
		"too long when opened": {map[string]Secrets{"contoso": with}, event.TypeBusinessUserCreate, hosted(own(strings.Repeat("x", 257))), false, "", []event.Fault{{Field: "/newPassword", Problem: "must have at most 256 characters"}}},
		"too many": {map[string]Secrets{"contoso": with}, event.TypeObjectCreate, object(strings.Repeat(own("Zebra-Pass-1")+",", 8) + own("Zebra-Pass-9")), false, "",
			[]event.Fault{{Field: "/properties/1/values/8", Problem: errTooOften.Error()}}},
		"a fault beside it": {map[string]Secrets{"contoso": with}, event.TypeBusinessUserCreate, strings.Replace(hosted(`"Zebra-Pass-1"`), "a@b", "ab", 1), false, "", []event.Fault{{Field: "/userPrincipalName", Problem: `must match the pattern ^[^@\s]+@[^@\s]+$`}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := &Engine{cfg: Config{Domain: event.DomainDirectory, Secrets: c.secrets, Handlers: map[string]Handler{event.TypeBusinessUserCreate: {}, event.TypeObjectCreate: {}}}}
			header := nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/test"}, "ce-type": {c.eventType}}
			if c.dryRun {
				header["ce-dryrun"] = []string{"true"}
			}
			a, err := e.decode(bus.Delivery{Subject: "mailwright.cmd.contoso.directory.0.k", Header: header, Data: []byte(c.data)})
			if err != nil {
				t.Fatal(err)
			}
			published := a.Operation.Fingerprint
			e.openSecrets(a)
			if diff := cmp.Diff(c.faults, e.faults(a)); diff != "" {
				t.Fatalf("faults (-want +got):\n%s", diff)
			}
			if strings.Contains(string(event.Excerpt(a.command.Document)), "Zebra") || strings.Contains(string(event.Excerpt(a.command.Document)), "BEGIN AGE") {
				t.Errorf("a dead letter would show %s", event.Excerpt(a.command.Document))
			}
			if a.Operation.Fingerprint != published {
				t.Error("the fingerprint is not that of the command as published")
			}
			if c.want == "" {
				if f, ok := errors.AsType[*failure.Error](needSecrets(a)); len(a.secretFaults) > 0 && (!ok || f.Kind != failure.Unavailable) {
					t.Errorf("the vendor would be called: %v", f)
				}
				return
			}
			if needSecrets(a) != nil || !strings.Contains(string(a.Command.Data()), c.want) || strings.Contains(string(a.Command.Data()), "BEGIN AGE") {
				t.Errorf("the handler gets %s, %v", a.Command.Data(), needSecrets(a))
			}
			if got := a.secrets.text("the vendor says " + c.want); len(c.want) >= minSecret && strings.Contains(got, c.want) {
				t.Errorf("what was opened is not hidden: %s", got)
			}
		})
	}
}
