package ldap

import "testing"

// FuzzParseFilter: no filter may end the sandbox, and none that is taken may fail on an entry.
func FuzzParseFilter(f *testing.F) {
	for _, text := range []string{"(cn=*)", "(&(objectClass=user)(userPrincipalName=a\\28b@c))", "(|(a=b)(!(c=d)))", "(a>=b)", "(a:=b)", "((((", "(&)", ""} {
		f.Add(text)
	}
	e := entry{dn: "CN=a", attributes: map[string][]string{"cn": {"a"}, "objectGUID": {"1234567890123456"}, "memberOf": {"CN=x,DC=y"}}}
	f.Fuzz(func(_ *testing.T, text string) {
		if matches, err := parseFilter(text); err == nil {
			matches(e)
		}
	})
}
