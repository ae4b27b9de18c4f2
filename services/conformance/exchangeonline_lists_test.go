package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
)

// next asks for the page after an answer to Get-Mailbox.
func (b *env) next(a answer, parameters string) (answer, error) {
	token, err := b.token("/entra/"+tenantID+"/oauth2/v2.0/token", entraClient, entraSecret, "https://outlook.office365.com/.default")
	if err != nil {
		return answer{}, err
	}
	return b.post(token, nextLink(a), "Get-Mailbox", parameters)
}

// nextLink is that of an answer.
func nextLink(a answer) string {
	var envelope struct {
		NextLink string `json:"@odata.nextLink"`
	}
	_ = json.Unmarshal([]byte(a.body), &envelope) // then there is none
	return envelope.NextLink
}

// listed walks all mailboxes and gives how many there were, and on how many pages.
func (b *env) listed(c *exchangeonline.Client, pageSize int, between func()) (mailboxes map[string]int, pages int, err error) {
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

// exchangeLists are the facts about pages, and about the endpoints beside Mailbox.
var exchangeLists = []fact{
	{
		name: "mailboxes are listed in pages", source: "Mailbox endpoint, Get-Mailbox, ResultSize; Pagination", reads: true,
		client: func(b *env) error {
			err := b.exchange().ListMailboxes(b.Context(), exchangeonline.ListOptions{PageSize: 10}, func([]exchangeonline.Mailbox) error { return errEnough })
			return that(err == nil || errors.Is(err, errEnough), "%v", err)
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"ResultSize":10}`)
			return all(answers(a, err, http.StatusOK), same("mailboxes", strings.Count(a.body, `"PrimarySmtpAddress"`), 10), that(nextLink(a) != "", "there is no nextLink"))
		},
	},
	{
		name: "the next page is the same body sent to nextLink", source: "Mailbox endpoint, Pagination",
		client: func(b *env) error {
			found, pages, err := b.listed(b.exchange(), 5, nil)
			asked, _ := b.calls("Get-Mailbox")
			return all(err, once(found), same("pages", pages, 7), same("calls", asked, 7))
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"ResultSize":5}`)
			same, err2 := b.next(a, `{"ResultSize":5}`)
			other, err3 := b.next(a, `{"ResultSize":6}`)
			return all(answers(a, err, http.StatusOK, `"@odata.nextLink"`, `"@adminapi.warnings"`), answers(same, err2, http.StatusOK), answers(other, err3, http.StatusBadRequest))
		},
	},
	{
		name: "where cursors fail the list is read again without a limit", source: "notes 6 (observed)", faults: "cursor-failure",
		client: func(b *env) error {
			found, pages, err := b.listed(b.exchange(), 5, nil)
			asked, _ := b.calls("Get-Mailbox")
			return all(err, once(found), same("pages handed over", pages, 2), same("calls", asked, 3)) // a page, its cursor, and all
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"ResultSize":5}`)
			refused, err2 := b.next(a, `{"ResultSize":5}`)
			whole, err3 := b.cmdlet("Mailbox", "Get-Mailbox", `{"ResultSize":"Unlimited"}`)
			return all(err, answers(refused, err2, http.StatusBadRequest, "Expired or Invalid pagination request"), answers(whole, err3, http.StatusOK), same("nextLink of all", nextLink(whole), ""))
		},
	},
	{
		name: "a cursor lives 30 minutes", source: "notes 6 (observed)",
		client: func(b *env) error {
			found, pages, err := b.listed(b.exchange(), 20, func() { b.advance("31m") })
			asked, _ := b.calls("Get-Mailbox")
			return all(err, once(found), same("pages handed over", pages, 2), same("calls", asked, 3))
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"ResultSize":20}`)
			b.advance("29m")
			alive, err2 := b.next(a, `{"ResultSize":20}`)
			b.advance("2m")
			dead, err3 := b.next(a, `{"ResultSize":20}`)
			return all(err, answers(alive, err2, http.StatusOK), answers(dead, err3, http.StatusBadRequest))
		},
	},
	{
		name: "a token that ends in mid-walk is replaced, and the page asked for again", source: "notes 2; client duties",
		client: func(b *env) error {
			found, pages, err := b.listed(b.exchange(), 5, func() { b.control(http.MethodDelete, "tokens", nil, nil) })
			asked, _ := b.calls("Get-Mailbox")
			tokens, _ := b.calls("token")
			return all(err, once(found), same("calls", asked, 2*pages-1), same("token requests", tokens, pages))
		},
		vendor: func(b *env) error {
			token, err := b.token("/entra/"+tenantID+"/oauth2/v2.0/token", entraClient, entraSecret, "https://outlook.office365.com/.default")
			b.control(http.MethodDelete, "tokens", nil, nil)
			a, err2 := b.cmdlet("Mailbox", "Get-Mailbox", "{}", "Authorization", "Bearer "+token)
			return all(err, answers(a, err2, http.StatusUnauthorized))
		},
	},
	{
		name: "HAZARD: a nextLink to another host gets no credential", source: "notes 6; guarantee G8",
		client: func(b *env) error {
			elsewhere, asked := b.elsewhere()
			_, _, err := b.listed(b.exchange(b.impostor(`{"value":[{"Id":"a"}],"@odata.nextLink":"`+elsewhere+`/adminapi/v2.0/x/Mailbox?$skiptoken=1"}`)), 5, nil)
			return all(wants(err, failure.Internal), same("requests elsewhere", asked.Load(), 0))
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"ResultSize":5}`)
			return all(err, that(strings.HasPrefix(nextLink(a), b.url+"/exchange/adminapi/"), "it leads to %s", nextLink(a)))
		},
	},
	{
		name: "a nextLink that leads back is not followed for ever", source: "notes 6",
		client: func(b *env) error {
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
		vendor: func(b *env) error {
			one, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"ResultSize":5}`)
			two, err2 := b.next(one, `{"ResultSize":5}`)
			return all(err, answers(two, err2, http.StatusOK), that(nextLink(two) != nextLink(one), "it leads back"))
		},
	},
	{
		name: "accepted domains are listed, and one of them is the default", source: "AcceptedDomain endpoint, Response: DomainName, Default", reads: true,
		client: func(b *env) error {
			domains, err := b.exchange().AcceptedDomains(b.Context())
			usual, err2 := b.exchange().DefaultDomain(b.Context())
			return all(err, err2, that(len(domains) > 0, "there is no domain"), that(usual.DomainName != "", "the default domain has no name"))
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("AcceptedDomain", "Get-AcceptedDomain", "{}")
			return all(answers(a, err, http.StatusOK, `"DomainName":"contoso.com"`), same("defaults", strings.Count(a.body, `"Default":true`), 1))
		},
	},
	{
		name: "an accepted domain is read by its name", source: "AcceptedDomain endpoint, Get-AcceptedDomain, Identity", reads: true,
		client: func(b *env) error {
			usual, err := b.exchange().DefaultDomain(b.Context())
			if err != nil {
				return err
			}
			again, err := b.exchange().AcceptedDomain(b.Context(), strings.ToUpper(usual.DomainName))
			_, missing := b.exchange().AcceptedDomain(b.Context(), "mailwright-conformance.invalid")
			return all(err, same("the domain", again.DomainName, usual.DomainName), same("its default", again.Default, true), wants(missing, failure.NotFound))
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("AcceptedDomain", "Get-AcceptedDomain", `{"Identity":"alpineskihouse.net"}`)
			missing, err2 := b.cmdlet("AcceptedDomain", "Get-AcceptedDomain", `{"Identity":"nowhere.example"}`)
			return all(answers(a, err, http.StatusOK, `"DomainName":"alpineskihouse.net"`, `"Default":false`), same("domains", strings.Count(a.body, `"DomainName"`), 1), answers(missing, err2, http.StatusNotFound))
		},
	},
	{
		name: "$select is for mailboxes, accepted domains and group members", source: "AcceptedDomain, DistributionGroupMember and DynamicDistributionGroupMember endpoints, Property selection; the pages of the others have none",
		client: func(b *env) error {
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
		vendor: func(b *env) error {
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
		client: func(b *env) error {
			settings, err := b.exchange().OrganizationConfig(b.Context())
			return all(err, that(len(settings) > 0, "there is no setting"))
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("OrganizationConfig", "Get-OrganizationConfig", "{}")
			return all(answers(a, err, http.StatusOK, `"MailTipsAllTipsEnabled"`), same("nextLink", nextLink(a), ""))
		},
	},
	{
		name: "members of groups are listed, those hidden from address lists too", source: "DistributionGroupMember and DynamicDistributionGroupMember endpoints",
		client: func(b *env) error {
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
		vendor: func(b *env) error {
			management, err := b.cmdlet("DistributionGroupMember", "Get-DistributionGroupMember", `{"Identity":"Management"}`)
			everyone, err2 := b.cmdlet("DynamicDistributionGroupMember", "Get-DynamicDistributionGroupMember", `{"Identity":"everyone@contoso.com"}`)
			other, err3 := b.cmdlet("DistributionGroupMember", "Get-DistributionGroupMember", `{"Identity":"everyone@contoso.com"}`)
			return all(answers(management, err, http.StatusOK), same("management", strings.Count(management.body, `"PrimarySmtpAddress"`), 3), answers(everyone, err2, http.StatusOK, "diego.siciliani@contoso.com"), answers(other, err3, http.StatusNotFound))
		},
	},
	{
		name: "Parameters may be {} or left out, null is neither", source: "OrganizationConfig endpoint; notes 3 (observed)", reads: true,
		client: func(b *env) error {
			sent := &recordingTransport{}
			bounds := b.http()
			bounds.RoundTripper = sent
			_, err := b.exchange(func(c *exchangeonline.Config) { c.HTTP = bounds }).OrganizationConfig(b.Context())
			return all(err, same("the body", sent.body, `{"CmdletInput":{"CmdletName":"Get-OrganizationConfig","Parameters":{}}}`))
		},
		vendor: func(b *env) error {
			null, err := b.cmdlet("OrganizationConfig", "Get-OrganizationConfig", "null")
			empty, err2 := b.cmdlet("OrganizationConfig", "Get-OrganizationConfig", "{}")
			one, err3 := b.cmdlet("OrganizationConfig", "Get-OrganizationConfig", `{"Identity":"contoso"}`)
			token, err4 := b.token("/entra/"+tenantID+"/oauth2/v2.0/token", entraClient, entraSecret, "https://outlook.office365.com/.default")
			none, err5 := b.send(http.MethodPost, "/exchange/adminapi/v2.0/"+tenantID+"/OrganizationConfig", `{"CmdletInput":{"CmdletName":"Get-OrganizationConfig"}}`,
				"Authorization", "Bearer "+token, "Content-Type", "application/json", "X-AnchorMailbox", "AAD-UPN:alex@contoso.com")
			return all(answers(null, err, http.StatusBadRequest), answers(empty, err2, http.StatusOK), answers(one, err3, http.StatusBadRequest), err4, answers(none, err5, http.StatusOK))
		},
	},
}
