package conformance

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/hostedexchange"
	"github.com/mailwright/mailwright/services/internal/vendors/ldapdirectory"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

const organization = "OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com"

// hostedClient is our client, changed as a fact asks.
func (b *env) hostedClient(changes ...func(*hostedexchange.Config)) *hostedexchange.Client {
	b.Helper()
	cfg := hostedexchange.Config{URL: b.url + "/hosted/mpf/soapisapi.dll", Username: `FABRIKAM\provisioner`, Password: secret.New("hosted-sandbox-password"), HTTP: b.http()}
	for _, change := range changes {
		change(&cfg)
	}
	c, err := hostedexchange.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// plainXML is the other transport.
func (b *env) plainXML(c *hostedexchange.Config) {
	c.URL, c.Transport = b.url+"/hosted/mpf/request", hostedexchange.XML
}

// directory reads the Active Directory behind it.
func (b *env) directory(changes ...func(*ldapdirectory.Config)) *ldapdirectory.Client {
	b.Helper()
	var cfg ldapdirectory.Config
	if b.real != nil {
		if b.real.HostedExchange.LDAP == nil {
			b.Skip("the tenant configures no LDAP")
		}
		cfg = b.real.HostedExchange.LDAP.Client(10 * time.Second)
	} else {
		cfg = ldapdirectory.Config{
			URL: b.sandbox.LDAP, BindDN: `FABRIKAM\reader`, Password: secret.New("hosted-reader-password"), BaseDN: "DC=fabrikam,DC=com", Timeout: 10 * time.Second,
			Limits: b.http().Limits, RootCAs: x509.NewCertPool(),
		}
		cfg.RootCAs.AppendCertsFromPEM(b.sandbox.Certificate)
	}
	for _, change := range changes {
		change(&cfg)
	}
	c, err := ldapdirectory.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// businessUser is a user of the seed's organisation.
func businessUser(upn, plan string) hostedexchange.BusinessUser {
	return hostedexchange.BusinessUser{
		Container: "LDAP://" + organization, UserPrincipalName: upn, PreferredDomainController: "AD01.fabrikam.com", PlanName: plan, NewPassword: secret.New("Zebra-Pass-1"),
	}
}

// created creates a user with our client.
func (b *env) created(u hostedexchange.BusinessUser) error {
	_, err := b.hostedClient().CreateBusinessUser(b.Context(), u)
	return err
}

// request is the plain XML of a create, with further arguments.
func request(upn, further, after string) string {
	return `<request><procedure><execute namespace="Hosted Exchange" procedure="CreateBusinessUser" impersonate="1"><executeData>` +
		`<preferredDomainController>AD01.fabrikam.com</preferredDomainController><container>LDAP://` + organization + `</container>` +
		`<userPrincipalName>` + upn + `</userPrincipalName><isAdmin>false</isAdmin>` + further + `</executeData>` + after + `</execute></procedure></request>`
}

const merge = `<after source="executeData" destination="data" mode="merge"/>`

// xml asks without our client.
func (b *env) xml(body string) (answer, error) {
	r, _ := http.NewRequest(http.MethodPost, "http://invalid", nil)
	r.SetBasicAuth(`FABRIKAM\provisioner`, "hosted-sandbox-password")
	return b.send(http.MethodPost, "/hosted/mpf/request", body, "Content-Type", "text/xml; charset=utf-8", "Authorization", r.Header.Get("Authorization"))
}

// account is the sAMAccountName that a user got.
func (b *env) account(upn string) (string, error) {
	o, err := b.directory().FindByUPN(b.Context(), upn)
	return o.SAMAccountName, err
}

func TestHostedExchange(t *testing.T) {
	t.Parallel()
	create := func(b *env) error { return b.created(businessUser("struck@alpineskihouse.com", "BaseMail")) }
	list := append(slices.Concat(hostedFacts, hostedEdges), faults("hostedexchange", "notes 5 and 9 (event 4107)", "CreateBusinessUser", create,
		func(b *env) (bool, error) { return b.exists("objects", "struck@alpineskihouse.com"), nil }, "", nil)...)
	list = append(list, echoes("errorContext (code, description, errorSource); guarantee G6", []string{"hostedexchange"}, func(b *env, bounds transport.Config) error {
		_, err := b.hostedClient(func(c *hostedexchange.Config) { c.HTTP = bounds }).CreateBusinessUser(b.Context(), businessUser("echoed@alpineskihouse.com", ""))
		return err
	}))
	run(t, "hostedexchange", list)
}

var hostedFacts = []fact{
	{
		name: "the directory behind it can be read", source: "RFC 4511; [MS-ADTS]", reads: true,
		client: func(b *env) error { return b.directory().Check(b.Context()) },
	},
	{
		name: "a user that is not there is not found over LDAP", source: "RFC 4511, noSuchObject", reads: true,
		client: func(b *env) error {
			_, err := b.directory().FindByUPN(b.Context(), "mailwright-conformance-nobody@alpineskihouse.com")
			return wants(err, failure.NotFound)
		},
	},
	{
		name: "a request travels in a SOAP envelope or as plain trusted XML", source: "SOAP envelope; SubmitRequest (simple and trusted requests)",
		client: func(b *env) error {
			_, err := b.hostedClient(b.plainXML).CreateBusinessUser(b.Context(), businessUser("xml@alpineskihouse.com", ""))
			return all(b.created(businessUser("soap@alpineskihouse.com", "")), err)
		},
		vendor: func(b *env) error {
			a, err := b.xml(request("raw@alpineskihouse.com", "", merge))
			return answers(a, err, http.StatusOK, `<response><data>`, `<user path="LDAP://cn=raw@alpineskihouse.com,`)
		},
	},
	{
		name: "every argument is taken", source: "CreateBusinessUser, Arguments",
		client: func(b *env) error {
			u := businessUser("whole@alpineskihouse.com", "GoldMail")
			u.IsAdmin, u.DisplayName, u.GivenName, u.MiddleName, u.SN, u.Initials, u.Description, u.Alias, u.SAMAccountName = true, `W & <Hole> "1"`, "W", "M", "Hole", "WMH", "x", "whole.alias", "whole"
			u.MailStore = &hostedexchange.MailStore{Algorithm: "level"}
			u.Properties = []hostedexchange.Property{{Name: "street", Values: []string{"1703 NE 91st"}}, {Name: "otherHomePhone", Values: []string{"1", "2"}}}
			u.ProxyAddresses = []string{"second@alpineskihouse.net"}
			got, err := b.hostedClient().CreateBusinessUser(b.Context(), u)
			return all(err, same("the plan's quota", quota(got.Mail), 20000), that(strings.Contains(strings.Join(got.ProxyAddresses, " "), "second@alpineskihouse.net"), "%v", got.ProxyAddresses),
				same("otherHomePhone", len(got.Properties["otherHomePhone"]), 2), same("groups", len(got.MemberOf), 2))
		},
	},
	{
		name: "without a plan there is no mailbox, and proxyAddresses are ignored", source: "CreateBusinessUser, planName and proxyAddresses",
		client: func(b *env) error {
			u := businessUser("plain@alpineskihouse.com", "")
			u.ProxyAddresses = []string{"x@elsewhere.example"}
			got, err := b.hostedClient().CreateBusinessUser(b.Context(), u)
			found, err2 := b.directory().FindByUPN(b.Context(), "plain@alpineskihouse.com")
			return all(err, err2, that(got.Mail == nil && len(got.ProxyAddresses) == 0, "%+v", got), same("the store", found.MailStore, ""))
		},
	},
	{
		name: "the vendor echoes the password; the client drops it", source: "CreateBusinessUser, sample response; do-not-log",
		client: func(b *env) error {
			got, err := b.hostedClient().CreateBusinessUser(b.Context(), businessUser("echo@alpineskihouse.com", ""))
			return all(err, that(!strings.Contains(fmt.Sprintf("%+v", got), "Zebra-Pass-1"), "the result holds the password"))
		},
		vendor: func(b *env) error {
			a, err := b.xml(request("echo@alpineskihouse.com", `<newPassword do-not-log="1">Zebra-Pass-1</newPassword>`, merge))
			return answers(a, err, http.StatusOK, `<newPassword do-not-log="1">Zebra-Pass-1</newPassword>`)
		},
	},
	{
		name: "without an after transformation the answer is empty, though the work was done", source: "Schema::execute, after (inferred)",
		vendor: func(b *env) error {
			a, err := b.xml(request("silent@alpineskihouse.com", "", ""))
			return all(answers(a, err, http.StatusOK, "<data/>"), that(b.exists("objects", "silent@alpineskihouse.com"), "nothing was created"))
		},
	},
	{
		name: "the caller needs the role UserCreator, and right credentials", source: "CreateBusinessUser, Security",
		client: func(b *env) error {
			_, role := b.hostedClient(func(c *hostedexchange.Config) {
				c.Username, c.Password = `FABRIKAM\reader`, secret.New("hosted-reader-password")
			}).CreateBusinessUser(b.Context(), businessUser("x@alpineskihouse.com", ""))
			_, wrong := b.hostedClient(func(c *hostedexchange.Config) { c.Password = secret.New("wrong") }).CreateBusinessUser(b.Context(), businessUser("x@alpineskihouse.com", ""))
			return all(refusedAs(role, failure.Refused, "0x80070005"), wants(wrong, failure.Unavailable))
		},
	},
	{
		name: "an error is an errorContext, whatever its HTTP status", source: "errorContext; soapisapi.dll (not stated)",
		client: func(b *env) error {
			var errs []error
			for _, status := range []string{"200", "500"} {
				b.set("hostedexchange.errors", status)
				u := businessUser("x@alpineskihouse.com", "")
				u.Container = "LDAP://OU=nowhere,DC=fabrikam,DC=com"
				errs = append(errs, refusedAs(b.created(u), failure.NotFound, "0x80072030"))
			}
			return all(errs...)
		},
		vendor: func(b *env) error {
			a, err := b.xml(request("x", "", merge))
			return answers(a, err, http.StatusOK, `<response><errorContext code="0x`, `<errorSource namespace="Hosted Exchange" procedure="CreateBusinessUser"/>`)
		},
	},
	{
		name: "a second user of the name is refused", source: "notes 6 (the CN collides)",
		client: func(b *env) error {
			return all(b.created(businessUser("one@alpineskihouse.com", "")), refusedAs(b.created(businessUser("one@alpineskihouse.com", "")), failure.Refused, hostedexchange.CodeExists))
		},
	},
	{
		name: "plan, proxy domain and store must belong to the organisation; nothing is left of what fails", source: "CreateBusinessUser, planName, proxyAddresses, mailStore",
		client: func(b *env) error {
			plan := businessUser("x@alpineskihouse.com", "PlatinumMail")
			proxy := businessUser("x@alpineskihouse.com", "BaseMail")
			proxy.ProxyAddresses = []string{"x@elsewhere.example"}
			store := businessUser("x@alpineskihouse.com", "BaseMail")
			store.MailStore = &hostedexchange.MailStore{ServerName: "EXBE09", MailStoreName: "Other"}
			half := businessUser("x@alpineskihouse.com", "BaseMail")
			half.MailStore = &hostedexchange.MailStore{ServerName: "EXBE01"}
			return all(endedUnknown(b.created(plan)), endedUnknown(b.created(proxy)), endedUnknown(b.created(store)), wants(b.created(half), failure.Invalid),
				that(!b.exists("objects", "x@alpineskihouse.com"), "a user was left behind"))
		},
	},
	{
		name: "a password that breaks the policy is refused", source: "CreateBusinessUser, newPassword",
		client: func(b *env) error {
			u := businessUser("weak@alpineskihouse.com", "")
			u.NewPassword = secret.New("weak")
			return refusedAs(b.created(u), failure.Refused, "0x800708C5")
		},
	},
	{
		name: "sAMAccountName: 20 characters of the UPN, then three with 3 digits, two with 5", source: "CreateBusinessUser, sAMAccountName (algorithm)",
		client: func(b *env) error {
			if err := b.created(businessUser("user11@alpineskihouse.com", "")); err != nil {
				return err
			}
			first, err := b.account("user11@alpineskihouse.com")
			// The same first 20 characters, in the organisation's other domain.
			if err := b.created(businessUser("user11@alpineskihouse.net", "")); err != nil {
				return err
			}
			second, err2 := b.account("user11@alpineskihouse.net")
			return all(err, err2, same("the first", first, "user11_alpineskihous"), that(strings.HasPrefix(second, "user11_alpineskih") && len(second) == 20 && second != first, "the second is %q", second))
		},
	},
	{
		name: "tightPack fills the fullest store, level the emptiest", source: "CreateBusinessUser, mailStore/@algorithm",
		client: func(b *env) error {
			store := func(upn, algorithm, want string) error {
				u := businessUser(upn, "BaseMail")
				u.MailStore = &hostedexchange.MailStore{Algorithm: algorithm}
				if err := b.created(u); err != nil {
					return err
				}
				found, err := b.directory().FindByUPN(b.Context(), upn)
				return all(err, same(algorithm, found.MailServer+"/"+found.MailStore, want))
			}
			return all(store("tight@alpineskihouse.com", "tightPack", "EXBE03/BusinessMailStore1"), store("level@alpineskihouse.com", "level", "EXBE02/BusinessMailStore1"))
		},
	},
	{
		name: "GUID, SID and account, which no create returns, are read from the directory", source: "CreateBusinessUser, response (by absence); [MS-DTYP] 2.3.4, 2.4.2",
		client: func(b *env) error {
			got, err := b.hostedClient().CreateBusinessUser(b.Context(), businessUser("ids@alpineskihouse.com", "BaseMail"))
			if err != nil {
				return err
			}
			found, err := b.directory().Find(b.Context(), hostedexchange.PathDN(got.Path))
			return all(err, that(len(found.GUID) == 36 && b.exists("objects", found.GUID), "the GUID is %q", found.GUID), that(strings.HasPrefix(found.SID, "S-1-5-21-"), "the SID is %q", found.SID),
				that(time.Since(found.Created).Abs() < time.Minute, "created %s", found.Created))
		},
	},
	{
		name: "HAZARD: after a lost answer the user is found at its path, before any second create", source: "notes 10 (non-idempotent create)", faults: "timeout-after",
		client: func(b *env) error {
			u := businessUser("lost@alpineskihouse.com", "BaseMail")
			err := b.created(u)
			found, err2 := b.directory().Find(b.Context(), hostedexchange.PathDN(hostedexchange.UserPath(u.Container, u.UserPrincipalName)))
			_, another := b.directory().Find(b.Context(), hostedexchange.PathDN(hostedexchange.UserPath(u.Container, "other@alpineskihouse.com")))
			sent, _ := b.calls("CreateBusinessUser")
			repeated := b.created(u)
			again, err3 := b.directory().FindByUPN(b.Context(), u.UserPrincipalName)
			_, committed := b.calls("CreateBusinessUser")
			return all(wants(err, failure.Unknown), err2, err3, wants(another, failure.NotFound), same("the user", found.UserPrincipalName, u.UserPrincipalName), that(found.MailStore != "", "no mailbox: %+v", found),
				that(hostedexchange.Exists(repeated), "the second create: %v", repeated), same("the GUID", again.GUID, found.GUID), same("calls", sent, 1), same("creates", committed, 1))
		},
	},
	{
		name: "where the rollback fails the user stays, without a mailbox", source: "Event ids 4107 and 4108", faults: "partial",
		client: func(b *env) error {
			err := b.created(businessUser("half@alpineskihouse.com", "BaseMail"))
			found, err2 := b.directory().FindByUPN(b.Context(), "half@alpineskihouse.com")
			whole := b.created(businessUser("whole@alpineskihouse.com", "BaseMail")) // the fault is used up
			other, err3 := b.directory().FindByUPN(b.Context(), "whole@alpineskihouse.com")
			return all(refusedAs(err, failure.Unknown, "0x80004005"), endedUnknown(err), err2, whole, err3, same("the user", found.UserPrincipalName, "half@alpineskihouse.com"), same("the store", found.MailStore, ""),
				that(other.MailStore != "", "no mailbox: %+v", other))
		},
		vendor: func(b *env) error {
			a, err := b.xml(request("half@alpineskihouse.com", "<planName>BaseMail</planName>", merge))
			return all(answers(a, err, http.StatusOK, `<errorContext code="0x80004005"`, `procedure="CreateMailbox"`), that(b.exists("objects", "half@alpineskihouse.com") && !b.exists("mailboxes", "half@"), "the user is gone, or whole"))
		},
	},
	{
		name: "another domain controller may not know the user yet", source: "Managed AD::DeleteUser (preferredDomainController)", faults: "replication-lag",
		client: func(b *env) error {
			err := b.created(businessUser("lag@alpineskihouse.com", ""))
			_, soon := b.directory().FindByUPN(b.Context(), "lag@alpineskihouse.com")
			b.advance("61s")
			_, later := b.directory().FindByUPN(b.Context(), "lag@alpineskihouse.com")
			return all(err, wants(soon, failure.NotFound), later)
		},
	},
	{
		name: "the directory is read over ldaps:// and by StartTLS, to a certificate that is trusted, and in the clear only if told so", source: "RFC 4511 section 4.14; RFC 4513 section 3",
		client: func(b *env) error {
			trusted := b.directory().Check(b.Context())
			encrypted := b.directory(func(c *ldapdirectory.Config) { c.URL = b.sandbox.LDAPS }).Check(b.Context())
			inTheClear := b.directory(func(c *ldapdirectory.Config) { c.Insecure = true }).Check(b.Context())
			untrusted := func(url string) error {
				return wants(b.directory(func(c *ldapdirectory.Config) { c.URL, c.RootCAs = url, x509.NewCertPool() }).Check(b.Context()), failure.Unavailable)
			}
			binds, _ := b.calls("bind")
			return all(trusted, encrypted, inTheClear, untrusted(b.sandbox.LDAP), untrusted(b.sandbox.LDAPS), same("binds", binds, 3))
		},
	},
	{
		name: "the directory refuses a wrong password, and may be away", source: "RFC 4511, appendix A",
		client: func(b *env) error {
			_, wrong := b.directory(func(c *ldapdirectory.Config) { c.Password = secret.New("wrong") }).FindByUPN(b.Context(), "x@alpineskihouse.com")
			b.apply("unavailable", "ldap", "search")
			_, away := b.directory().FindByUPN(b.Context(), "x@alpineskihouse.com")
			return all(wants(wrong, failure.Refused), wants(away, failure.Unavailable))
		},
	},
	{
		name: "document types are refused", source: "notes 10 (XML security)",
		client: func(b *env) error {
			impostor := b.answering([]string{`<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><response><data><user path="LDAP://cn=&b;" name="x"/></data></response>`})
			_, err := b.hostedClient(func(c *hostedexchange.Config) { c.URL = impostor }).CreateBusinessUser(b.Context(), businessUser("x@alpineskihouse.com", ""))
			return wants(err, failure.Unknown)
		},
		vendor: func(b *env) error {
			a, err := b.xml(`<!DOCTYPE r [<!ENTITY a "aaaa">]>` + request("x@alpineskihouse.com", "", merge))
			return answers(a, err, http.StatusOK, "<errorContext")
		},
	},
	{
		name: "names are escaped in paths and in XML", source: "notes 10 (DN and XML escaping)",
		client: func(b *env) error {
			const upn = `o'neil+<a>&,b/c@alpineskihouse.com`
			got, err := b.hostedClient().CreateBusinessUser(b.Context(), businessUser(upn, ""))
			if err != nil {
				return err
			}
			found, err := b.directory().Find(b.Context(), hostedexchange.PathDN(got.Path))
			return all(err, same("the user", found.UserPrincipalName, upn))
		},
	},
	{
		name: "CreateMailbox gives a user without one a mailbox by plan", source: "CreateMailbox, Arguments",
		client: func(b *env) error {
			user, err := b.hostedClient().CreateBusinessUser(b.Context(), businessUser("later@alpineskihouse.com", ""))
			if err != nil {
				return err
			}
			m := hostedexchange.Mailbox{Path: user.Path, PlanName: "GoldMail", PreferredDomainController: "AD01.fabrikam.com"}
			got, err := b.hostedClient().CreateMailbox(b.Context(), m)
			found, err2 := b.directory().Find(b.Context(), hostedexchange.PathDN(user.Path))
			_, again := b.hostedClient().CreateMailbox(b.Context(), m)
			m.Path = "LDAP://CN=nobody," + organization
			_, nobody := b.hostedClient(b.plainXML).CreateMailbox(b.Context(), m)
			return all(err, err2, that(quota(got.Mail) == 20000, "%+v", got), that(found.MailStore != "" && found.Mail == "later@alpineskihouse.com", "%+v", found),
				wants(again, failure.Refused), wants(nobody, failure.NotFound))
		},
	},
	{
		name: "DeleteBusinessUser deletes user and mailbox, and frees the space", source: "DeleteBusinessUser",
		client: func(b *env) error {
			user, err := b.hostedClient().CreateBusinessUser(b.Context(), businessUser("gone@alpineskihouse.com", "BaseMail"))
			if err != nil {
				return err
			}
			err = b.hostedClient().DeleteBusinessUser(b.Context(), user.Path, "AD01.fabrikam.com")
			again := b.hostedClient().DeleteBusinessUser(b.Context(), user.Path, "AD01.fabrikam.com")
			return all(err, that(!b.exists("objects", "gone@alpineskihouse.com") && !b.exists("mailboxes", "gone@"), "it is still there"), wants(again, failure.NotFound))
		},
		vendor: func(b *env) error {
			if err := b.created(businessUser("gone@alpineskihouse.com", "BaseMail")); err != nil {
				return err
			}
			a, err := b.xml(`<request><procedure><execute namespace="Hosted Exchange" procedure="DeleteBusinessUser" impersonate="1"><executeData><path>LDAP://CN=gone@alpineskihouse.com,` + organization +
				`</path><preferredDomainController>AD01.fabrikam.com</preferredDomainController></executeData>` + merge + `</execute></procedure></request>`)
			return all(answers(a, err, http.StatusOK, "<data>"), that(!b.exists("objects", "gone@alpineskihouse.com") && !b.exists("mailboxes", "gone@"), "it is still there"))
		},
	},
}

// endedUnknown wants the failure of a procedure that the vendor ended with an error of which nobody
// knows what it has left.
func endedUnknown(err error) error {
	f := failure.Of(err)
	return all(wants(err, failure.Unknown), that(f != nil && hostedexchange.Ended(f.Code), "no end: %v", err))
}

// quota is the plan's size in KB; 0 without a mailbox.
func quota(m *hostedexchange.MailSettings) int64 {
	if m == nil || m.SizeKB == nil {
		return 0
	}
	return *m.SizeKB
}
