package sandbox_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/sandbox/internal/sandbox"
)

// create is a CreateBusinessUser request for alpineskihouse with further arguments.
func create(upn, further string) string {
	return `<request><procedure><execute namespace="Hosted Exchange" procedure="CreateBusinessUser" impersonate="1"><executeData>` +
		`<preferredDomainController>AD01.fabrikam.com</preferredDomainController>` +
		`<container>LDAP://OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=Com</container>` +
		`<userPrincipalName>` + upn + `</userPrincipalName><isAdmin>false</isAdmin>` + further +
		`</executeData><after source="executeData" destination="data" mode="merge"/></execute></procedure></request>`
}

func (b *env) store(server, name string) string {
	b.t.Helper()
	for _, part := range strings.Split(b.control("GET", "objects?kind=stores", "").body, "{") {
		if strings.Contains(part, fmt.Sprintf(`"server":%q,"name":%q`, server, name)) {
			_, used, _ := strings.Cut(part, `"usedKB":`)
			return strings.TrimRight(used, "},]\n")
		}
	}
	return ""
}

func TestHostedDocumentedExamples(t *testing.T) {
	t.Parallel()
	// The page's three requests differ in where the mailbox goes.
	for name, store := range map[string][2]string{
		"hostedexchange-1.xml": {"EXBE03", "BusinessMailStore1"}, // tightPack: the least free space that fits
		"hostedexchange-2.xml": {"EXBE02", "BusinessMailStore1"}, // level: the most free space
		"hostedexchange-3.xml": {"EXBE01", "BusinessMailStore1"}, // named
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, sandbox.Options{})
			a := b.hosted(sample(t, name))
			if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "text/xml") {
				t.Fatalf("status %d: %s", a.status, a.body)
			}
			contains(t, a.body,
				`<response><data><preferredDomainController>AD01.fabrikam.com</preferredDomainController>`,
				`<newPassword do-not-log="1">Pass1Word</newPassword>`,
				`<property name="street"><value>1703 NE 91st</value></property>`,
				`<property name="otherHomePhone"><value>2065551212</value><value>2065551213</value></property>`,
				`<property name="msExchQueryBaseDN">OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com</property>`,
				`<property name="showInAddressBook" mode="append"><value>CN=Default Global Address List,CN=All Global Address Lists,CN=Address Lists Container,CN=fabrikam,CN=Microsoft Exchange,CN=Services,CN=Configuration,DC=fabrikam,DC=com</value></property>`,
				`<proxyAddresses><value>admin@alpineskihouse.com</value></proxyAddresses>`,
				`<user path="LDAP://cn=admin@alpineskihouse.com,OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=Com" name="admin@alpineskihouse.com"><memberOfGroup name="LDAP://cn=AllUsers@alpineskihouse,cn=_Private,OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com"/>`)
			if used := b.store(store[0], store[1]); used != "10000" {
				t.Errorf("store %s holds %s KB", store, used)
			}
			if m := b.getMailbox("admin@alpineskihouse.com"); m == nil || m["Alias"] != "admin" {
				t.Errorf("Get-Mailbox shows %v", m)
			}
			contains(t, b.control("GET", "objects?kind=objects&match=admin@alpineskihouse.com", "").body, `"sAMAccountName":["admin_alpineskihouse"]`)
		})
	}
}

func TestHostedSampleResponse(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	a := b.hosted(create("user11@alpineskihouse.com", `<planName>GoldMail</planName>`))
	contains(t, a.body, `<mail><disablePOP>0</disablePOP><size>20000</size><disableIMAP>0</disableIMAP><disableHTTP>0</disableHTTP></mail>`,
		`<property name="msExchMailboxFolderSet"><value>108303</value></property>`, `<property name="msExchUserAccountControl">0</property>`)
	contains(t, b.control("GET", "objects?kind=objects&match=user11@", "").body, `"sAMAccountName":["user11_alpineskihous"]`)

	silent := b.hosted(strings.Replace(create("user12@alpineskihouse.com", ""), `<after source="executeData" destination="data" mode="merge"/>`, "", 1))
	if !strings.HasSuffix(silent.body, "<response><data/></response>") {
		t.Errorf("without after: %s", silent.body)
	}
	plain := b.hosted(create("user13@alpineskihouse.com", `<proxyAddresses><value>x@elsewhere.com</value></proxyAddresses>`))
	if strings.Contains(plain.body, "<mail>") || strings.Contains(plain.body, "proxyAddresses") || strings.Contains(plain.body, "errorContext") {
		t.Errorf("without a plan: %s", plain.body)
	}
}

func TestHostedAccountNames(t *testing.T) {
	t.Parallel()
	asked := 0
	b := open(t, sandbox.Options{Digits: func(n int) string {
		asked++
		if n == 3 {
			return "111"
		}
		return fmt.Sprintf("%05d", asked)
	}})
	// Twenty characters are the same for all of them, so that every one but the first collides.
	var names []string
	for i := range 4 {
		a := b.hosted(create(fmt.Sprintf("averyveryverylongname%d@alpineskihouse.com", i), ""))
		if strings.Contains(a.body, "errorContext") {
			t.Fatal(a.body)
		}
		text := b.control("GET", fmt.Sprintf("objects?kind=objects&match=longname%d@", i), "").body
		_, rest, _ := strings.Cut(text, `"sAMAccountName":["`)
		name, _, _ := strings.Cut(rest, `"`)
		names = append(names, name)
	}
	want := []string{"averyveryverylongnam", "averyveryverylong111", "averyveryverylo00014", "averyveryverylo00019"}
	if fmt.Sprint(names) != fmt.Sprint(want) {
		t.Errorf("%v, not %v", names, want)
	}
	b.hosted(create(`a/b[c]:d|e=f;g?h,i*j.k.l.mn.o.@alpineskihouse.com`, ""))
	contains(t, b.control("GET", "objects?kind=objects&match=mn.o.@", "").body, `"sAMAccountName":["abcdefghij.k.l.mn.o_"]`)
}

func TestHostedErrors(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	b.hosted(create("taken@alpineskihouse.com", ""))
	const upn = "never@alpineskihouse.com"
	plan := `<planName>BaseMail</planName>`
	tests := []struct{ name, body, code, source string }{
		{"not XML", "<request>", "0xC00CE504", ""},
		{"a document type", `<!DOCTYPE r [<!ENTITY e "x">]>` + create(upn, ""), "0xC00CE504", ""},
		{"another root", "<response/>", "0x80070057", ""},
		{"another procedure", strings.Replace(create(upn, ""), "CreateBusinessUser", "CreateEverything", 1), "0x80004005", "CreateEverything"},
		{"not impersonated", strings.Replace(create(upn, ""), ` impersonate="1"`, "", 1), "0x80070005", "CreateBusinessUser"},
		{"no container", strings.Replace(create(upn, ""), "container", "containr", 2), "0x80070057", "CreateBusinessUser"},
		{"unknown argument", create(upn, "<colour>red</colour>"), "0x80070057", "CreateBusinessUser"},
		{"argument in other case", create(upn, "<Displayname>x</Displayname>"), "0x80070057", "CreateBusinessUser"},
		{"isAdmin neither true nor false", strings.Replace(create(upn, ""), "false", "no", 1), "0x80070057", "CreateBusinessUser"},
		{"server without store", create(upn, plan+"<mailStore><serverName>EXBE01</serverName></mailStore>"), "0x80070057", "CreateBusinessUser"},
		{"another algorithm", create(upn, plan+`<mailStore algorithm="random"/>`), "0x80070057", "CreateBusinessUser"},
		{"store without space", create(upn, `<planName>GoldMail</planName><mailStore><serverName>EXBE03</serverName><mailStoreName>BusinessMailStore1</mailStoreName></mailStore>`), "0x80070070", "CreateMailbox"},
		{"store not owned", create(upn, plan+`<mailStore><serverName>EXBE09</serverName><mailStoreName>X</mailStoreName></mailStore>`), "0x80070070", "CreateMailbox"},
		{"plan not available", create(upn, `<planName>PlatinumMail</planName>`), "0x80070057", "EnsureServicePlanAvailable_"},
		{"proxy domain of others", create(upn, plan+`<proxyAddresses><value>never@elsewhere.com</value></proxyAddresses>`), "0x80070057", "CreateMailbox"},
		{"weak password", create(upn, `<newPassword>weak</newPassword>`), "0x800708C5", "CreateBusinessUser"},
		{"no such domain controller", strings.Replace(create(upn, ""), "AD01.", "AD99.", 1), "0x8007203A", "CreateBusinessUser"},
		{"no such container", strings.Replace(create(upn, ""), "OU=WH", "OU=XX", 1), "0x80072030", "CreateBusinessUser"},
		{"server in the path", strings.Replace(create(upn, ""), "LDAP://", "LDAP://AD01/", 1), "0x80072030", "CreateBusinessUser"},
		{"taken", create("TAKEN@alpineskihouse.com", ""), "0x80071392", "CreateBusinessUser"},
		{"attribute that is not there", create(upn, `<properties><property name="colour">red</property></properties>`), "0x8007200A", "CreateBusinessUser"},
		{"long initials", create(upn, `<initials>toolong</initials>`), "0x80070057", "CreateBusinessUser"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := b.hosted(test.body)
			if a.status != http.StatusOK || !strings.Contains(a.body, `<response><errorContext code="`+test.code+`" description="`) {
				t.Fatalf("status %d, not %s: %s", a.status, test.code, a.body)
			}
			if test.source != "" {
				contains(t, a.body, `<errorSource namespace="Hosted Exchange" procedure="`+test.source+`"/>`)
			}
			if strings.Contains(a.body, "weak") {
				t.Error("the error holds the password")
			}
		})
	}
	if left := b.control("GET", "objects?kind=objects&match="+upn, "").body; strings.Contains(left, upn) {
		t.Errorf("a failed call left something: %s", left)
	}
	if used := b.store("EXBE03", "BusinessMailStore1"); used != "0" {
		t.Errorf("a failed call took %s KB", used)
	}
}

func TestHostedCallers(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	body := create("x@alpineskihouse.com", "")
	post := func(header ...string) answer {
		return b.send("POST", "/hosted/mpf/request", body, append([]string{"Content-Type", "text/xml"}, header...)...)
	}
	if a := post(); a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") == "" {
		t.Errorf("nobody: %d", a.status)
	}
	if a := post("Authorization", basic(hostedUser, "wrong")); a.status != http.StatusUnauthorized {
		t.Errorf("wrong password: %d", a.status)
	}
	contains(t, post("Authorization", basic(`FABRIKAM\reader`, "hosted-reader-password")).body, `code="0x80070005"`)
	if a := post("Authorization", basic(hostedUser, hostedSecret), "Content-Type", "application/json"); a.status != http.StatusUnsupportedMediaType {
		t.Errorf("JSON: %d", a.status)
	}
	if a := b.send("GET", "/hosted/mpf/request", ""); a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") == "" {
		t.Errorf("GET by nobody: %d", a.status)
	}
	if a := b.send("GET", "/hosted/mpf/request", "", "Authorization", basic(hostedUser, hostedSecret)); a.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", a.status)
	}
}

func TestHostedSOAP(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	envelope := func(header, body string) string {
		return `<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/" SOAP-ENV:encodingStyle=""><SOAP-ENV:Header>` +
			`<provisioning SOAP-ENV:encodingStyle="" SOAP-ENV:mustUnderstand="1">` + header + `</provisioning></SOAP-ENV:Header><SOAP-ENV:Body>` + body + `</SOAP-ENV:Body></SOAP-ENV:Envelope>`
	}
	const header = `<namespace>Hosted Exchange</namespace><procedure>CreateBusinessUser</procedure>`
	post := func(body string) answer {
		return b.send("POST", "/hosted/mpf/soapisapi.dll", body, "Content-Type", "text/xml; charset=utf-8", "Authorization", basic(hostedUser, hostedSecret))
	}
	trusted := post(envelope(header, create("soap1@alpineskihouse.com", "")))
	contains(t, trusted.body, `<SOAP-ENV:Body><response><data>`, `name="soap1@alpineskihouse.com"`)
	_, arguments, _ := strings.Cut(create("soap2@alpineskihouse.com", ""), "<executeData>")
	arguments, _, _ = strings.Cut(arguments, "</executeData>")
	simple := post(envelope(header, "<request><data>"+arguments+"</data></request>"))
	contains(t, simple.body, `<SOAP-ENV:Body><response><data>`, `name="soap2@alpineskihouse.com"`)
	contains(t, post(envelope(header+"<procedure>x</procedure>", "<request/>")).body, "errorContext")
	b.set("hostedexchange.errors", "500")
	if a := post(envelope(header, create("soap1@alpineskihouse.com", ""))); a.status != http.StatusInternalServerError || !strings.Contains(a.body, "<SOAP-ENV:Fault>") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestHostedDelete(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	b.hosted(create("gone@alpineskihouse.com", `<planName>BaseMail</planName>`))
	a := b.hosted(`<request><procedure><execute namespace="Hosted Exchange" procedure="DeleteBusinessUser" impersonate="1"><executeData>` +
		`<path>LDAP://CN=gone@alpineskihouse.com,OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com</path>` +
		`<preferredDomainController>AD01.fabrikam.com</preferredDomainController></executeData></execute></procedure></request>`)
	if strings.Contains(a.body, "errorContext") || b.getMailbox("gone@alpineskihouse.com") != nil || b.store("EXBE03", "BusinessMailStore1") != "0" {
		t.Errorf("not deleted whole: %s", a.body)
	}
}
