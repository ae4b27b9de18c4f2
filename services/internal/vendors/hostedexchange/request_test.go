package hostedexchange_test

import (
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/hostedexchange"
)

// TestRequestPageExamples sends the page's three samples in both forms.
func TestSplitPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][2]string{
		"LDAP://OU=a,DC=x":                 {"", "OU=a,DC=x"},
		"ldap://dc1.example.com/OU=a,DC=x": {"dc1.example.com", "OU=a,DC=x"},
		"LDAP://dc1:389/OU=a,DC=x":         {"dc1:389", "OU=a,DC=x"},
		`LDAP://OU=R\/D,DC=x`:              {"", "OU=R/D,DC=x"},
		`LDAP://dc1/OU=R\/D\,S,DC=x`:       {"dc1", `OU=R/D\,S,DC=x`},
		"LDAP:///OU=a,DC=x":                {},
		"LDAP://a/b/OU=a,DC=x":             {},
		"LDAP://DC=x/OU=a":                 {},
		"LDAP://evil=1/OU=a,DC=x":          {},
		"LDAP://OU=R/D,DC=x":               {},
		"LDAP://LDAP://evil/OU=a,DC=x":     {},
		"GC://OU=a,DC=x":                   {},
		"OU=a,DC=x":                        {},
		"LDAP://":                          {},
		"LDAP://RootDSE":                   {},
	} {
		server, name, ok := hostedexchange.SplitPath(path)
		if ok != (want[1] != "") || ok && [2]string{server, name} != want {
			t.Errorf("%s: %q, %q, %v", path, server, name, ok)
		}
	}
}

func TestRequestPageExamples(t *testing.T) {
	t.Parallel()
	level, store := bob(), bob()
	level.MailStore = &hostedexchange.MailStore{Algorithm: "level"}
	store.MailStore = &hostedexchange.MailStore{ServerName: "EXBE01", MailStoreName: "BusinessMailStore1"}
	// The third sample writes the boolean as 1, the argument's description as true or false. We
	// always send the latter.
	third := strings.Replace(testdata(t, "create-business-user-3.request.xml"), "<isAdmin>1</isAdmin>", "<isAdmin>true</isAdmin>", 1)
	tests := map[string]struct {
		user hostedexchange.BusinessUser
		want string
	}{
		"first":  {bob(), testdata(t, "create-business-user-1.request.xml")},
		"second": {level, testdata(t, "create-business-user-2.request.xml")},
		"third":  {store, third},
	}
	for name, tt := range tests {
		for form, want := range map[string]string{
			"":     strings.Replace(testdata(t, "envelope.xml"), "<!-- request data -->", tt.want, 1),
			"soap": strings.Replace(testdata(t, "envelope.xml"), "<!-- request data -->", tt.want, 1),
			"xml":  tt.want,
		} {
			t.Run(name+" "+form, func(t *testing.T) {
				t.Parallel()
				url, seen := newVendor(t, 200, testdata(t, "create-business-user.response.xml"))
				c := newClient(t, hostedexchange.Config{URL: url, Transport: form, Username: `FABRIKAM\svc`, Password: secret.New("hunter2")})
				if _, err := c.CreateBusinessUser(t.Context(), tt.user); err != nil {
					t.Fatal(err)
				}
				r := <-seen
				if r.method != "POST" || r.uri != "/mpf/soapisapi.dll" || r.header.Get("Content-Type") != "text/xml; charset=utf-8" {
					t.Errorf("%s %s %v", r.method, r.uri, r.header)
				}
				if r.header.Get("Authorization") != "Basic RkFCUklLQU1cc3ZjOmh1bnRlcjI=" {
					t.Error("no basic authentication")
				}
				if _, has := r.header["Soapaction"]; has != (form != "xml") {
					t.Errorf("SOAPAction: %v", has)
				}
				wantXML(t, r.body, want)
				wantHidden(t, []string{password, "hunter2"}, tt.user, &tt.user, c, *c)
			})
		}
	}
}

// TestRequestWritesEveryArgument covers what no sample of the page has, and text that is dangerous
// in XML.
func TestRequestWritesEveryArgument(t *testing.T) {
	t.Parallel()
	url, seen := newVendor(t, 200, testdata(t, "create-business-user.response.xml"))
	c := newClient(t, hostedexchange.Config{URL: url, Transport: hostedexchange.XML})
	_, err := c.CreateBusinessUser(t.Context(), hostedexchange.BusinessUser{
		Container: "ldap://OU=R&D,DC=x", UserPrincipalName: "a@x", PreferredDomainController: "dc",
		Alias: "a", SAMAccountName: "a_x", ProxyAddresses: []string{"b@x", "c@x"}, NewPassword: secret.New("</newPassword>&<![CDATA[\r\n\t ]]> "),
		DisplayName: `"<x/>" 'ž'`, Properties: []hostedexchange.Property{{Name: `a"b`, Values: []string{"<value>"}}, {Name: "pwdLastSet", Values: []string{"0"}}, {Name: "empty", Values: []string{""}}},
		MailStore: &hostedexchange.MailStore{Algorithm: "tightPack", ServerName: "s", MailStoreName: "m"},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := <-seen
	if r.header.Get("Authorization") != "" {
		t.Error("credentials out of nothing")
	}
	wantXML(t, r.body, `<request><procedure><execute namespace="Hosted Exchange" procedure="CreateBusinessUser" impersonate="1"><executeData>
		<preferredDomainController>dc</preferredDomainController><container>ldap://OU=R&amp;D,DC=x</container><userPrincipalName>a@x</userPrincipalName>
		<displayName>&quot;&lt;x/&gt;&quot; 'ž'</displayName>
		<newPassword do-not-log="1">&lt;/newPassword&gt;&amp;&lt;![CDATA[&#13;&#10;&#9; ]]&gt; </newPassword>
		<mailStore algorithm="tightPack"><serverName>s</serverName><mailStoreName>m</mailStoreName></mailStore>
		<isAdmin>false</isAdmin>
		<properties><property name="a&quot;b">&lt;value&gt;</property><property name="pwdLastSet">0</property><property name="empty"/></properties>
		<proxyAddresses><value>b@x</value><value>c@x</value></proxyAddresses><alias>a</alias><sAMAccountName>a_x</sAMAccountName>
		</executeData><after source="executeData" destination="data" mode="merge"/></execute></procedure></request>`)
}

// TestRequestOmitsWhatIsEmpty: an empty element is not the same as none, least of all for the
// password.
func TestRequestOmitsWhatIsEmpty(t *testing.T) {
	t.Parallel()
	url, seen := newVendor(t, 200, testdata(t, "create-business-user.response.xml"))
	c := newClient(t, hostedexchange.Config{URL: url, Transport: hostedexchange.XML})
	_, err := c.CreateBusinessUser(t.Context(), hostedexchange.BusinessUser{Container: "LDAP://DC=x", UserPrincipalName: "a@x", PreferredDomainController: "dc"})
	if err != nil {
		t.Fatal(err)
	}
	wantXML(t, (<-seen).body, `<request><procedure><execute namespace="Hosted Exchange" procedure="CreateBusinessUser" impersonate="1"><executeData>
		<preferredDomainController>dc</preferredDomainController><container>LDAP://DC=x</container><userPrincipalName>a@x</userPrincipalName>
		<isAdmin>false</isAdmin></executeData><after source="executeData" destination="data" mode="merge"/></execute></procedure></request>`)
}

func TestRequestIsRefusedBeforeSending(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*hostedexchange.BusinessUser){
		"container must":            func(u *hostedexchange.BusinessUser) { u.Container = "OU=a,DC=x" },
		"container must be":         func(u *hostedexchange.BusinessUser) { u.Container = "LDAP://" },
		"userPrincipalName is":      func(u *hostedexchange.BusinessUser) { u.UserPrincipalName = "" },
		"preferredDomainController": func(u *hostedexchange.BusinessUser) { u.PreferredDomainController = "" },
		"mailStore needs":           func(u *hostedexchange.BusinessUser) { u.MailStore = &hostedexchange.MailStore{} },
		"mailStore.serverName and": func(u *hostedexchange.BusinessUser) {
			u.MailStore = &hostedexchange.MailStore{Algorithm: "level", ServerName: "s"}
		},
		"mailStore.mailStoreName go": func(u *hostedexchange.BusinessUser) { u.MailStore = &hostedexchange.MailStore{MailStoreName: "m"} },
		"mailStore.algorithm":        func(u *hostedexchange.BusinessUser) { u.MailStore = &hostedexchange.MailStore{Algorithm: "Level"} },
		"properties[0].name": func(u *hostedexchange.BusinessUser) {
			u.Properties = []hostedexchange.Property{{Values: []string{"v"}}}
		},
		"properties[0].values": func(u *hostedexchange.BusinessUser) { u.Properties = []hostedexchange.Property{{Name: "n"}} },
		"use newPassword": func(u *hostedexchange.BusinessUser) {
			u.Properties = []hostedexchange.Property{{Name: "unicodePwd", Values: []string{"v"}}}
		},
		"proxyAddresses[1]":   func(u *hostedexchange.BusinessUser) { u.ProxyAddresses = []string{"a", ""} },
		"newPassword holds":   func(u *hostedexchange.BusinessUser) { u.NewPassword = secret.New(password + "\x01") },
		"displayName holds":   func(u *hostedexchange.BusinessUser) { u.DisplayName = "\xff" },
		"properties[1] holds": func(u *hostedexchange.BusinessUser) { u.Properties[1].Values[0] = "\uffff" },
	}
	url, seen := newVendor(t, 500, "")
	c := newClient(t, hostedexchange.Config{URL: url})
	for want, change := range tests {
		u := bob()
		change(&u)
		_, err := c.CreateBusinessUser(t.Context(), u)
		if !failure.Is(err, failure.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		wantHidden(t, []string{password}, err)
	}
	if len(seen) != 0 {
		t.Error("a request was sent")
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	const container = "LDAP://OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=Com"
	// The page's own path writes cn= where we write CN=.
	if got := hostedexchange.UserPath(container, "user11@alpineskihouse.com"); !hostedexchange.SamePath(got, "LDAP://cn=user11@alpineskihouse.com,OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com") {
		t.Error(got)
	}
	for upn, want := range map[string]string{
		"a@x":           `LDAP://CN=a@x,OU=o,DC=x`,
		"a+b,c@x":       `LDAP://CN=a\+b\,c@x,OU=o,DC=x`,
		"a/b@x":         `LDAP://CN=a\/b@x,OU=o,DC=x`,
		"a,OU=evil/b@x": `LDAP://CN=a\,OU\=evil\/b@x,OU=o,DC=x`,
	} {
		got := hostedexchange.UserPath("LDAP://OU=o,DC=x", upn)
		if got != want {
			t.Errorf("UserPath(%q) = %s, want %s", upn, got, want)
		}
		if viaServer := hostedexchange.UserPath("ldap://dc1.x:389/OU=o,DC=x", upn); !hostedexchange.SamePath(got, viaServer) {
			t.Errorf("%s differs from %s", viaServer, got)
		}
	}
	for path, want := range map[string]string{
		"LDAP://OU=a,DC=x":       "OU=a,DC=x",
		"ldap://dc1/OU=a,DC=x":   "OU=a,DC=x",
		`LDAP://CN=a\/b,DC=x`:    "CN=a/b,DC=x",
		`LDAP://dc/CN=a\/b,DC=x`: "CN=a/b,DC=x",
		"OU=a,DC=x":              "OU=a,DC=x",
	} {
		if got := hostedexchange.PathDN(path); got != want {
			t.Errorf("PathDN(%q) = %q", path, got)
		}
	}
	if hostedexchange.SamePath("LDAP://CN=a,DC=x", "LDAP://CN=b,DC=x") || hostedexchange.SamePath("", "") {
		t.Error("different paths are the same")
	}
}
