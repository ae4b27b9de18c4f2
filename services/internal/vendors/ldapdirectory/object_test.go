package ldapdirectory

import (
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/services/internal/failure"
)

func TestDecode(t *testing.T) {
	t.Parallel()
	got, err := decode(ldap.NewEntry("CN=bob,DC=example,DC=com", map[string][]string{
		"objectguid":           {"\xce\x67\x42\x7a\x54\xd3\xe7\x44\x8b\xd6\xc6\x81\xf1\x28\x4a\x41"},
		"objectSid":            {"\x01\x05\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00\x0c\xcf\xdc\x3b\x13\x90\x2a\x46\x82\x8b\xa6\x28\x83\x04\x00\x00"},
		"sAMAccountName":       {"bob_example"},
		"homeMDB":              {`CN=Store \, One,CN=First Storage Group,CN=Servers,DC=example,DC=com`},
		"msExchHomeServerName": {"/o=fabrikam/ou=First Administrative Group/cn=Configuration/cn=Servers/cn=EXBE01"},
		"whenCreated":          {"20261121090000.0Z"},
		"memberOf":             {"CN=a,DC=example,DC=com", "CN=b,DC=example,DC=com"},
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := Object{
		DN: "CN=bob,DC=example,DC=com", GUID: "7a4267ce-d354-44e7-8bd6-c681f1284a41", SID: "S-1-5-21-1004326668-1177194515-682003330-1155",
		SAMAccountName: "bob_example", MailStore: "Store , One", MailServer: "EXBE01",
		MemberOf: []string{"CN=a,DC=example,DC=com", "CN=b,DC=example,DC=com"}, Created: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeRefusesWhatItCanNotRead(t *testing.T) {
	t.Parallel()
	for name, attributes := range map[string]map[string][]string{
		"a short GUID":     {"objectGUID": {"short"}},
		"a SID cut off":    {"objectSid": {"\x01\x05\x00\x00\x00\x00\x00\x05\x15"}},
		"another revision": {"objectSid": {strings.Repeat("\x02", 12)}},
		"a time":           {"whenCreated": {"yesterday"}},
	} {
		if _, err := decode(ldap.NewEntry("CN=x", attributes)); !failure.Is(err, failure.Internal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("1234567890123456", "\x01\x01\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00", "CN=a,DC=b", "/cn=x", "20261121090000.0Z")
	f.Fuzz(func(t *testing.T, guid, sid, home, server, created string) {
		o, err := decode(ldap.NewEntry("CN=x", map[string][]string{
			"objectGUID": {guid}, "objectSid": {sid}, "homeMDB": {home}, "msExchHomeServerName": {server}, "whenCreated": {created},
		}))
		if err == nil && (o.GUID != "" && len(o.GUID) != 36 || o.SID != "" && !strings.HasPrefix(o.SID, "S-1-")) {
			t.Errorf("%+v", o)
		}
	})
}
