package conformance

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// exchange is our client, changed as a fact asks.
func (b *env) exchange(changes ...func(*exchangeonline.Config)) *exchangeonline.Client {
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
func (b *env) token(path, client, password, scope string) (string, error) {
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
func (b *env) cmdlet(endpoint, name, parameters string, header ...string) (answer, error) {
	token, err := b.token("/entra/"+tenantID+"/oauth2/v2.0/token", entraClient, entraSecret, "https://outlook.office365.com/.default")
	if err != nil {
		return answer{}, err
	}
	return b.post(token, "/exchange/adminapi/v2.0/"+tenantID+"/"+endpoint, name, parameters, header...)
}

// post calls a cmdlet with a token at a path, or at the URL of a further page.
func (b *env) post(token, path, name, parameters string, header ...string) (answer, error) {
	return b.send(http.MethodPost, path, `{"CmdletInput":{"CmdletName":"`+name+`","Parameters":`+parameters+`}}`,
		append([]string{"Authorization", "Bearer " + token, "Content-Type", "application/json", "X-AnchorMailbox", "AAD-UPN:alex@contoso.com"}, header...)...)
}

// someone is a mailbox that is there, in a real tenant too.
func (b *env) someone() (m exchangeonline.Mailbox, err error) {
	if b.real == nil {
		return b.exchange().GetMailbox(b.Context(), "alex@contoso.com", exchangeonline.GetOptions{})
	}
	err = b.exchange().ListMailboxes(b.Context(), exchangeonline.ListOptions{PageSize: 1}, func(page []exchangeonline.Mailbox) error {
		m = page[0]
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return m, err
}

// delegates are those of a mailbox, as our client reads them.
func (b *env) delegates(mailbox string) ([]string, error) {
	m, err := b.exchange().GetMailbox(b.Context(), mailbox, exchangeonline.GetOptions{})
	var list []string
	for _, d := range m.Delegates {
		list = append(list, d.Address)
	}
	slices.Sort(list)
	return list, err
}

// now wants a mailbox's delegates to be these.
func (b *env) now(mailbox string, want ...string) error {
	got, err := b.delegates(mailbox)
	return all(err, same("the delegates", strings.Join(got, " "), strings.Join(want, " ")))
}

// errEnough ends a walk of a real tenant, which may be long.
var errEnough = errors.New("enough")

func TestExchangeOnline(t *testing.T) {
	t.Parallel()
	change := func(b *env) error {
		return b.exchange().ChangeSendOnBehalf(b.Context(), "adele.vance@contoso.com", []string{"delegate3@contoso.com"}, nil)
	}
	changed := func(b *env) (bool, error) {
		list, err := b.delegates("adele.vance@contoso.com")
		return len(list) > 0, err
	}
	read := func(b *env) error {
		_, err := b.exchange().GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
		return err
	}
	list := append(slices.Concat(exchangeFacts, exchangeLists, exchangeEdges, exchangePeople), faults("exchangeonline", "notes 5 and 7 (observed)", "Set-Mailbox", change, changed, "Get-Mailbox", read)...)
	// the identity service, asked before each first call: nothing of ours was sent yet
	for _, s := range faultCases[5:9] {
		list = append(list, fact{name: "token endpoint: fault " + s.script, source: "notes 2", client: func(b *env) error {
			b.apply(s.script, "entra", "token")
			err := change(b)
			done, err2 := changed(b)
			return all(err2, wants(err, s.read), same("carried out", done, false))
		}, vendor: func(b *env) error {
			b.apply(s.script, "entra", "token")
			form := url.Values{"grant_type": {"client_credentials"}, "client_id": {entraClient}, "client_secret": {entraSecret}, "scope": {exchangeonline.DefaultScope}}
			a, err := b.send(http.MethodPost, "/entra/"+tenantID+"/oauth2/v2.0/token", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
			return all(err, that(a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable, "status %d", a.status))
		}})
	}
	list = append(list, echoes("OData error (observed); RFC 6749 section 5.2; guarantee G6", []string{"exchangeonline", "entra"}, func(b *env, bounds transport.Config) error {
		_, err := b.exchange(func(c *exchangeonline.Config) { c.HTTP = bounds }).GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
		return err
	}))
	walk := func(b *env, between func()) (int, error) {
		_, pages, err := b.listed(b.exchange(func(c *exchangeonline.Config) { c.PageTimeout = time.Minute }), 10, between)
		return pages, err
	}
	raw := func(b *env) (answer, error) { return b.cmdlet("Mailbox", "Get-Mailbox", "{}") }
	list = append(list, awayFault("exchangeonline", "Get-Mailbox", walk, raw), tokenFault("exchangeonline", "Get-Mailbox", walk, raw))
	list = append(list, certificateFacts("admin-api-authentication (certificate)", exchangeByCertificate, entraClient, "/entra/"+tenantID+"/oauth2/v2.0/token")...)
	run(t, "exchangeonline", list)
}

var exchangeFacts = []fact{
	{
		name: "a mailbox that is not there is not found", source: "notes 5 (observed: NotFound, also as 500)", reads: true,
		client: func(b *env) error {
			_, err := b.exchange().GetMailbox(b.Context(), "mailwright-conformance-nobody@contoso.com", exchangeonline.GetOptions{})
			if b.real != nil {
				return wants(err, failure.NotFound)
			}
			b.set("exchangeonline.not-found", "500")
			_, second := b.exchange().GetMailbox(b.Context(), "nobody@contoso.com", exchangeonline.GetOptions{})
			return all(wants(err, failure.NotFound), wants(second, failure.NotFound))
		},
		vendor: func(b *env) error {
			first, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"Identity":"nobody@contoso.com"}`)
			b.set("exchangeonline.not-found", "500")
			second, err2 := b.cmdlet("Mailbox", "Get-Mailbox", `{"Identity":"nobody@contoso.com"}`)
			return all(answers(first, err, http.StatusNotFound, `"NotFound"`), answers(second, err2, http.StatusInternalServerError, "ManagementObjectNotFoundException"))
		},
	},
	{
		name: "every call is a POST; another endpoint is 404", source: "admin-api-get-started; overview", reads: true,
		client: func(b *env) error {
			sent := &recordingTransport{}
			bounds := b.http()
			bounds.RoundTripper = sent
			_, err := b.exchange(func(c *exchangeonline.Config) { c.HTTP = bounds }).AcceptedDomains(b.Context())
			return all(err, that(len(sent.calls) == 2 && strings.HasPrefix(sent.calls[1], "POST application/json ") && strings.HasSuffix(sent.calls[1], "/AcceptedDomain"), "%v", sent.calls))
		},
		vendor: func(b *env) error {
			get, err := b.send(http.MethodGet, "/exchange/adminapi/v2.0/"+tenantID+"/Mailbox", "")
			other, err2 := b.cmdlet("Nothing", "Get-Mailbox", "{}")
			return all(answers(get, err, http.StatusMethodNotAllowed), answers(other, err2, http.StatusNotFound))
		},
	},
	{
		name: "another cmdlet on an endpoint is an error", source: "Mailbox endpoint, Supported cmdlets",
		vendor: func(b *env) error {
			a, err := b.cmdlet("Mailbox", "New-Mailbox", "{}")
			return answers(a, err, http.StatusBadRequest, `"error"`)
		},
	},
	{
		name: "no permission is 401, no Exchange role a 403 that is not JSON", source: "admin-api-authentication; notes 5 (observed)",
		client: func(b *env) error {
			_, noPermission := b.exchange(application("2", "entra-norole-secret")).GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
			_, noRole := b.exchange(application("3", "entra-norbac-secret")).GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
			return all(wants(noPermission, failure.Unavailable), wants(noRole, failure.Refused))
		},
		vendor: func(b *env) error {
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
		name: "a client secret that is wrong, or has expired, is one to replace: nothing was done", source: "notes 2 (OAuth: invalid_client)",
		client: func(b *env) error {
			_, err := b.exchange(application("1", "wrong")).GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
			return all(refusedAs(err, failure.Unavailable, "invalid_client"), that(strings.Contains(failure.Of(err).Text, "clientSecret"), "%v names no setting", err))
		},
		vendor: func(b *env) error {
			form := url.Values{"grant_type": {"client_credentials"}, "client_id": {entraClient}, "client_secret": {"wrong"}, "scope": {exchangeonline.DefaultScope}}
			a, err := b.send(http.MethodPost, "/entra/"+tenantID+"/oauth2/v2.0/token", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
			return answers(a, err, http.StatusUnauthorized, `"invalid_client"`)
		},
	},
	{
		name: "X-AnchorMailbox goes with every call, in a form for its kind", source: "Mailbox endpoint, Headers", reads: true,
		client: func(b *env) error {
			if b.real == nil {
				b.set("exchangeonline.anchor", "form")
			}
			m, err := b.someone()
			_, err2 := b.exchange().GetMailbox(b.Context(), m.PrimarySMTPAddress, exchangeonline.GetOptions{})
			_, err3 := b.exchange().GetMailbox(b.Context(), m.ExternalDirectoryObjectID, exchangeonline.GetOptions{})
			_, err4 := b.exchange().AcceptedDomains(b.Context())
			return all(err, err2, err3, err4)
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"Identity":"alex"}`, "X-AnchorMailbox", "")
			return answers(a, err, http.StatusBadRequest)
		},
	},
	{
		name: "Identity takes name, DN, alias, UPN, GUID and any address", source: "Mailbox endpoint, Get-Mailbox, Identity", reads: true,
		client: func(b *env) error {
			m, err := b.someone()
			if err != nil {
				return err
			}
			var errs []error
			identities := []string{m.UserPrincipalName, m.ExternalDirectoryObjectID, strings.ToUpper(m.PrimarySMTPAddress)}
			if b.real == nil { // names of a real tenant's need not be one mailbox's
				identities = append(identities, "alex", "Alex Wilber", "alex.wilber@contoso.com")
			}
			for _, identity := range identities {
				again, err := b.exchange().GetMailbox(b.Context(), identity, exchangeonline.GetOptions{})
				errs = append(errs, err, same(identity, again.PrimarySMTPAddress, m.PrimarySMTPAddress))
			}
			return all(errs...)
		},
		vendor: func(b *env) error {
			alex, err := b.exchange().GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{Select: []string{"DistinguishedName"}})
			errs := []error{err}
			for _, identity := range []string{`"Alex Wilber"`, `"` + alex.UserPrincipalName + `"`, `"` + alex.ExternalDirectoryObjectID + `"`, `"alex.wilber@contoso.com"`, string(alex.Selected["DistinguishedName"])} {
				a, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"Identity":`+identity+`}`)
				errs = append(errs, answers(a, err, http.StatusOK, `"PrimarySmtpAddress":"alex@contoso.com"`))
			}
			return all(errs...)
		},
	},
	{
		name: "Set-Mailbox is never sent without an Identity, nor a list with a wildcard", source: "Mailbox endpoint, Set-Mailbox (Identity: table and comment differ)",
		client: func(b *env) error {
			none := b.exchange().SetSendOnBehalf(b.Context(), "", []string{"delegate1@contoso.com"})
			wild := b.exchange().SetSendOnBehalf(b.Context(), "a*", []string{"delegate1@contoso.com"})
			received, _ := b.calls("Set-Mailbox")
			return all(wants(none, failure.Invalid), wants(wild, failure.Invalid), same("calls", received, 0))
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("Mailbox", "Set-Mailbox", `{"GrantSendOnBehalfTo":["delegate1@contoso.com"]}`)
			return answers(a, err, http.StatusBadRequest)
		},
	},
	{
		name: "an array replaces the whole list", source: "Mailbox endpoint, Example 3",
		client: func(b *env) error {
			err := b.exchange().SetSendOnBehalf(b.Context(), "alex@contoso.com", []string{"delegate3@contoso.com"})
			return all(err, b.now("alex", "delegate3@contoso.com"))
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"alex","GrantSendOnBehalfTo@odata.type":"#Collection(String)","GrantSendOnBehalfTo":["delegate2@contoso.com","delegate3@contoso.com"]}`)
			return all(answers(a, err, http.StatusOK), same("the body", a.body, ""), b.now("alex", "delegate2@contoso.com", "delegate3@contoso.com"))
		},
	},
	{
		name: "a hash table adds and removes, and leaves the others", source: "Mailbox endpoint, Example 4",
		client: func(b *env) error {
			err := b.exchange().ChangeSendOnBehalf(b.Context(), "alex@contoso.com", []string{"delegate4@contoso.com"}, []string{"admin@contoso.com"})
			return all(err, b.now("alex", "delegate1@contoso.com", "delegate4@contoso.com"))
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"alex","GrantSendOnBehalfTo":{"@odata.type":"#Exchange.GenericHashTable","add":["delegate4@contoso.com"]}}`)
			without, err2 := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"alex","GrantSendOnBehalfTo":{"add":["delegate3@contoso.com"]}}`)
			return all(answers(a, err, http.StatusOK), answers(without, err2, http.StatusBadRequest))
		},
	},
	{
		name: "what is already so changes nothing, and is no error", source: "notes 8.6 (inferred)",
		client: func(b *env) error {
			err := b.exchange().ChangeSendOnBehalf(b.Context(), "alex@contoso.com", []string{"admin@contoso.com"}, []string{"delegate4@contoso.com"})
			return all(err, b.now("alex", "admin@contoso.com", "delegate1@contoso.com"))
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"alex","GrantSendOnBehalfTo":{"@odata.type":"#Exchange.GenericHashTable","add":["admin@contoso.com"],"remove":["delegate4@contoso.com"]}}`)
			return all(answers(a, err, http.StatusOK), b.now("alex", "admin@contoso.com", "delegate1@contoso.com"))
		},
	},
	{
		name: "one unknown delegate fails the whole call", source: "notes 8.7 (inferred)",
		client: func(b *env) error {
			err := b.exchange().SetSendOnBehalf(b.Context(), "alex@contoso.com", []string{"delegate3@contoso.com", "nobody@contoso.com"})
			return all(wants(err, failure.NotFound), b.now("alex", "admin@contoso.com", "delegate1@contoso.com"))
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"alex","GrantSendOnBehalfTo":["delegate3@contoso.com","nobody@contoso.com"]}`)
			return all(err, that(a.status >= http.StatusBadRequest, "status %d", a.status), b.now("alex", "admin@contoso.com", "delegate1@contoso.com"))
		},
	},
	{
		name: "an empty list is not sent as a replacement", source: "Mailbox endpoint (not stated)",
		client: func(b *env) error {
			err := b.exchange().SetSendOnBehalf(b.Context(), "alex@contoso.com", nil)
			received, _ := b.calls("Set-Mailbox")
			return all(wants(err, failure.Invalid), same("calls", received, 0))
		},
		vendor: func(b *env) error {
			b.set("exchangeonline.empty-overwrite", "reject")
			refused, err := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"alex","GrantSendOnBehalfTo":[]}`)
			kept := b.now("alex", "admin@contoso.com", "delegate1@contoso.com")
			b.set("exchangeonline.empty-overwrite", "clear")
			cleared, err2 := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"alex","GrantSendOnBehalfTo":[]}`)
			return all(answers(refused, err, http.StatusBadRequest), kept, answers(cleared, err2, http.StatusOK), b.now("alex"))
		},
	},
	{
		name: "Set-Mailbox answers with an empty body, or with one", source: "Mailbox endpoint, Set-Mailbox: \"no response body is required\"",
		client: func(b *env) error {
			b.set("exchangeonline.set-body", "value")
			return b.exchange().SetSendOnBehalf(b.Context(), "alex@contoso.com", []string{"delegate3@contoso.com"})
		},
		vendor: func(b *env) error {
			set := `{"Identity":"alex","GrantSendOnBehalfTo":["delegate3@contoso.com"]}`
			empty, err := b.cmdlet("Mailbox", "Set-Mailbox", set)
			b.set("exchangeonline.set-body", "value")
			full, err2 := b.cmdlet("Mailbox", "Set-Mailbox", set)
			return all(answers(empty, err, http.StatusOK), same("the body", empty.body, ""), answers(full, err2, http.StatusOK, "{"))
		},
	},
	{
		name: "one mailbox comes in a value array, a bare array or as an object", source: "Mailbox endpoint: \"a JSON object or a list array\"",
		client: func(b *env) error {
			var errs []error
			for _, shape := range []string{"value", "array", "object"} {
				b.set("exchangeonline.single-shape", shape)
				m, err := b.exchange().GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
				errs = append(errs, err, same(shape, m.PrimarySMTPAddress, "alex@contoso.com"))
			}
			return all(errs...)
		},
		vendor: func(b *env) error {
			var errs []error
			for shape, begins := range map[string]string{"value": `{"@`, "array": "[", "object": `{"Alias"`} {
				b.set("exchangeonline.single-shape", shape)
				a, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"Identity":"alex"}`)
				errs = append(errs, answers(a, err, http.StatusOK), that(strings.HasPrefix(a.body, begins), "%s: %.40s", shape, a.body))
			}
			return all(errs...)
		},
	},
	{
		name: "only the core properties are relied on", source: "Mailbox endpoint, Response overview", reads: true,
		client: func(b *env) error {
			if b.real == nil {
				b.set("exchangeonline.output", "core")
			}
			m, err := b.someone()
			return all(err, that(m.ID != "" && m.PrimarySMTPAddress != "" && m.RecipientTypeDetails != "" && m.Delegates != nil, "%+v", m))
		},
		vendor: func(b *env) error {
			full, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"Identity":"alex"}`)
			b.set("exchangeonline.output", "core")
			core, err2 := b.cmdlet("Mailbox", "Get-Mailbox", `{"Identity":"alex"}`)
			return all(answers(full, err, http.StatusOK, `"DistinguishedName"`), answers(core, err2, http.StatusOK, `"GrantSendOnBehalfTo"`), that(!strings.Contains(core.body, "DistinguishedName"), "%s", core.body))
		},
	},
	{
		name: "display names come as objects or texts, or the parameter is unknown", source: "Mailbox endpoint, IncludeGrantSendOnBehalfToWithDisplayNames (staged rollout)",
		client: func(b *env) error {
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
		vendor: func(b *env) error {
			var errs []error
			for form, part := range map[string]string{"object": `"GrantSendOnBehalfToWithDisplayNames":[{`, "string": `"GrantSendOnBehalfToWithDisplayNames":["`} {
				b.set("exchangeonline.display-names", form)
				a, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"Identity":"alex","IncludeGrantSendOnBehalfTowithDisplayNames":true}`)
				errs = append(errs, answers(a, err, http.StatusOK, part))
			}
			b.set("exchangeonline.display-names", "unavailable")
			a, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"Identity":"alex","IncludeGrantSendOnBehalfTowithDisplayNames":true}`)
			return all(append(errs, answers(a, err, http.StatusBadRequest, "AmbiguousParameterSetException"))...)
		},
	},
	{
		name: "$select gives the chosen properties", source: "Mailbox endpoint, Query parameters", reads: true,
		client: func(b *env) error {
			m, err := b.someone()
			if err != nil {
				return err
			}
			chosen, err := b.exchange().GetMailbox(b.Context(), m.PrimarySMTPAddress, exchangeonline.GetOptions{Select: []string{"HiddenFromAddressListsEnabled"}})
			_, injected := b.exchange().GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{Select: []string{"Name&x=y"}})
			return all(err, that(chosen.Selected["HiddenFromAddressListsEnabled"] != nil, "%+v", chosen), wants(injected, failure.Invalid))
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("Mailbox?$select=Alias", "Get-Mailbox", `{"Identity":"alex"}`)
			return all(answers(a, err, http.StatusOK, `"Alias":"alex"`), that(!strings.Contains(a.body, "PrimarySmtpAddress"), "%s", a.body))
		},
	},
	{
		name: "what was just written is not to be read at once", source: "notes 8.10 (inferred)", faults: "replication-lag",
		client: func(b *env) error {
			err := b.exchange().SetSendOnBehalf(b.Context(), "alex@contoso.com", []string{"delegate3@contoso.com"})
			soon := b.now("alex", "admin@contoso.com", "delegate1@contoso.com")
			b.advance("61s")
			return all(err, soon, b.now("alex", "delegate3@contoso.com"))
		},
		vendor: func(b *env) error {
			shown := func() string {
				a, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"Identity":"alex"}`)
				if err := answers(a, err, http.StatusOK); err != nil {
					b.Error(err)
				}
				return a.body
			}
			a, err := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"alex","GrantSendOnBehalfTo":["delegate3@contoso.com"]}`)
			soon := shown()
			b.advance("61s")
			return all(answers(a, err, http.StatusOK), that(!strings.Contains(soon, "delegate3"), "it shows at once"), that(strings.Contains(shown(), "delegate3"), "it does not show"))
		},
	},
	{
		name: "folder permissions are read, added, set and removed", source: "MailboxFolderPermission endpoint",
		client: func(b *env) error {
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
		vendor: func(b *env) error {
			a, err := b.cmdlet("MailboxFolderPermission", "Add-MailboxFolderPermission", `{"Identity":"alex@contoso.com:\\Calendar","User":"delegate1@contoso.com","AccessRights":"Editor"}`)
			wrong, err2 := b.cmdlet("MailboxFolderPermission", "Add-MailboxFolderPermission", `{"Identity":"alex@contoso.com:\\Calendar","User":"delegate2@contoso.com","AccessRights":"Emperor"}`)
			return all(answers(a, err, http.StatusOK), answers(wrong, err2, http.StatusBadRequest, "ParameterTransformationException"))
		},
	},
}
