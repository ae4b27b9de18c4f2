package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/failure"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/pkg/vendors/exchangeonline"
	"github.com/mailwright/mailwright/pkg/vendors/transport"
)

// exchange is our client, changed as a fact asks.
func (b *bed) exchange(changes ...func(*exchangeonline.Config)) *exchangeonline.Client {
	b.Helper()
	cfg := exchangeonline.Config{
		BaseURL: b.url + "/exchange", TenantID: tenantID, TokenURL: b.url + "/entra/" + tenantID + "/oauth2/v2.0/token",
		ClientID: entraClient, ClientSecret: secret.New(entraSecret), HTTP: b.http(),
	}
	if b.real != nil {
		cfg = b.real.ExchangeOnline.Client(b.http())
	}
	for _, change := range changes {
		change(&cfg)
	}
	c, err := exchangeonline.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// application is another registered application, by the number in its id.
func application(number, password string) func(*exchangeonline.Config) {
	return func(c *exchangeonline.Config) {
		c.ClientID, c.ClientSecret = "a1b2c3d4-000"+number+"-4000-8000-000000000"+"00"+number, secret.New(password)
	}
}

// token gets an access token without our client.
func (b *bed) token(path, client, password, scope string) (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {password}, "scope": {scope}}
	a, err := b.send(http.MethodPost, path, form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	if err := answers(a, err, http.StatusOK, `"access_token"`, `"token_type":"Bearer"`); err != nil {
		return "", err
	}
	var t struct {
		Token string `json:"access_token"`
	}
	return t.Token, json.Unmarshal([]byte(a.body), &t)
}

// cmdlet calls a cmdlet without our client.
func (b *bed) cmdlet(endpoint, name, parameters string, header ...string) (answer, error) {
	token, err := b.token("/entra/"+tenantID+"/oauth2/v2.0/token", entraClient, entraSecret, "https://outlook.office365.com/.default")
	if err != nil {
		return answer{}, err
	}
	return b.send(http.MethodPost, "/exchange/adminapi/v2.0/"+tenantID+"/"+endpoint, `{"CmdletInput":{"CmdletName":"`+name+`","Parameters":`+parameters+`}}`,
		append([]string{"Authorization", "Bearer " + token, "Content-Type", "application/json", "X-AnchorMailbox", "AAD-UPN:alex@contoso.com"}, header...)...)
}

// delegates are those of a mailbox, as our client reads them.
func (b *bed) delegates(mailbox string) ([]string, error) {
	m, err := b.exchange().GetMailbox(b.Context(), mailbox, exchangeonline.GetOptions{})
	var list []string
	for _, d := range m.Delegates {
		list = append(list, d.Address)
	}
	slices.Sort(list)
	return list, err
}

// now wants a mailbox's delegates to be these.
func (b *bed) now(mailbox string, want ...string) error {
	got, err := b.delegates(mailbox)
	return all(err, same("the delegates", strings.Join(got, " "), strings.Join(want, " ")))
}

// listed walks all mailboxes and gives how many there were, and on how many pages.
func (b *bed) listed(c *exchangeonline.Client, pageSize int, between func()) (mailboxes map[string]int, pages int, err error) {
	mailboxes = map[string]int{}
	err = c.ListMailboxes(b.Context(), exchangeonline.ListOptions{PageSize: pageSize}, func(page []exchangeonline.Mailbox) error {
		pages++
		for _, m := range page {
			mailboxes[m.PrimarySMTPAddress]++
		}
		if between != nil {
			between()
		}
		return nil
	})
	return mailboxes, pages, err
}

// once wants each of the seed's mailboxes exactly once.
func once(found map[string]int) error {
	for address, n := range found {
		if n != 1 {
			return fmt.Errorf("%s came %d times", address, n)
		}
	}
	return same("mailboxes", len(found), 32)
}

// errEnough ends a walk of a real tenant, which may be long.
var errEnough = errors.New("enough")

func TestExchangeOnline(t *testing.T) {
	t.Parallel()
	change := func(b *bed) error {
		return b.exchange().ChangeSendOnBehalf(b.Context(), "adele.vance@contoso.com", []string{"delegate3@contoso.com"}, nil)
	}
	changed := func(b *bed) (bool, error) {
		list, err := b.delegates("adele.vance@contoso.com")
		return len(list) > 0, err
	}
	read := func(b *bed) error {
		_, err := b.exchange().GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
		return err
	}
	list := append(slices.Concat(exchangeFacts, exchangeEdges), faults("exchangeonline", "notes 5 and 7 (observed)", "Set-Mailbox", change, changed, "Get-Mailbox", read)...)
	for _, s := range struck[5:9] { // the identity service, asked before each first call: nothing of ours was sent yet
		list = append(list, fact{name: "token endpoint: fault " + s.script, source: "notes 2", client: func(b *bed) error {
			b.apply(s.script, "entra", "token")
			err := change(b)
			done, err2 := changed(b)
			return all(err2, wants(err, s.read), same("carried out", done, false))
		}})
	}
	list = append(list, echoes("OData error (observed); RFC 6749 section 5.2; guarantee G6", []string{"exchangeonline", "entra"}, func(b *bed, bounds transport.Config) error {
		_, err := b.exchange(func(c *exchangeonline.Config) { c.HTTP = bounds }).GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
		return err
	}))
	walk := func(b *bed, between func()) (int, error) {
		_, pages, err := b.listed(b.exchange(func(c *exchangeonline.Config) { c.PagePatience = time.Minute }), 10, between)
		return pages, err
	}
	list = append(list, awayFault("exchangeonline", "Get-Mailbox", walk), tokenFault("exchangeonline", "Get-Mailbox", walk, func(b *bed) (answer, error) {
		return b.cmdlet("Mailbox", "Get-Mailbox", "{}")
	}))
	list = append(list, certificateFacts("admin-api-authentication (certificate)", exchangeByCertificate, entraClient)...)
	run(t, "exchangeonline", list)
}

var exchangeFacts = []fact{
	{
		name: "mailboxes are listed in pages", source: "Mailbox endpoint, Get-Mailbox, ResultSize; Pagination", reads: true,
		client: func(b *bed) error {
			err := b.exchange().ListMailboxes(b.Context(), exchangeonline.ListOptions{PageSize: 10}, func([]exchangeonline.Mailbox) error { return errEnough })
			return that(err == nil || errors.Is(err, errEnough), "%v", err)
		},
	},
	{
		name: "a mailbox that is not there is not found", source: "notes 5 (observed: NotFound, also as 500)", reads: true,
		client: func(b *bed) error {
			_, err := b.exchange().GetMailbox(b.Context(), "mailwright-conformance-nobody@contoso.com", exchangeonline.GetOptions{})
			if b.real != nil {
				return wants(err, failure.NotFound)
			}
			b.set("exchangeonline.not-found", "500")
			_, second := b.exchange().GetMailbox(b.Context(), "nobody@contoso.com", exchangeonline.GetOptions{})
			return all(wants(err, failure.NotFound), wants(second, failure.NotFound))
		},
	},
	{
		name: "accepted domains are listed, and one of them is the default", source: "AcceptedDomain endpoint, Response: DomainName, Default", reads: true,
		client: func(b *bed) error {
			domains, err := b.exchange().AcceptedDomains(b.Context())
			usual, err2 := b.exchange().DefaultDomain(b.Context())
			return all(err, err2, that(len(domains) > 0, "there is no domain"), that(usual.DomainName != "", "the default domain has no name"))
		},
		vendor: func(b *bed) error {
			a, err := b.cmdlet("AcceptedDomain", "Get-AcceptedDomain", "{}")
			return all(answers(a, err, http.StatusOK, `"DomainName":"contoso.com"`), same("defaults", strings.Count(a.body, `"Default":true`), 1))
		},
	},
	{
		name: "an accepted domain is read by its name", source: "AcceptedDomain endpoint, Get-AcceptedDomain, Identity", reads: true,
		client: func(b *bed) error {
			usual, err := b.exchange().DefaultDomain(b.Context())
			if err != nil {
				return err
			}
			again, err := b.exchange().AcceptedDomain(b.Context(), strings.ToUpper(usual.DomainName))
			_, missing := b.exchange().AcceptedDomain(b.Context(), "mailwright-conformance.invalid")
			return all(err, same("the domain", again.DomainName, usual.DomainName), same("its default", again.Default, true), wants(missing, failure.NotFound))
		},
		vendor: func(b *bed) error {
			a, err := b.cmdlet("AcceptedDomain", "Get-AcceptedDomain", `{"Identity":"alpineskihouse.net"}`)
			missing, err2 := b.cmdlet("AcceptedDomain", "Get-AcceptedDomain", `{"Identity":"nowhere.example"}`)
			return all(answers(a, err, http.StatusOK, `"DomainName":"alpineskihouse.net"`, `"Default":false`), same("domains", strings.Count(a.body, `"DomainName"`), 1), answers(missing, err2, http.StatusNotFound))
		},
	},
	{
		name: "$select is for mailboxes, accepted domains and group members", source: "AcceptedDomain, DistributionGroupMember and DynamicDistributionGroupMember endpoints, Property selection; the pages of the others have none",
		client: func(b *bed) error {
			domains, err := b.exchange().AcceptedDomains(b.Context(), "DomainType")
			var errs []error
			for group, dynamic := range map[string]bool{"management": false, "everyone@contoso.com": true} {
				errs = append(errs, b.exchange().GroupMembers(b.Context(), group, dynamic, func(page []exchangeonline.Mailbox) error {
					for _, m := range page {
						errs = append(errs, that(m.PrimarySMTPAddress != "" && m.DisplayName != "" && m.RecipientType != "" && m.Name == "", "%+v", m))
					}
					return nil
				}, "RecipientType"))
			}
			if len(domains) == 0 {
				return all(err, errors.New("there is no domain"))
			}
			return all(append(errs, err, same("what was selected", string(domains[0].Selected["DomainType"]), `"Authoritative"`))...)
		},
		vendor: func(b *bed) error {
			domains, err := b.cmdlet("AcceptedDomain?$select=DomainName,Default", "Get-AcceptedDomain", "{}")
			members, err2 := b.cmdlet("DistributionGroupMember?$select=DisplayName,PrimarySmtpAddress", "Get-DistributionGroupMember", `{"Identity":"management"}`)
			folder, err3 := b.cmdlet("MailboxFolderPermission?$select=User", "Get-MailboxFolderPermission", `{"Identity":"alex@contoso.com:\\Calendar"}`)
			organization, err4 := b.cmdlet("OrganizationConfig?$select=Name", "Get-OrganizationConfig", "{}")
			return all(answers(domains, err, http.StatusOK), that(!strings.Contains(domains.body, "DomainType"), "%s", domains.body),
				answers(members, err2, http.StatusOK), that(!strings.Contains(members.body, "RecipientType"), "%s", members.body),
				answers(folder, err3, http.StatusBadRequest), answers(organization, err4, http.StatusBadRequest))
		},
	},
	{
		name: "the organisation's configuration is one object", source: "OrganizationConfig endpoint", reads: true,
		client: func(b *bed) error {
			settings, err := b.exchange().OrganizationConfig(b.Context())
			return all(err, that(len(settings) > 0, "there is no setting"))
		},
	},
	{
		name: "every call is a POST; another endpoint is 404", source: "admin-api-get-started; overview",
		vendor: func(b *bed) error {
			get, err := b.send(http.MethodGet, "/exchange/adminapi/v2.0/"+tenantID+"/Mailbox", "")
			other, err2 := b.cmdlet("Nothing", "Get-Mailbox", "{}")
			return all(answers(get, err, http.StatusMethodNotAllowed), answers(other, err2, http.StatusNotFound))
		},
	},
	{
		name: "another cmdlet on an endpoint is an error", source: "Mailbox endpoint, Supported cmdlets",
		vendor: func(b *bed) error {
			a, err := b.cmdlet("Mailbox", "New-Mailbox", "{}")
			return answers(a, err, http.StatusBadRequest, `"error"`)
		},
	},
	{
		name: "no permission is 401, no Exchange role a 403 that is not JSON", source: "admin-api-authentication; notes 5 (observed)",
		client: func(b *bed) error {
			_, noPermission := b.exchange(application("2", "entra-norole-secret")).GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
			_, noRole := b.exchange(application("3", "entra-norbac-secret")).GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
			return all(wants(noPermission, failure.Unavailable), wants(noRole, failure.Refused))
		},
		vendor: func(b *bed) error {
			ask := func(number, password string) (answer, error) {
				token, err := b.token("/entra/"+tenantID+"/oauth2/v2.0/token", "a1b2c3d4-000"+number+"-4000-8000-000000000"+"00"+number, password, "https://outlook.office365.com/.default")
				if err != nil {
					return answer{}, err
				}
				return b.cmdlet("Mailbox", "Get-Mailbox", "{}", "Authorization", "Bearer "+token)
			}
			noPermission, err := ask("2", "entra-norole-secret")
			noRole, err2 := ask("3", "entra-norbac-secret")
			return all(answers(noPermission, err, http.StatusUnauthorized, `"Unauthorized"`), answers(noRole, err2, http.StatusForbidden, "\x00"))
		},
	},
	{
		name: "a client secret that is wrong, or has expired, is one to mend: nothing was done", source: "notes 2 (OAuth: invalid_client)",
		client: func(b *bed) error {
			_, err := b.exchange(application("1", "wrong")).GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
			return all(refusedAs(err, failure.Unavailable, "invalid_client"), that(strings.Contains(failure.Of(err).Text, "clientSecret"), "%v names no setting", err))
		},
		vendor: func(b *bed) error {
			form := url.Values{"grant_type": {"client_credentials"}, "client_id": {entraClient}, "client_secret": {"wrong"}, "scope": {exchangeonline.DefaultScope}}
			a, err := b.send(http.MethodPost, "/entra/"+tenantID+"/oauth2/v2.0/token", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
			return answers(a, err, http.StatusUnauthorized, `"invalid_client"`)
		},
	},
	{
		name: "X-AnchorMailbox goes with every call, in a form for its kind", source: "Mailbox endpoint, Headers",
		client: func(b *bed) error {
			b.set("exchangeonline.anchor", "form")
			_, err := b.exchange().GetMailbox(b.Context(), "alex@contoso.com", exchangeonline.GetOptions{})
			_, err2 := b.exchange().GetMailbox(b.Context(), "Alex Wilber", exchangeonline.GetOptions{})
			_, err3 := b.exchange().AcceptedDomains(b.Context())
			return all(err, err2, err3)
		},
		vendor: func(b *bed) error {
			a, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"Identity":"alex"}`, "X-AnchorMailbox", "")
			return answers(a, err, http.StatusBadRequest)
		},
	},
	{
		name: "Identity takes name, DN, alias, UPN, GUID and any address", source: "Mailbox endpoint, Get-Mailbox, Identity",
		client: func(b *bed) error {
			alex, err := b.exchange().GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{Select: []string{"DistinguishedName"}})
			if err != nil {
				return err
			}
			var errs []error
			for _, identity := range []string{"Alex Wilber", alex.UserPrincipalName, alex.ExternalDirectoryObjectID, "alex.wilber@contoso.com", "ALEX@CONTOSO.COM"} {
				m, err := b.exchange().GetMailbox(b.Context(), identity, exchangeonline.GetOptions{})
				errs = append(errs, err, same(identity, m.PrimarySMTPAddress, "alex@contoso.com"))
			}
			return all(errs...)
		},
	},
	{
		name: "Set-Mailbox is never sent without an Identity, nor a list with a wildcard", source: "Mailbox endpoint, Set-Mailbox (Identity: table and comment differ)",
		client: func(b *bed) error {
			none := b.exchange().SetSendOnBehalf(b.Context(), "", []string{"delegate1@contoso.com"})
			wild := b.exchange().SetSendOnBehalf(b.Context(), "a*", []string{"delegate1@contoso.com"})
			received, _ := b.calls("Set-Mailbox")
			return all(wants(none, failure.Invalid), wants(wild, failure.Invalid), same("calls", received, 0))
		},
		vendor: func(b *bed) error {
			a, err := b.cmdlet("Mailbox", "Set-Mailbox", `{"GrantSendOnBehalfTo":["delegate1@contoso.com"]}`)
			return answers(a, err, http.StatusBadRequest)
		},
	},
	{
		name: "an array replaces the whole list", source: "Mailbox endpoint, Example 3",
		client: func(b *bed) error {
			err := b.exchange().SetSendOnBehalf(b.Context(), "alex@contoso.com", []string{"delegate3@contoso.com"})
			return all(err, b.now("alex", "delegate3@contoso.com"))
		},
		vendor: func(b *bed) error {
			a, err := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"alex","GrantSendOnBehalfTo@odata.type":"#Collection(String)","GrantSendOnBehalfTo":["delegate2@contoso.com","delegate3@contoso.com"]}`)
			return all(answers(a, err, http.StatusOK), same("the body", a.body, ""), b.now("alex", "delegate2@contoso.com", "delegate3@contoso.com"))
		},
	},
	{
		name: "a hash table adds and removes, and leaves the others", source: "Mailbox endpoint, Example 4",
		client: func(b *bed) error {
			err := b.exchange().ChangeSendOnBehalf(b.Context(), "alex@contoso.com", []string{"delegate4@contoso.com"}, []string{"admin@contoso.com"})
			return all(err, b.now("alex", "delegate1@contoso.com", "delegate4@contoso.com"))
		},
		vendor: func(b *bed) error {
			a, err := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"alex","GrantSendOnBehalfTo":{"@odata.type":"#Exchange.GenericHashTable","add":["delegate4@contoso.com"]}}`)
			without, err2 := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"alex","GrantSendOnBehalfTo":{"add":["delegate3@contoso.com"]}}`)
			return all(answers(a, err, http.StatusOK), answers(without, err2, http.StatusBadRequest))
		},
	},
	{
		name: "what is already so changes nothing, and is no error", source: "notes 8.6 (inferred)",
		client: func(b *bed) error {
			err := b.exchange().ChangeSendOnBehalf(b.Context(), "alex@contoso.com", []string{"admin@contoso.com"}, []string{"delegate4@contoso.com"})
			return all(err, b.now("alex", "admin@contoso.com", "delegate1@contoso.com"))
		},
	},
	{
		name: "one unknown delegate fails the whole call", source: "notes 8.7 (inferred)",
		client: func(b *bed) error {
			err := b.exchange().SetSendOnBehalf(b.Context(), "alex@contoso.com", []string{"delegate3@contoso.com", "nobody@contoso.com"})
			return all(wants(err, failure.NotFound), b.now("alex", "admin@contoso.com", "delegate1@contoso.com"))
		},
	},
	{
		name: "an empty list is not sent as a replacement", source: "Mailbox endpoint (not stated)",
		client: func(b *bed) error {
			err := b.exchange().SetSendOnBehalf(b.Context(), "alex@contoso.com", nil)
			received, _ := b.calls("Set-Mailbox")
			return all(wants(err, failure.Invalid), same("calls", received, 0))
		},
	},
	{
		name: "Set-Mailbox answers with an empty body, or with one", source: "Mailbox endpoint, Set-Mailbox: \"no response body is required\"",
		client: func(b *bed) error {
			b.set("exchangeonline.set-body", "value")
			return b.exchange().SetSendOnBehalf(b.Context(), "alex@contoso.com", []string{"delegate3@contoso.com"})
		},
	},
	{
		name: "one mailbox comes in a value array, a bare array or as an object", source: "Mailbox endpoint: \"a JSON object or a list array\"",
		client: func(b *bed) error {
			var errs []error
			for _, shape := range []string{"value", "array", "object"} {
				b.set("exchangeonline.single-shape", shape)
				m, err := b.exchange().GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
				errs = append(errs, err, same(shape, m.PrimarySMTPAddress, "alex@contoso.com"))
			}
			return all(errs...)
		},
	},
	{
		name: "only the core properties are relied on", source: "Mailbox endpoint, Response overview",
		client: func(b *bed) error {
			b.set("exchangeonline.output", "core")
			return b.now("alex", "admin@contoso.com", "delegate1@contoso.com")
		},
	},
	{
		name: "display names come as objects or texts, or the parameter is unknown", source: "Mailbox endpoint, IncludeGrantSendOnBehalfToWithDisplayNames (staged rollout)",
		client: func(b *bed) error {
			var errs []error
			for _, form := range []string{"object", "string"} {
				b.set("exchangeonline.display-names", form)
				m, err := b.exchange().GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{WithDisplayNames: true})
				errs = append(errs, err, that(len(m.Delegates) == 2 && m.Delegates[0].DisplayName != "", "%s: %+v", form, m.Delegates))
			}
			b.set("exchangeonline.display-names", "unavailable")
			_, err := b.exchange().GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{WithDisplayNames: true})
			return all(append(errs, wants(err, failure.Refused))...)
		},
	},
	{
		name: "$select gives the chosen properties", source: "Mailbox endpoint, Query parameters",
		client: func(b *bed) error {
			m, err := b.exchange().GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{Select: []string{"HiddenFromAddressListsEnabled"}})
			_, injected := b.exchange().GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{Select: []string{"Name&x=y"}})
			return all(err, same("the property", string(m.Selected["HiddenFromAddressListsEnabled"]), "false"), wants(injected, failure.Invalid))
		},
		vendor: func(b *bed) error {
			a, err := b.cmdlet("Mailbox?$select=Alias", "Get-Mailbox", `{"Identity":"alex"}`)
			return all(answers(a, err, http.StatusOK, `"Alias":"alex"`), that(!strings.Contains(a.body, "PrimarySmtpAddress"), "%s", a.body))
		},
	},
	{
		name: "the next page is the same body sent to nextLink", source: "Mailbox endpoint, Pagination",
		client: func(b *bed) error {
			found, pages, err := b.listed(b.exchange(), 5, nil)
			return all(err, once(found), same("pages", pages, 7))
		},
		vendor: func(b *bed) error {
			a, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"ResultSize":5}`)
			return answers(a, err, http.StatusOK, `"@odata.nextLink"`, `"@adminapi.warnings"`)
		},
	},
	{
		name: "where cursors fail the list is read again without a limit", source: "notes 6 (observed)", faults: "cursor-failure",
		client: func(b *bed) error {
			found, _, err := b.listed(b.exchange(), 5, nil)
			return all(err, once(found))
		},
	},
	{
		name: "a cursor lives 30 minutes", source: "notes 6 (observed)",
		client: func(b *bed) error {
			found, _, err := b.listed(b.exchange(), 20, func() { b.advance("31m") })
			return all(err, once(found))
		},
	},
	{
		name: "a token that ends in mid-walk is replaced, and the page asked for again", source: "notes 2; client duties",
		client: func(b *bed) error {
			found, _, err := b.listed(b.exchange(), 5, func() { b.control(http.MethodDelete, "tokens", nil, nil) })
			return all(err, once(found))
		},
	},
	{
		name: "HAZARD: a nextLink to another host gets no credential", source: "notes 6; guarantee G8",
		client: func(b *bed) error {
			elsewhere, asked := b.elsewhere()
			_, _, err := b.listed(b.exchange(b.impostor(`{"value":[{"Id":"a"}],"@odata.nextLink":"`+elsewhere+`/adminapi/v2.0/x/Mailbox?$skiptoken=1"}`)), 5, nil)
			return all(wants(err, failure.Internal), same("requests elsewhere", asked.Load(), 0))
		},
	},
	{
		name: "a nextLink that leads back is not followed for ever", source: "notes 6",
		client: func(b *bed) error {
			var asked atomic.Int64
			circle := httptest.NewUnstartedServer(nil)
			circle.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				_, _ = fmt.Fprintf(w, `{"value":[],"@odata.nextLink":"%s%s?$skiptoken=1"}`, circle.URL, r.URL.Path)
			})
			circle.Start()
			defer circle.Close()
			_, _, err := b.listed(b.exchange(func(c *exchangeonline.Config) { c.BaseURL = circle.URL }), 5, nil)
			return all(wants(err, failure.Internal), that(asked.Load() < 5, "%d requests", asked.Load()))
		},
	},
	{
		name: "what was just written is not to be read at once", source: "notes 8.10 (inferred)", faults: "replication-lag",
		client: func(b *bed) error {
			err := b.exchange().SetSendOnBehalf(b.Context(), "alex@contoso.com", []string{"delegate3@contoso.com"})
			soon := b.now("alex", "admin@contoso.com", "delegate1@contoso.com")
			b.advance("61s")
			return all(err, soon, b.now("alex", "delegate3@contoso.com"))
		},
	},
	{
		name: "folder permissions are read, added, set and removed", source: "MailboxFolderPermission endpoint",
		client: func(b *bed) error {
			calendar, ctx, c := exchangeonline.Folder{Mailbox: "alex@contoso.com", Path: "Calendar"}, b.Context(), b.exchange()
			has := func(want string) error {
				p, _, err := c.FolderPermission(ctx, calendar, "delegate1@contoso.com")
				return all(err, same("the rights", strings.Join(append(p.AccessRights, p.SharingPermissionFlags...), " "), want))
			}
			every, err := c.FolderPermissions(ctx, calendar)
			return all(err, same("entries at first", len(every), 2), has(""),
				c.AddFolderPermission(ctx, calendar, "delegate1@contoso.com", []string{"Reviewer"}, nil), has("Reviewer"),
				that(exchangeonline.IsEntry(c.AddFolderPermission(ctx, calendar, "delegate1@contoso.com", []string{"Editor"}, nil)), "a second entry"),
				c.SetFolderPermission(ctx, calendar, "delegate1@contoso.com", []string{"Editor"}, []string{"Delegate"}), has("Editor Delegate"),
				c.RemoveFolderPermission(ctx, calendar, "delegate1@contoso.com"), has(""),
				that(exchangeonline.IsNoEntry(c.RemoveFolderPermission(ctx, calendar, "delegate1@contoso.com")), "removed twice"))
		},
		vendor: func(b *bed) error {
			a, err := b.cmdlet("MailboxFolderPermission", "Add-MailboxFolderPermission", `{"Identity":"alex@contoso.com:\\Calendar","User":"delegate1@contoso.com","AccessRights":"Editor"}`)
			wrong, err2 := b.cmdlet("MailboxFolderPermission", "Add-MailboxFolderPermission", `{"Identity":"alex@contoso.com:\\Calendar","User":"delegate2@contoso.com","AccessRights":"Emperor"}`)
			return all(answers(a, err, http.StatusOK), answers(wrong, err2, http.StatusBadRequest, "ParameterTransformationException"))
		},
	},
	{
		name: "members of groups are listed, those hidden from address lists too", source: "DistributionGroupMember and DynamicDistributionGroupMember endpoints",
		client: func(b *bed) error {
			members := func(group string, dynamic bool) (list []string, err error) {
				err = b.exchange().GroupMembers(b.Context(), group, dynamic, func(page []exchangeonline.Mailbox) error {
					for _, m := range page {
						list = append(list, m.PrimarySMTPAddress)
					}
					return nil
				})
				return list, err
			}
			management, err := members("Management", false)
			everyone, err2 := members("everyone@contoso.com", true)
			_, other := members("everyone@contoso.com", false)
			return all(err, err2, same("management", len(management), 3), that(slices.Contains(everyone, "diego.siciliani@contoso.com"), "%v", everyone), wants(other, failure.NotFound))
		},
	},
	{
		name: "Parameters may be {} or left out, null is neither", source: "OrganizationConfig endpoint; notes 3 (observed)",
		vendor: func(b *bed) error {
			a, err := b.cmdlet("OrganizationConfig", "Get-OrganizationConfig", "null")
			return answers(a, err, http.StatusBadRequest)
		},
	},
}
