package conformance

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
)

// deletedDelegate is the GUID of a delegate who has been deleted.
const deletedDelegate = "8fbe075a-c43d-4b8d-a98d-3300b1b5b613"

// reseedTwins gives Bianca Pisani's mailbox the display name of Adele Vance.
func (b *env) reseedTwins() {
	b.Helper()
	b.reseed(`name: "Bianca Pisani"`, `name: "Adele Vance_aa40332fcb", displayName: "Adele Vance"`)
}

// reseedOrphan adds a deleted delegate to alex's list.
func (b *env) reseedOrphan() {
	b.Helper()
	b.reseed("delegates: [delegate1@contoso.com, admin@contoso.com]", "delegates: [delegate1@contoso.com, "+deletedDelegate+"]")
	b.set("exchangeonline.orphan-shown", "guid")
}

// askToken makes a token request without our client.
func (b *env) askToken() (answer, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {entraClient}, "client_secret": {entraSecret}, "scope": {exchangeonline.DefaultScope}}
	return b.send(http.MethodPost, "/entra/"+tenantID+"/oauth2/v2.0/token", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

// failToken has the token endpoint answer once so.
func (b *env) failToken(status int, body string) {
	b.Helper()
	b.control(http.MethodPost, "faults", map[string]any{
		"vendor": "entra", "call": "token", "kind": "status", "count": 1, "params": map[string]any{"status": status, "body": body},
	}, nil)
}

// mayPass is the fact that an answer is worth another attempt, within a bound; 0 is the kind's own.
func mayPass(name, source, script string, status int, bound time.Duration) fact {
	add := func(b *env) error {
		return b.exchange().ChangeSendOnBehalf(b.Context(), "alex@contoso.com", []string{"delegate3@contoso.com"}, nil)
	}
	return fact{
		name: name, source: source,
		client: func(b *env) error {
			b.apply(script, "exchangeonline", "Set-Mailbox")
			first := add(b)
			return all(wants(first, failure.Unavailable), same("the bound", failure.Of(first).RetryFor, bound), add(b))
		},
		vendor: func(b *env) error {
			b.apply(script, "exchangeonline", "Set-Mailbox")
			a, err := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"alex","GrantSendOnBehalfTo":["delegate3@contoso.com"]}`)
			return all(answers(a, err, status), b.now("alex", "admin@contoso.com", "delegate1@contoso.com"))
		},
	}
}

// exchangePeople are the facts about who is meant, and about answers that say nothing of the
// command.
var exchangePeople = []fact{
	{
		name: "two mailboxes may share a display name; a list of names tells them apart", source: "KelvinTegelaar/CIPP-API, pull request 88; MicrosoftDocs/OfficeDocs-Exchange, issue 3042",
		client: func(b *env) error {
			b.reseedTwins()
			b.set("exchangeonline.delegate-form", "name")
			err := b.exchange().SetSendOnBehalf(b.Context(), "alex@contoso.com", []string{"adele.vance@contoso.com"})
			alex, err2 := b.exchange().GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
			one, err3 := b.exchange().GetMailbox(b.Context(), "adele.vance@contoso.com", exchangeonline.GetOptions{})
			two, err4 := b.exchange().GetMailbox(b.Context(), "bianca.pisani@contoso.com", exchangeonline.GetOptions{})
			if err := all(err, err2, err3, err4, same("the display name", one.DisplayName, two.DisplayName)); err != nil {
				return err
			}
			listed := alex.Delegates[0].Address
			return all(that(slices.Contains(one.Names(), listed), "%q is not of %q", listed, one.Names()), that(!slices.Contains(two.Names(), listed), "%q is of %q", listed, two.Names()))
		},
		vendor: func(b *env) error {
			b.reseedTwins()
			b.set("exchangeonline.delegate-form", "name")
			set, err := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"alex","GrantSendOnBehalfTo":["adele.vance@contoso.com","bianca.pisani@contoso.com"]}`)
			alex, err2 := b.cmdlet("Mailbox", "Get-Mailbox", `{"Identity":"alex"}`)
			twin, err3 := b.cmdlet("Mailbox", "Get-Mailbox", `{"Identity":"bianca.pisani@contoso.com"}`)
			return all(answers(set, err, http.StatusOK), answers(alex, err2, http.StatusOK, `"GrantSendOnBehalfTo":["Adele Vance","Adele Vance_aa40332fcb"]`),
				answers(twin, err3, http.StatusOK, `"DisplayName":"Adele Vance"`, `"Name":"Adele Vance_aa40332fcb"`))
		},
	},
	{
		name: "a deleted delegate stays in the list as a GUID, and a removal that names it may fail as a whole", source: "saifm365lab.com, Automating GrantSendOnBehalfTo at Scale; microsoft/Microsoft365DSC, issue 6769 (effect of the write not stated)",
		client: func(b *env) error {
			b.reseedOrphan()
			err := b.exchange().ChangeSendOnBehalf(b.Context(), "alex@contoso.com", nil, []string{"delegate1@contoso.com", deletedDelegate})
			kept := b.now("alex", deletedDelegate, "delegate1@contoso.com")
			alone := b.exchange().ChangeSendOnBehalf(b.Context(), "alex@contoso.com", nil, []string{"delegate1@contoso.com"})
			return all(wants(err, failure.NotFound), kept, alone, b.now("alex", deletedDelegate))
		},
		vendor: func(b *env) error {
			b.reseedOrphan()
			remove := `{"Identity":"alex","GrantSendOnBehalfTo":{"@odata.type":"#Exchange.GenericHashTable","remove":["delegate1@contoso.com","` + deletedDelegate + `"]}}`
			failed, err := b.cmdlet("Mailbox", "Set-Mailbox", remove)
			kept := b.now("alex", deletedDelegate, "delegate1@contoso.com")
			b.set("exchangeonline.orphan-write", "remove")
			done, err2 := b.cmdlet("Mailbox", "Set-Mailbox", remove)
			return all(err, that(failed.status >= http.StatusBadRequest, "status %d", failed.status), kept, answers(done, err2, http.StatusOK), b.now("alex"))
		},
	},
	mayPass("a change that is not carried over to Entra ID may pass, for a while", "microsoft/Partner-Center-PowerShell, issue 409 (status not stated)", "not-in-entra", http.StatusBadRequest, 15*time.Minute),
	mayPass("a refusal in plain text is not the API's: it may pass", "GreyCorbel/ExoHelper, Invoke-ExoCommand (status not stated)", "concurrency-text", http.StatusForbidden, time.Hour),
	mayPass("a transient exception with a 500 may pass", "MicrosoftDocs/office-docs-powershell, issue 10972", "ad-transient", http.StatusInternalServerError, 0),
	{
		name: "a mailbox that is kept on premises is refused, with the place where to change it", source: "notes 5 (inferred: InvalidOperationException)",
		client: func(b *env) error {
			b.apply("on-premises", "exchangeonline", "Set-Mailbox")
			err := b.exchange().ChangeSendOnBehalf(b.Context(), "alex@contoso.com", []string{"delegate3@contoso.com"}, nil)
			return all(wants(err, failure.Refused), that(strings.Contains(failure.Of(err).Text, "on premises"), "%v names no place", err))
		},
	},
	{
		name: "one bad answer of the token endpoint says nothing of the command, and the next call asks again", source: "RFC 6749 section 5.2 (other answers are not described)",
		client: func(b *env) error {
			var errs []error
			for status, body := range map[int]string{
				400: `{"error":"invalid_request"}`, 403: "<html>", 404: `{"error":{"code":"NotFound"}}`, 405: "", 409: `{"error":"conflict"}`, 307: "", 200: "<html>",
			} {
				b.failToken(status, body)
				c := b.exchange()
				_, first := c.GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
				_, second := c.GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
				if err := all(wants(first, failure.Unavailable), second); err != nil {
					errs = append(errs, fmt.Errorf("%d: %w", status, err))
				}
			}
			return all(errs...)
		},
		vendor: func(b *env) error {
			b.failToken(http.StatusConflict, `{"error":"conflict"}`)
			failed, err := b.askToken()
			after, err2 := b.askToken()
			return all(answers(failed, err, http.StatusConflict), answers(after, err2, http.StatusOK))
		},
	},
	{
		name: "refused credentials rest for some seconds", source: "RFC 6749 section 5.2 (invalid_client); client duties",
		client: func(b *env) error {
			c := b.exchange(application("1", "wrong"))
			_, first := c.GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
			_, second := c.GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
			asked, _ := b.calls("token")
			rest := failure.Of(second).RetryAfter
			return all(refusedAs(first, failure.Unavailable, "invalid_client"), refusedAs(second, failure.Unavailable, "invalid_client"),
				same("token requests", asked, 1), that(rest > 0 && rest <= 10*time.Second, "again in %s", rest))
		},
	},
}
