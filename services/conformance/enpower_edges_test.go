package conformance

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/enpower"
)

// pages has the client ask a vendor that answers with these.
func (b *env) pages(list ...string) func(*enpower.Config) {
	url := b.answering(list)
	return func(c *enpower.Config) { c.BaseURL = url }
}

// enpowerEdges are the edge cases and client's duties that the pages give.
var enpowerEdges = []fact{
	{
		name: "nextLink \"\", null and missing all mean the end", source: "Retrieve User or Shared Mailbox Details, Responses: nextLink; notes 6",
		client: func(b *env) error {
			var errs []error
			for _, end := range []string{`,"nextLink":""`, `,"nextLink":null`, ``} {
				seen, err := b.walk(b.power(b.pages(`{"mailboxes":[{"id":"1"}],"totalCount":99`+end+`}`)), enpower.Query{}, nil)
				errs = append(errs, err, same("pages", seen.pages, 1))
			}
			return all(errs...)
		},
		vendor: func(b *env) error {
			l, err := b.list("?top=1000")
			return answers(l, err, http.StatusOK, `"nextLink":""`)
		},
	},
	{
		name: "Id is id; a contact may be null, \"\", \"N/A\" or an object, assignees a list too; limits a number, text or Unlimited", source: "Retrieve User or Shared Mailbox Details, Mailbox Details (Id; sample: id); notes 8",
		client: func(b *env) error {
			seen, err := b.walk(b.power(b.pages(`{"mailboxes":[
				{"Id":"1","primaryContact":"N/A","recipientLimits":500,"phaseAssignees":[{"displayName":"A"},{"displayName":"B"}]},
				{"id":"2","primaryContact":{"email":"c@contoso.com"},"recipientLimits":"Unlimited","phaseAssignees":{"displayName":"C"},"renewProfile":{"name":"P","id":"p"}},
				{"id":"3","primaryContact":"","recipientLimits":null,"phaseAssignees":null,"metadata":[{"metadataType":4,"value":{"a":[1]},"name":"Cost centre"}]}],"nextLink":""}`)), enpower.Query{}, nil)
			one, two, three := seen.byID["1"], seen.byID["2"], seen.byID["3"]
			if err != nil || two.PrimaryContact == nil || two.RenewProfile == nil || len(three.Metadata) != 1 {
				return all(err, fmt.Errorf("%+v", seen.byID))
			}
			return all(same("contact 1", one.PrimaryContact == nil, true), same("contact 2", two.PrimaryContact.Email, "c@contoso.com"), same("contact 3", three.PrimaryContact == nil, true),
				same("limits 1", one.RecipientLimits, "500"), same("limits 2", two.RecipientLimits, "Unlimited"), same("limits 3", three.RecipientLimits, ""),
				same("assignees 1", len(one.PhaseAssignees), 2), same("assignees 2", len(two.PhaseAssignees), 1), same("assignees 3", len(three.PhaseAssignees), 0), same("metadata", string(three.Metadata[0].Value), `{"a":[1]}`))
		},
	},
	{
		name: "a field that the vendor adds is kept", source: "repository page (three fields within a year); notes 8",
		client: func(b *env) error {
			seen, err := b.walk(b.power(b.pages(`{"mailboxes":[{"id":"1","brandNew":{"x":1}}],"nextLink":"","also":"new"}`)), enpower.Query{}, nil)
			return all(err, same("what has no field", string(seen.byID["1"].Extra["brandNew"]), `{"x":1}`))
		},
	},
	{
		name: "tenant restricts the list, by id or by domain", source: "Retrieve User or Shared Mailbox Details, Query Parameters: tenant",
		client: func(b *env) error {
			byID, err := b.walk(b.power(), enpower.Query{Tenant: tenantID}, nil)
			byDomain, err2 := b.walk(b.power(), enpower.Query{Tenant: "contoso.onmicrosoft.com"}, nil)
			return all(err, err2, that(len(byID.byID) > 20, "%d mailboxes", len(byID.byID)), same("by domain", len(byDomain.byID), len(byID.byID)))
		},
		vendor: func(b *env) error {
			b.set("enpower.tenant-form", "id")
			byID, err := listed(b.list("?tenant=" + tenantID))
			byDomain, err2 := listed(b.list("?tenant=contoso.onmicrosoft.com"))
			return all(err, err2, that(len(byID.Mailboxes) > 20, "%d mailboxes", len(byID.Mailboxes)), same("by domain", len(byDomain.Mailboxes), 0))
		},
	},
	{
		name: "the API takes GET only, and passes unknown parameters over", source: "Use AvePoint Graph API; notes 3", reads: true,
		client: func(b *env) error {
			sent := &recordingTransport{}
			bounds := b.http()
			bounds.RoundTripper = sent
			err := b.power(func(c *enpower.Config) { c.HTTP = bounds }).Mailboxes(b.Context(), enpower.Query{PageSize: 1}, func(enpower.Page) error { return errEnough })
			return all(that(errors.Is(err, errEnough), "%v", err), that(len(sent.calls) == 2 && strings.HasPrefix(sent.calls[1], "GET ") && strings.HasSuffix(sent.calls[1], "/smp/exchange/mailboxes?top=1"), "%v", sent.calls))
		},
		vendor: func(b *env) error {
			token, err := b.token("/enpower-identity/connect/token", powerClient, powerSecret, "enpower.data.read.all")
			post, err2 := b.send(http.MethodPost, "/enpower/smp/exchange/mailboxes", "{}", "Authorization", "Bearer "+token)
			unknown, err3 := b.list("?resourceMailboxType=1&skip=5")
			return all(err, answers(post, err2, http.StatusMethodNotAllowed), answers(unknown, err3, http.StatusOK, `"mailboxes":[`))
		},
	},
	{
		name: "an answer that is no list is an error, never an empty inventory", source: "Retrieve User or Shared Mailbox Details, Responses: mailboxes",
		client: func(b *env) error {
			var errs []error
			for _, body := range []string{`{}`, `[]`, `{"mailboxes":"N/A"}`, `{"mailboxes":null,"totalCount":0,"nextLink":""}`, ``} {
				_, err := b.walk(b.power(b.pages(body)), enpower.Query{}, nil)
				errs = append(errs, wants(err, failure.Internal))
			}
			return all(errs...)
		},
		vendor: func(b *env) error {
			a, err := b.list("?tenant=nowhere.example")
			return answers(a, err, http.StatusOK, `"mailboxes":[]`)
		},
	},
}
