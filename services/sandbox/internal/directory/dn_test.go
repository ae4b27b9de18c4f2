package directory_test

import (
	"testing"
	"unicode/utf8"

	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
)

func TestFold(t *testing.T) {
	t.Parallel()
	for _, same := range [][2]string{
		{"CN=John Smith,DC=example,DC=com", "cn=john smith, dc=Example ,DC=COM"},
		{`CN=Smith\, John,DC=x`, `cn=Smith\2C John,dc=x`},
		{`CN=New Group\0AUID:6b26,OU=Groups,DC=x`, `cn=new group\0auid:6b26,ou=groups,dc=x`},
	} {
		if a, b := directory.Fold(same[0]), directory.Fold(same[1]); a != b {
			t.Errorf("%q and %q differ", a, b)
		}
	}
	if directory.Fold("CN=a,DC=x") == directory.Fold(`CN=a\,DC\=x`) {
		t.Error("an escaped comma separates")
	}
}

func TestPasswordPolicy(t *testing.T) {
	t.Parallel()
	policy := directory.PasswordPolicy{MinLength: 7, Complexity: true}
	for password, good := range map[string]bool{
		"MyPassword1!": true, "Pass1Word": true, "short1A": true, "Ab1": false, "alllowercase1": false, "Xjsmith99!": false,
	} {
		if err := policy.Check(password, "jsmith", "John Smith"); (err == nil) != good {
			t.Errorf("%s: %v", password, err)
		}
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"John Smith", " #a, +\"\\<>;=\n", "é ", `\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !utf8.ValidString(value) {
			return // JSON and XML bring none
		}
		if got := directory.Unescape(directory.EscapeValue(value)); got != value {
			t.Errorf("%q comes back as %q", value, got)
		}
	})
}
