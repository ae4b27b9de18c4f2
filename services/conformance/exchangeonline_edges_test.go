package conformance

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
)

// impostor has the client ask a vendor that answers with these pages.
func (b *env) impostor(pages ...string) func(*exchangeonline.Config) {
	url := b.answering(pages)
	return func(c *exchangeonline.Config) { c.BaseURL = url }
}

// exchangeEdges are the edge cases and client's duties that the pages give.
var exchangeEdges = []fact{
	{
		name: "a name that several recipients have is an error", source: "notes 8.4 (ManagementObjectAmbiguousException)",
		client: func(b *env) error {
			b.reseed(`name: "Adele Vance"`, `name: "Alex Wilber"`)
			_, err := b.exchange().GetMailbox(b.Context(), "Alex Wilber", exchangeonline.GetOptions{})
			return wants(err, failure.Invalid)
		},
		vendor: func(b *env) error {
			b.reseed(`name: "Adele Vance"`, `name: "Alex Wilber"`)
			a, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"Identity":"Alex Wilber"}`)
			return answers(a, err, http.StatusBadRequest, "ManagementObjectAmbiguousException")
		},
	},
	{
		name: "one delegate still travels as an array", source: "Mailbox endpoint, Set-Mailbox, Examples 3 and 4; notes 9",
		client: func(b *env) error {
			b.set("exchangeonline.hash-table-bare-string", false)
			err := b.exchange().ChangeSendOnBehalf(b.Context(), "adele.vance@contoso.com", []string{"delegate3@contoso.com"}, nil)
			err2 := b.exchange().SetSendOnBehalf(b.Context(), "bianca.pisani@contoso.com", []string{"delegate3@contoso.com"})
			return all(err, err2, b.now("adele.vance", "delegate3@contoso.com"), b.now("bianca.pisani", "delegate3@contoso.com"))
		},
		vendor: func(b *env) error {
			b.set("exchangeonline.hash-table-bare-string", false)
			bare, err := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"adele.vance","GrantSendOnBehalfTo":{"@odata.type":"#Exchange.GenericHashTable","add":"delegate3@contoso.com"}}`)
			array, err2 := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"adele.vance","GrantSendOnBehalfTo":{"@odata.type":"#Exchange.GenericHashTable","add":["delegate3@contoso.com"]}}`)
			return all(answers(bare, err, http.StatusBadRequest), answers(array, err2, http.StatusOK), b.now("adele.vance", "delegate3@contoso.com"))
		},
	},
	{
		name: "adding and removing go in one call", source: "Mailbox endpoint, Example 4; notes 8.5",
		client: func(b *env) error {
			err := b.exchange().ChangeSendOnBehalf(b.Context(), "alex@contoso.com", []string{"delegate3@contoso.com"}, []string{"delegate1@contoso.com"})
			received, _ := b.calls("Set-Mailbox")
			return all(err, b.now("alex", "admin@contoso.com", "delegate3@contoso.com"), same("calls", received, 1))
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"alex","GrantSendOnBehalfTo":{"@odata.type":"#Exchange.GenericHashTable","add":["delegate3@contoso.com"],"remove":["delegate1@contoso.com"]}}`)
			return all(answers(a, err, http.StatusOK), b.now("alex", "admin@contoso.com", "delegate3@contoso.com"))
		},
	},
	{
		name: "other parameters of Set-Mailbox are not available", source: "Mailbox endpoint, Set-Mailbox, Parameters",
		vendor: func(b *env) error {
			a, err := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"alex","HiddenFromAddressListsEnabled":true}`)
			return answers(a, err, http.StatusBadRequest, "AmbiguousParameterSetException")
		},
	},
	{
		name: "the annotations of the samples are taken: Collection(String) and GenericHashTable", source: "Mailbox endpoint, Examples 3 and 4 (@odata.type)",
		client: func(b *env) error {
			sent := &recordingTransport{}
			bounds := b.http()
			bounds.RoundTripper = sent
			c := b.exchange(func(c *exchangeonline.Config) { c.HTTP = bounds })
			err := c.SetSendOnBehalf(b.Context(), "adele.vance@contoso.com", []string{"delegate1@contoso.com"})
			list := sent.body
			err2 := c.ChangeSendOnBehalf(b.Context(), "adele.vance@contoso.com", []string{"delegate2@contoso.com"}, nil)
			return all(err, err2, that(strings.Contains(list, `"GrantSendOnBehalfTo@odata.type":"#Collection(String)"`), "%s", list), that(strings.Contains(sent.body, `"@odata.type":"#Exchange.GenericHashTable"`), "%s", sent.body))
		},
		vendor: func(b *env) error {
			list, err := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"adele.vance","GrantSendOnBehalfTo@odata.type":"#Collection(String)","GrantSendOnBehalfTo":["delegate1@contoso.com"]}`)
			table, err2 := b.cmdlet("Mailbox", "Set-Mailbox", `{"Identity":"adele.vance","GrantSendOnBehalfTo":{"@odata.type":"#Exchange.GenericHashTable","remove":["delegate1@contoso.com"],"add":["delegate2@contoso.com"]}}`)
			return all(answers(list, err, http.StatusOK), answers(table, err2, http.StatusOK), b.now("adele.vance", "delegate2@contoso.com"))
		},
	},
	{
		name: "an error names no server, whatever the vendor's text does", source: "notes 5 and 9 (error bodies leak server names)", reads: true,
		client: func(b *env) error {
			_, err := b.exchange().GetMailbox(b.Context(), "nobody@contoso.com", exchangeonline.GetOptions{})
			f := failure.Of(err)
			return all(wants(err, failure.NotFound), that(f.Code != "" && !strings.Contains(strings.ToUpper(f.Error()), "PROD") && !strings.Contains(f.Error(), "on '"), "%v", f))
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"Identity":"nobody@contoso.com"}`)
			return answers(a, err, http.StatusNotFound, "ManagementObjectNotFoundException", "couldn't be found on '")
		},
	},
	{
		name: "a list that stays cut off is an error, never a short list", source: "notes 6 (warning that asks for a larger ResultSize)",
		client: func(b *env) error {
			const cut = `{"@adminapi.warnings":["There are more results available than are currently displayed. To view them, increase the value for the ResultSize parameter."],"value":[{"Identity":"a","PrimarySmtpAddress":"a@contoso.com"}]}`
			_, _, err := b.listed(b.exchange(b.impostor(cut)), 1, nil)
			return wants(err, failure.Internal)
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("Mailbox", "Get-Mailbox", `{"ResultSize":1}`)
			return answers(a, err, http.StatusOK, `"@odata.nextLink"`, "ResultSize parameter")
		},
	},
	{
		name: "an empty list is a success, with or without a body", source: "notes 4 (empty value)",
		client: func(b *env) error {
			var errs []error
			for _, body := range []string{`{"value":[]}`, `[]`, ``} {
				found, _, err := b.listed(b.exchange(b.impostor(body)), 0, nil)
				errs = append(errs, err, same("mailboxes in "+body, len(found), 0))
			}
			return all(errs...)
		},
	},
	{
		name: "every entry of a folder is told, those of Default and Anonymous too", source: "MailboxFolderPermission endpoint, Get-MailboxFolderPermission",
		client: func(b *env) error {
			calendar := exchangeonline.Folder{Mailbox: "adele.vance@contoso.com", Path: "Calendar"}
			err := b.exchange().AddFolderPermission(b.Context(), calendar, "delegate1@contoso.com", []string{"Editor"}, []string{"Delegate"})
			list, err2 := b.exchange().FolderPermissions(b.Context(), calendar)
			_, missing := b.exchange().FolderPermissions(b.Context(), exchangeonline.Folder{Mailbox: "adele.vance@contoso.com", Path: "Kalender"})
			if len(list) != 3 {
				return all(err, err2, fmt.Errorf("%d entries", len(list)))
			}
			return all(err, err2, same("the first", list[0].User, "Default"), same("the second", list[1].User, "Anonymous"), same("the third", list[2].Address, "delegate1@contoso.com"), wants(missing, failure.NotFound))
		},
		vendor: func(b *env) error {
			a, err := b.cmdlet("MailboxFolderPermission", "Get-MailboxFolderPermission", `{"Identity":"adele.vance@contoso.com:\\Calendar"}`)
			missing, err2 := b.cmdlet("MailboxFolderPermission", "Get-MailboxFolderPermission", `{"Identity":"adele.vance@contoso.com:\\Kalender"}`)
			return all(answers(a, err, http.StatusOK, `"User":"Default"`, `"User":"Anonymous"`), answers(missing, err2, http.StatusNotFound))
		},
	},
	{
		name: "rights and flags are those of the lists", source: "MailboxFolderPermission endpoint, AccessRights and SharingPermissionFlags",
		client: func(b *env) error {
			calendar := exchangeonline.Folder{Mailbox: "alex@contoso.com", Path: "Calendar"}
			right := b.exchange().AddFolderPermission(b.Context(), calendar, "delegate1@contoso.com", []string{"Everything"}, nil)
			flag := b.exchange().AddFolderPermission(b.Context(), calendar, "delegate1@contoso.com", []string{"Editor"}, []string{"All"})
			return all(wants(right, failure.Invalid), wants(flag, failure.Invalid))
		},
		vendor: func(b *env) error {
			right, err := b.cmdlet("MailboxFolderPermission", "Add-MailboxFolderPermission", `{"Identity":"alex:\\Calendar","User":"delegate1@contoso.com","AccessRights":"Everything"}`)
			flag, err2 := b.cmdlet("MailboxFolderPermission", "Add-MailboxFolderPermission", `{"Identity":"alex:\\Calendar","User":"delegate1@contoso.com","AccessRights":"Editor","SharingPermissionFlags":"All"}`)
			return all(answers(right, err, http.StatusBadRequest, "ParameterTransformationException"), answers(flag, err2, http.StatusBadRequest, "ParameterTransformationException"))
		},
	},
	{
		name: "burst of 502: nothing is taken for an answer", source: "notes 7 (503, 504)", faults: "burst",
		client: func(b *env) error {
			var errs []error
			for range 10 {
				_, err := b.exchange().GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
				errs = append(errs, wants(err, failure.Unavailable))
			}
			_, after := b.exchange().GetMailbox(b.Context(), "alex", exchangeonline.GetOptions{})
			return all(append(errs, after)...)
		},
		vendor: func(b *env) error {
			for range 10 {
				a, err := b.cmdlet("Mailbox", "Get-Mailbox", "{}")
				if err := answers(a, err, http.StatusOK); err == nil {
					return errors.New("a call in the burst was answered")
				}
			}
			after, err := b.cmdlet("Mailbox", "Get-Mailbox", "{}")
			return answers(after, err, http.StatusOK)
		},
	},
}
