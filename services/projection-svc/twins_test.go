package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// TestTwinsAreTwo: mailboxes and people that share a name keep rows of their own.
func TestTwinsAreTwo(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	_, stop := b.follow(b.db, quick)
	n := 0
	twin := func(number string, delegates ...string) map[string]any {
		m := observedMailbox("Alex Meier", "alex"+number+"@contoso.com", delegates...)
		m["displayName"], m["externalDirectoryObjectId"] = "Alex Meier", "ID-"+number
		return m
	}
	observe := func(mailboxes ...map[string]any) {
		n++
		e := of(example(t, event.TypeDelegationObserved), "/test", fmt.Sprint(n))
		b.result(with(t, e, map[string]any{"readAt": nil, "mailboxes": mailboxes}))
	}
	change := func(mailbox string, delegates ...string) {
		n++
		e := of(example(t, event.TypeDelegationChanged), "/test", fmt.Sprint(n))
		b.result(with(t, e, map[string]any{"mailbox": mailbox, "delegates": delegates}))
	}
	expect := func(want ...string) {
		t.Helper()
		lines := make([]string, len(want))
		for i, w := range want {
			lines[i] = fmt.Sprintf(`{"row": %q}`, w)
		}
		b.await(strings.Join(lines, "\n"), `SELECT m.identity || ' ' || m.mailbox_key || ': ' || string_agg(d.delegate, ' ' ORDER BY d.delegate) || ' ' || m.source AS row
			FROM mailwright_views.delegated_mailboxes m JOIN mailwright_views.delegates d USING (tenant, mailbox_key)
			GROUP BY m.identity, m.mailbox_key, m.source ORDER BY m.mailbox_key`)
	}
	observe(twin("1", "d1@x"), twin("2", "d2@x"))
	expect("Alex Meier id-1: d1@x observed", "Alex Meier id-2: d2@x observed")
	observe(twin("2", "d3@x")) // alone, and in another batch
	expect("Alex Meier id-1: d1@x observed", "Alex Meier id-2: d3@x observed")
	change("alex1@contoso.com", "d4@x")
	expect("Alex Meier id-1: d4@x set", "Alex Meier id-2: d3@x observed")
	observe(twin("2", "d3@x"), twin("1", "d5@x"))
	expect("Alex Meier id-1: d5@x observed", "Alex Meier id-2: d3@x observed")
	b.await(`{"kind": "missing", "delegate": "d4@x", "mailbox_key": "id-1"}
{"kind": "unexpected", "delegate": "d5@x", "mailbox_key": "id-1"}`, "SELECT mailbox_key, kind, delegate FROM mailwright_views.delegation_drift ORDER BY delegate")

	b.result(with(t, of(example(t, event.TypeFolderObserved), "/test", "folder"), map[string]any{"permissions": []any{
		map[string]any{"user": "Alex Meier", "accessRights": []string{"Editor"}}, map[string]any{"user": "Alex Meier", "accessRights": []string{"Reviewer"}},
	}}))
	b.await(`{"delegate": "Alex Meier", "access_rights": ["Editor"]}
{"delegate": "Alex Meier", "access_rights": ["Reviewer"]}`, "SELECT delegate, access_rights FROM mailwright_views.folder_permissions ORDER BY access_rights::text")

	for _, id := range []string{"1", "2"} {
		b.event(topology.MailboxSubject("contoso", "t/"+id), with(t, example(t, event.TypeMailboxObserved), map[string]any{
			"mailbox": map[string]any{"id": id, "tenantId": "t", "displayName": "Alex Meier", "alias": "alex", "name": "alex"},
		}))
	}
	b.await(`{"mailbox_id": "1"}`+"\n"+`{"mailbox_id": "2"}`, "SELECT mailbox_id FROM mailwright_views.mailbox_inventory WHERE lower(display_name) = 'alex meier' ORDER BY 1")
	b.await("", "SELECT * FROM mailwright_views.projection_errors")
	stop()
	b.equal(b.verify())
}
