package event_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/event"
)

func TestCheckNamesEveryFault(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		eventType, data string
		want            []event.Fault
	}{
		"missing fields": {event.TypeMailboxCreate, `{}`, []event.Fault{
			{Field: "/directoryObject", Problem: "is missing; it is required"},
			{Field: "/mailboxParameters", Problem: "is missing; it is required"}}},
		"alias and template both absent": {event.TypeMailboxCreate, `{"directoryObject":"x","mailboxParameters":{}}`, []event.Fault{
			{Field: "/mailboxParameters", Problem: "needs one of: alias, aliasTemplate"}}},
		"wrong type": {event.TypeDelegationSet, `{"mailbox":7,"delegates":"alex"}`, []event.Fault{
			{Field: "/delegates", Problem: "must be array, not string"},
			{Field: "/mailbox", Problem: "must be string, not number"}}},
		"unknown member": {event.TypeDelegationSet, `{"mailbox":"a","delegates":[],"delegate":"b"}`, []event.Fault{
			{Field: "/delegate", Problem: "is not known here; remove it or check its spelling"}}},
		"unknown objectType": {event.TypeObjectCreate, `{"createIn":"OU=x","objectType":"robot","properties":[{"propertyName":"cn","propertyType":"String","values":["x"]}]}`, []event.Fault{
			{Field: "/objectType", Problem: "must be one of organizationalUnit, container, user, contact, group, computer, printQueue, volume"}}},
		"value against its property type": {event.TypeObjectCreate, `{"createIn":"OU=x","objectType":"user","properties":[{"propertyName":"x","propertyType":"Boolean","values":["true"]}]}`, []event.Fault{
			{Field: "/properties/0/values/0", Problem: "must be boolean, not string"}}},
		"o365 on a group": {event.TypeObjectCreate, `{"createIn":"OU=x","objectType":"group","o365":{"locationName":"US"},"properties":[{"propertyName":"cn","propertyType":2,"values":["x"]}]}`, []event.Fault{
			{Field: "/objectType", Problem: "must be one of user"}}},
		"server without store": {event.TypeBusinessUserCreate, `{"container":"LDAP://OU=x","userPrincipalName":"a@b","preferredDomainController":"dc","isAdmin":false,"mailStore":{"serverName":"EXBE01"}}`, []event.Fault{
			{Field: "/mailStore/mailStoreName", Problem: "is missing; it is required together with serverName"}}},
		"neither add nor remove": {event.TypeDelegationChange, `{"mailbox":"a"}`, []event.Fault{
			{Field: "data", Problem: "needs one of: add, remove"}}},
		"page size": {event.TypeInventorySync, `{"pageSize":1001}`, []event.Fault{
			{Field: "/pageSize", Problem: "must be at most 1000"}}},
		"not JSON":     {event.TypeInventorySync, `{`, []event.Fault{{Field: "data", Problem: "is not JSON"}}},
		"no data":      {event.TypeInventorySync, ``, []event.Fault{{Field: "data", Problem: "is missing; it is required"}}},
		"unknown type": {"com.example.unknown", `{}`, []event.Fault{{Field: "type", Problem: `"com.example.unknown" is not a type that this system knows; asyncapi.yaml lists them`}}},
		"valid":        {event.TypeInventorySync, `{}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := event.New("1", "test", c.eventType, nil)
			if err != nil {
				t.Fatal(err)
			}
			e.DataEncoded = []byte(c.data)
			if diff := cmp.Diff(c.want, event.Check(e)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestFaultsNeverQuoteAValue(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		`{"container":"hunter2","userPrincipalName":"hunter2","preferredDomainController":"d","isAdmin":"hunter2","newPassword":["hunter2"],"initials":"hunter2hunter2"}`,
		`{"mailStore":{"algorithm":"hunter2"},"properties":[{"name":"userPassword","values":"hunter2"}]}`,
	} {
		e, err := event.New("1", "test", event.TypeBusinessUserCreate, nil)
		if err != nil {
			t.Fatal(err)
		}
		e.DataEncoded = []byte(data)
		faults := event.Check(e)
		if len(faults) == 0 {
			t.Error("no fault found")
		}
		for _, f := range faults {
			if cmp.Equal(f.Problem, "") || containsSecret(f.Problem) {
				t.Errorf("%+v", f)
			}
		}
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	fp := func(data string) string {
		e, err := event.New("1", "test", event.TypeBusinessUserCreate, nil)
		if err != nil {
			t.Fatal(err)
		}
		e.DataEncoded = []byte(data)
		return event.Fingerprint(e)
	}
	const rest = `"container":"LDAP://OU=x","userPrincipalName":"a@b","preferredDomainController":"dc","isAdmin":false}`
	base := fp(`{"alias":"a","newPassword":"one",` + rest)
	if got := fp(`{ "newPassword":"two", "alias":"a", ` + rest); got != base {
		t.Error("white space, order or a secret changes the fingerprint")
	}
	if got := fp(`{"alias":"b","newPassword":"one",` + rest); got == base {
		t.Error("other data has the same fingerprint")
	}
}
