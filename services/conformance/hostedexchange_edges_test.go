package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/hostedexchange"
)

// hostedEdges are the edge cases and client's duties that the pages give.
var hostedEdges = []fact{
	{
		name: "the primary address is the UPN's prefix in the organisation's domain, whatever else is given; so is the alias", source: "CreateBusinessUser, proxyAddresses and alias",
		client: func(b *env) error {
			u := businessUser("prime@alpineskihouse.com", "BaseMail")
			u.ProxyAddresses = []string{"other@alpineskihouse.net"}
			got, err := b.hostedClient().CreateBusinessUser(b.Context(), u)
			found, err2 := b.directory().FindByUPN(b.Context(), "prime@alpineskihouse.com")
			return all(err, err2, same("the address", found.Mail, "prime@alpineskihouse.com"), that(strings.Contains(strings.Join(got.ProxyAddresses, " "), "prime@alpineskihouse.com"), "%v", got.ProxyAddresses))
		},
	},
	{
		name: "the CN is the UPN, and the path is DN and host in one", source: "CreateBusinessUser, Response (user/@path, @name)",
		client: func(b *env) error {
			got, err := b.hostedClient().CreateBusinessUser(b.Context(), businessUser("path@alpineskihouse.com", ""))
			return all(err, same("the name", got.Name, "path@alpineskihouse.com"), that(strings.EqualFold(got.Path, "LDAP://CN=path@alpineskihouse.com,"+organization), "the path is %s", got.Path))
		},
	},
	{
		name: "isAdmin is true, false, 1 or 0, in any order of elements; anything else is an error", source: "CreateBusinessUser, isAdmin and sample; provisioning schema (order)",
		vendor: func(b *env) error {
			with := func(upn, isAdmin string) (answer, error) {
				return b.xml(`<request><procedure><execute namespace="Hosted Exchange" procedure="CreateBusinessUser" impersonate="1"><executeData><isAdmin>` + isAdmin + `</isAdmin><userPrincipalName>` + upn +
					`</userPrincipalName><container>LDAP://` + organization + `</container><preferredDomainController>AD01.fabrikam.com</preferredDomainController></executeData>` + merge + `</execute></procedure></request>`)
			}
			one, err := with("one@alpineskihouse.com", "1")
			zero, err2 := with("zero@alpineskihouse.com", "0")
			perhaps, err3 := with("perhaps@alpineskihouse.com", "perhaps")
			return all(answers(one, err, http.StatusOK, "<data>", "Admins@alpineskihouse"), answers(zero, err2, http.StatusOK, "<data>"), answers(perhaps, err3, http.StatusOK, "<errorContext"),
				that(!strings.Contains(zero.body, "Admins@"), "0 made an admin"))
		},
	},
	{
		name: "required are container, userPrincipalName, preferredDomainController and isAdmin", source: "CreateBusinessUser, Arguments (required)",
		client: func(b *env) error {
			var errs []error
			for _, spoil := range []func(*hostedexchange.BusinessUser){
				func(u *hostedexchange.BusinessUser) { u.Container = "" }, func(u *hostedexchange.BusinessUser) { u.UserPrincipalName = "" }, func(u *hostedexchange.BusinessUser) { u.PreferredDomainController = "" },
			} {
				u := businessUser("x@alpineskihouse.com", "")
				spoil(&u)
				errs = append(errs, wants(b.created(u), failure.Invalid))
			}
			received, _ := b.calls("CreateBusinessUser")
			return all(append(errs, same("calls", received, 0))...)
		},
		vendor: func(b *env) error {
			whole := request("x@alpineskihouse.com", "", merge)
			var errs []error
			for _, element := range []string{"container", "userPrincipalName", "preferredDomainController", "isAdmin"} {
				from, to := strings.Index(whole, "<"+element+">"), strings.Index(whole, "</"+element+">")+len(element)+3
				a, err := b.xml(whole[:from] + whole[to:])
				errs = append(errs, answers(a, err, http.StatusOK, "<errorContext"))
			}
			return all(errs...)
		},
	},
	{
		name: "without impersonate=\"1\" the engine's own account acts, which may not create", source: "CreateBusinessUser, Security; Schema::execute, impersonate",
		vendor: func(b *env) error {
			a, err := b.xml(strings.Replace(request("x@alpineskihouse.com", "", merge), ` impersonate="1"`, "", 1))
			return all(answers(a, err, http.StatusOK, "<errorContext"), that(!b.exists("objects", "x@alpineskihouse.com"), "a user was created"))
		},
	},
	{
		name: "no password is no element: an empty one would be ambiguous", source: "notes 10 (<newPassword/>)",
		client: func(b *env) error {
			u := businessUser("silent@alpineskihouse.com", "")
			u.NewPassword = secret.String{}
			sent := &recordingTransport{}
			bounds := b.http()
			bounds.RoundTripper = sent
			_, err := b.hostedClient(func(c *hostedexchange.Config) { c.HTTP = bounds }).CreateBusinessUser(b.Context(), u)
			return all(err, that(!strings.Contains(sent.body, "newPassword") && strings.Contains(sent.body, "silent@"), "sent: %s", sent.body))
		},
	},
	{
		name: "a store has what the organisation owns: what is full takes nobody, and nothing is left of the attempt", source: "CreateBusinessUser, mailStore (space owned)",
		client: func(b *env) error {
			at := func(upn string) error { // BaseMail takes 10,000 KB of the store's 15,000
				u := businessUser(upn, "BaseMail")
				u.MailStore = &hostedexchange.MailStore{ServerName: "EXBE03", MailStoreName: "BusinessMailStore1"}
				return b.created(u)
			}
			return all(at("fits@alpineskihouse.com"), endedUnknown(at("full@alpineskihouse.com")), that(!b.exists("objects", "full@alpineskihouse.com"), "a user was left behind"))
		},
	},
	{
		name: "after merges executeData into data; what the sandbox does not carry out of it, it refuses", source: "Schema, after (source, sourcePath, destination, destinationPath, mode, ifNull, allowNullTransform); Schema, before",
		vendor: func(b *env) error {
			with := func(upn, transformation string) (answer, error) {
				return b.xml(request(upn+"@alpineskihouse.com", "", transformation))
			}
			known, err := with("known", `<after source="executeData" destination="data" mode="merge" ifNull="ignore" allowNullTransform="0"/>`)
			errs := []error{answers(known, err, http.StatusOK, "<data>", `name="known@alpineskihouse.com"`)}
			for _, transformation := range []string{
				`<after source="executeData" sourcePath="user" destination="data" mode="merge"/>`, `<after source="executeData" destination="data" destinationPath="x" mode="merge"/>`,
				`<after source="executeData" destination="data" ifNull="skip"/>`, `<after source="executeData" destination="data" mode="mix"/>`, `<before source="data" destination="executeData"/>` + merge,
			} {
				a, err := with("odd", transformation)
				errs = append(errs, answers(a, err, http.StatusOK, "<errorContext"))
			}
			return all(append(errs, that(!b.exists("objects", "odd@alpineskihouse.com"), "a user was created"))...)
		},
	},
	{
		name: "an answer is read in the encoding that it is written in, an error too", source: "soapisapi.dll (not stated); XML 1.0, section 4.3.3; RFC 7303 section 3",
		client: func(b *env) error {
			var errs []error
			for i, encoding := range []string{"utf-8", "utf-8-bom", "utf-16", "iso-8859-1", "windows-1252"} {
				b.set("hostedexchange.encoding", encoding)
				upn := fmt.Sprintf("müller%d@alpineskihouse.com", i)
				got, err := b.hostedClient().CreateBusinessUser(b.Context(), businessUser(upn, ""))
				again := b.created(businessUser(upn, ""))
				errs = append(errs, err, same(encoding, got.Name, upn), refusedAs(again, failure.Refused, hostedexchange.CodeExists))
			}
			return all(errs...)
		},
		vendor: func(b *env) error {
			b.set("hostedexchange.encoding", "iso-8859-1")
			a, err := b.xml(request("müller@alpineskihouse.com", "", merge))
			return answers(a, err, http.StatusOK, `encoding="iso-8859-1"`, "m\xfcller@")
		},
	},
	{
		name: "credentials that were refused rest for seconds, and one call tries after each rest", source: "Windows account lockout (inferred)",
		client: func(b *env) error {
			c := b.hostedClient(func(c *hostedexchange.Config) { c.Password = secret.New("wrong") })
			_, first := c.CreateBusinessUser(b.Context(), businessUser("x@alpineskihouse.com", ""))
			_, second := c.CreateBusinessUser(b.Context(), businessUser("x@alpineskihouse.com", ""))
			asked, _ := b.calls("CreateBusinessUser")
			return all(wants(first, failure.Unavailable), wants(second, failure.Unavailable), same("calls", asked, 1), that(failure.Of(second).RetryAfter <= 5*time.Second, "rests for %s", failure.Of(second).RetryAfter))
		},
	},
	{
		name: "who asks is checked before what is asked for", source: "soapisapi.dll in IIS (not stated); CreateBusinessUser, Security",
		client: func(b *env) error {
			wrong := b.hostedClient(func(c *hostedexchange.Config) { c.Password = secret.New("wrong") }).Check(b.Context())
			return all(b.hostedClient().Check(b.Context()), wants(wrong, failure.Unavailable))
		},
		vendor: func(b *env) error {
			a, err := b.send(http.MethodGet, "/hosted/mpf/soapisapi.dll", "")
			return all(answers(a, err, http.StatusUnauthorized), that(a.header.Get("WWW-Authenticate") != "", "it does not say how to sign in"))
		},
	},
	{
		name: "creating and deleting are billed", source: "DeleteBusinessUser (records a billing event)",
		vendor: func(b *env) error {
			user, err := b.hostedClient().CreateBusinessUser(b.Context(), businessUser("billed@alpineskihouse.com", "BaseMail"))
			if err != nil {
				return err
			}
			err = b.hostedClient().DeleteBusinessUser(b.Context(), user.Path, "AD01.fabrikam.com")
			var page struct{ Billing []json.RawMessage }
			b.control(http.MethodGet, "objects?kind=billing", nil, &page)
			return all(err, same("billing events", len(page.Billing), 2))
		},
	},
	{
		name: "a redirect is refused, and no password follows it", source: "guarantee G8",
		client: func(b *env) error {
			front, followed := b.redirector()
			_, err := b.hostedClient(func(c *hostedexchange.Config) { c.URL = front }).CreateBusinessUser(b.Context(), businessUser("x@alpineskihouse.com", ""))
			return all(wants(err, failure.Refused), same("requests elsewhere", followed.Load(), 0))
		},
	},
}
