package dn_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mailwright/mailwright/services/internal/vendors/dn"
)

// The rules are RFC 4514 section 2.4, its examples from section 4.
func TestEscape(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"John Smith":                   "John Smith",
		`James "Jim" Smith, III`:       `James \"Jim\" Smith\, III`,
		"user+tag@example.com":         `user\+tag@example.com`,
		"#1":                           `\#1`,
		"a#1":                          "a#1",
		" both ":                       `\ both\ `,
		" ":                            `\ `,
		`back\slash;less<more>`:        `back\\slash\;less\<more\>`,
		"a=b":                          `a\=b`,
		"New Group\nUID:6b26":          `New Group\0AUID:6b26`,
		"Before\rAfter":                `Before\0DAfter`,
		"\x00":                         `\00`,
		"Lučić":                        "Lučić",
		"":                             "",
		"slash/stays":                  "slash/stays",
		"OU=Evil,DC=example,DC=com,CN": `OU\=Evil\,DC\=example\,DC\=com\,CN`,
	}
	for value, want := range tests {
		if got := dn.Escape(value); got != want {
			t.Errorf("Escape(%q) = %q, want %q", value, got, want)
		}
	}
}

func TestEqual(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b string
		want bool
	}{
		{"CN=John Smith,DC=example,DC=com", "cn=john smith, dc=Example,DC=COM", true},
		{`CN=Smith\, John,DC=x`, `CN=Smith\2C John,DC=x`, true},
		{`CN=a\=b,DC=x`, `CN=a=b,DC=x`, true},
		{"CN=John  Smith,DC=x", "CN=John Smith,DC=x", true},
		{"CN=a+UID=1,DC=x", "UID=1+CN=a,DC=x", true},
		{"CN=a;DC=x", "CN=a,DC=x", true},
		{`CN=New Group\0AUID:6b26,DC=x`, "CN=New Group\nUID:6b26,DC=x", true},
		{`CN=a\,DC=x`, "CN=a,DC=x", false},
		{`CN=a\+UID=1,DC=x`, "CN=a+UID=1,DC=x", false},
		{"CN=a,DC=x", "CN=b,DC=x", false},
		{"CN=a,DC=x", "OU=a,DC=x", false},
		{"CN=a,DC=x", "CN=a", false},
		{"", "", false},
		{"not a DN", "not a DN", false},
		{`CN=a\`, `CN=a\`, false},
		{"=a", "=a", false},
	}
	for _, tt := range tests {
		if got := dn.Equal(tt.a, tt.b); got != tt.want {
			t.Errorf("Equal(%q, %q) = %v", tt.a, tt.b, got)
		}
		if got := dn.Equal(tt.b, tt.a); got != tt.want {
			t.Errorf("Equal(%q, %q) = %v", tt.b, tt.a, got)
		}
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	const staff = "OU=Staff,DC=example,DC=com"
	for name, want := range map[string]bool{
		staff: true, "OU=Sales,ou=staff, dc=EXAMPLE,dc=com": true, `OU=a\,b,OU=Staff,DC=example,DC=com`: true, `OU=Sta\66f,DC=example,DC=com`: true,
		"DC=example,DC=com": false, "OU=NotStaff,DC=example,DC=com": false, `OU=x\,OU=Staff,DC=example,DC=com`: false,
		"OU=Staff,DC=example,DC=com,DC=evil": false, "OU=Staff+CN=x,DC=example,DC=com": false, "": false, "Staff": false,
		"CN=Users;OU=Staff,DC=example,DC=com": false, `OU="x,OU=y",OU=Staff,DC=example,DC=com`: false, `OU=say \"x\",OU=Staff,DC=example,DC=com`: true,
		"LDAP://host/OU=x,OU=Staff,DC=example,DC=com": false,
	} {
		if got := dn.Within(name, staff); got != want {
			t.Errorf("Within(%q) = %v", name, got)
		}
	}
	if dn.Within(staff, "") || dn.Within(staff, "no DN") || dn.Within("", "") {
		t.Error("within what is no DN")
	}
}

func TestValid(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{"CN=a,DC=x": true, "DC=x": true, "jsmith": false, "j@example.com": false, "": false, "CN=a,": false,
		"OID.2.5.4.3=a,2.5.4.11=b": true, "msDS-Key=a": true, "LDAP://host/OU=a,DC=x": false, "/OU=a": false, "a b=c": false, "<GUID=0b4d238a>": false, "1.=a": false} {
		if got := dn.Valid(s); got != want {
			t.Errorf("Valid(%q) = %v", s, got)
		}
	}
}

// Whatever a value holds, it stays one value: it can neither leave its container nor equal another
// name.
func FuzzChild(f *testing.F) {
	for _, seed := range []string{"John Smith", `a,b+c="d"\`, " #x ", "\x00\n", "é", `\2C`, "a  b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !utf8.ValidString(value) {
			return
		}
		child := dn.Child("CN", value, "OU=Staff,DC=example")
		if !dn.Valid(child) || !dn.Equal(child, child) {
			t.Fatalf("%q is not a DN", child)
		}
		if !strings.HasSuffix(child, ",OU=Staff,DC=example") {
			t.Fatalf("%q left its container", child)
		}
		if dn.Equal(child, "OU=Staff,DC=example") || dn.Equal(child, dn.Child("CN", value+"x", "OU=Staff,DC=example")) {
			t.Fatalf("%q equals another name", child)
		}
	})
}

func TestDomain(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"CN=a,OU=b,DC=example,DC=com": "DC=example,DC=com", `OU=x\,DC=evil,dc=example, dc=com`: "dc=example, dc=com", "DC=x": "DC=x", "OU=b": "", "": "", "DC=": "",
	} {
		if got := dn.Domain(s); got != want {
			t.Errorf("Domain(%q) = %q, want %q", s, got, want)
		}
	}
}
