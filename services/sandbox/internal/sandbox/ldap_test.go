package sandbox_test

import (
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/mailwright/mailwright/services/sandbox/internal/sandbox"
)

const (
	ldapReader = `FABRIKAM\reader`
	ldapSecret = "hosted-reader-password"
	hostedUnit = "OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com"
)

// ldap opens the directories over LDAP, with a bind as the reader.
func (b *env) ldap() *ldap.Conn {
	b.t.Helper()
	c := b.ldapUnbound()
	if err := c.Bind(ldapReader, ldapSecret); err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *env) ldapUnbound() *ldap.Conn {
	b.t.Helper()
	url, stop, err := b.sandbox.StartLDAP(sandbox.LDAP{Address: "127.0.0.1:0"})
	if err != nil {
		b.t.Fatal(err)
	}
	c, err := ldap.DialURL(url)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.Close(); stop() })
	return c
}

func query(base string, scope int, filter string, attributes ...string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 0, 5, false, filter, attributes, nil)
}

func TestLDAPShowsABusinessUser(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	b.hosted(sample(t, "hostedexchange-3.xml"))
	found, err := b.ldap().Search(query("CN=admin@alpineskihouse.com,"+hostedUnit, ldap.ScopeBaseObject, "(objectClass=user)"))
	if err != nil || len(found.Entries) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	e := found.Entries[0]
	for name, want := range map[string]string{
		"sAMAccountName": "admin_alpineskihouse", "userPrincipalName": "admin@alpineskihouse.com", "mail": "admin@alpineskihouse.com",
		"msExchHomeServerName": "/o=fabrikam/ou=First Administrative Group/cn=Configuration/cn=Servers/cn=EXBE01",
		"distinguishedName":    "CN=admin@alpineskihouse.com," + hostedUnit,
	} {
		if got := e.GetAttributeValue(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if home := e.GetAttributeValue("homeMDB"); !strings.HasPrefix(home, "CN=BusinessMailStore1,CN=First Storage Group,CN=InformationStore,CN=EXBE01,") {
		t.Errorf("homeMDB is %q", home)
	}
	if guid := e.GetRawAttributeValue("objectGUID"); len(guid) != 16 {
		t.Errorf("objectGUID has %d bytes", len(guid))
	}
	if sid := e.GetRawAttributeValue("objectSid"); len(sid) != 8+4*5 || sid[0] != 1 || sid[1] != 5 {
		t.Errorf("objectSid is %x", sid)
	}
	if at := e.GetAttributeValue("whenCreated"); len(at) != len("20241002062718.0Z") || !strings.HasSuffix(at, ".0Z") {
		t.Errorf("whenCreated is %q", at)
	}
	if values := e.GetAttributeValues("unicodePwd"); len(values) > 0 {
		t.Error("the password is shown")
	}
}

func TestLDAPSearches(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	b.hosted(create("user1@alpineskihouse.com", "<displayName>User (One)</displayName>"))
	c := b.ldap()
	for name, s := range map[string]struct {
		base   string
		scope  int
		filter string
		want   int
	}{
		"subtree by UPN, in any case":    {"DC=fabrikam,DC=com", ldap.ScopeWholeSubtree, "(userPrincipalName=USER1@alpineskihouse.com)", 1},
		"and of class and name":          {"DC=fabrikam,DC=com", ldap.ScopeWholeSubtree, "(&(objectClass=user)(displayName=User \\28One\\29))", 1},
		"or":                             {"DC=example,DC=com", ldap.ScopeWholeSubtree, "(|(sAMAccountName=msmith)(sAMAccountName=svc-mailwright)(sAMAccountName=nobody))", 2},
		"not":                            {"OU=Hosting,DC=fabrikam,DC=com", ldap.ScopeSingleLevel, "(!(objectClass=user))", 1},
		"one level sees no grandchild":   {"DC=fabrikam,DC=com", ldap.ScopeSingleLevel, "(objectClass=*)", 1},
		"presence":                       {"OU=My Organizational Unit,DC=example,DC=com", ldap.ScopeWholeSubtree, "(givenName=*)", 1},
		"another domain":                 {"DC=example,DC=com", ldap.ScopeWholeSubtree, "(userPrincipalName=user1@alpineskihouse.com)", 0},
		"a DN by another way of writing": {"dc=FABRIKAM, dc=com", ldap.ScopeWholeSubtree, "(distinguishedName=cn=user1@alpineskihouse.com,ou=alpineskihouse,ou=wh,ou=hosting,dc=fabrikam,dc=com)", 1},
	} {
		found, err := c.Search(query(s.base, s.scope, s.filter, "1.1"))
		if err != nil || len(found.Entries) != s.want {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
}

func TestLDAPRefuses(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	c := b.ldapUnbound()
	anything := query("DC=fabrikam,DC=com", ldap.ScopeBaseObject, "(objectClass=*)")
	code := func(err error) uint16 {
		if e, ok := err.(*ldap.Error); ok {
			return e.ResultCode
		}
		return 0
	}
	_, unbound := c.Search(anything)
	wrong := c.Bind(ldapReader, "wrong")
	if err := c.Bind("reader@fabrikam.com", ldapSecret); err != nil {
		t.Errorf("bind by user principal name: %v", err)
	}
	_, missing := c.Search(query("OU=Nowhere,DC=fabrikam,DC=com", ldap.ScopeBaseObject, "(objectClass=*)"))
	_, exotic := c.Search(query("DC=fabrikam,DC=com", ldap.ScopeBaseObject, "(sn>=a)"))
	limited := query("DC=fabrikam,DC=com", ldap.ScopeWholeSubtree, "(objectClass=*)")
	limited.SizeLimit = 2
	_, tooMany := c.Search(limited)
	writing := c.Del(ldap.NewDelRequest("OU=Hosting,DC=fabrikam,DC=com", nil))
	b.control("POST", "faults", `{"vendor":"ldap","call":"search","kind":"timeout-before","count":1}`)
	_, struck := c.Search(anything)
	for name, s := range map[string]struct {
		err  error
		want uint16
	}{
		"a search before any bind": {unbound, ldap.LDAPResultOperationsError},
		"a wrong password":         {wrong, ldap.LDAPResultInvalidCredentials},
		"a missing base":           {missing, ldap.LDAPResultNoSuchObject},
		"another kind of filter":   {exotic, ldap.LDAPResultInappropriateMatching},
		"more than the size limit": {tooMany, ldap.LDAPResultSizeLimitExceeded},
		"a change":                 {writing, ldap.LDAPResultUnwillingToPerform},
		"a fault":                  {struck, ldap.LDAPResultUnavailable},
	} {
		if code(s.err) != s.want {
			t.Errorf("%s: %v, want code %d", name, s.err, s.want)
		}
	}
}

func TestLDAPLag(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	b.set("ldap.read-lag", "1m")
	b.hosted(create("user1@alpineskihouse.com", ""))
	c := b.ldap()
	user := query("CN=user1@alpineskihouse.com,"+hostedUnit, ldap.ScopeBaseObject, "(objectClass=*)")
	if _, err := c.Search(user); !ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
		t.Errorf("before the lag has passed: %v", err)
	}
	b.control("POST", "clock", `{"advance":"2m"}`)
	if _, err := c.Search(user); err != nil {
		t.Errorf("after it: %v", err)
	}
	if calls := b.journal("vendor=ldap&call=search"); len(calls) != 2 {
		t.Errorf("the journal has %d searches", len(calls))
	}
}
