package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// random gives a text of n bytes that Postgres cannot compress.
func random(t *testing.T, n int) string {
	t.Helper()
	raw := make([]byte, n)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(raw)[:n]
}

// TestLongTextsHaveTheirRows sends the longest texts that a command may have, and longer ones of
// vendors: no index refuses them.
func TestLongTextsHaveTheirRows(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	_, stop := b.follow(b.db, quick)
	const found = `SELECT state, command_id = $2 AND command_source = $3 AND key = $4 AND correlation_id = $5 AS whole
		FROM mailwright_views.operations WHERE operation_id = $1`
	for name, c := range map[string]struct{ id, source, key string }{
		"id and source": {random(t, 1000), "/" + random(t, 1000), "k"},
		"key":           {"key", "/test", random(t, 2900)},
		"all":           {random(t, 1024), "/" + random(t, 1023), random(t, 3000)},
	} {
		id, ticket := event.OperationID("contoso", c.source, c.id), random(t, 512)
		e := example(t, event.TypeDelegationRead)
		e.SetID(c.id)
		e.SetSource(c.source)
		e.SetExtension(event.AttrCorrelationID, ticket)
		b.event(topology.CommandSubject("contoso", event.DomainDelegation, c.key), e)
		b.await(`{"state": "received", "whole": true}`, found, id, c.id, c.source, c.key, ticket)
		r := of(example(t, event.TypeDelegationObserved), c.source, c.id)
		r.SetExtension(event.AttrCorrelationID, ticket)
		operation := map[string]any{
			"commandType": event.TypeDelegationRead, "key": c.key, "receivedAt": "2026-11-21T09:00:00Z", "attempt": 1,
			"fingerprint": strings.Repeat("0", 64),
		}
		b.result(with(t, r, map[string]any{"operation": operation}))
		b.await(`{"state": "succeeded", "whole": true}`, found, id, c.id, c.source, c.key, ticket)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	long := random(t, 4000)
	b.result(with(t, of(example(t, event.TypeObjectCreated), "/test", "object"), map[string]any{
		"object": map[string]any{"dn": "CN=" + long, "guid": "g", "objectType": "user"},
	}))
	b.result(with(t, of(example(t, event.TypeMailboxCreated), "/test", "mailbox"), map[string]any{
		"mailbox": map[string]any{"directoryObject": "CN=" + long, "alias": long, "primarySmtpAddress": long},
	}))
	b.result(with(t, of(example(t, event.FailedType(event.DomainMailbox)), "/test", "failed"), map[string]any{
		"failure": map[string]any{"kind": "refused", "vendor": "adaxes", "code": long, "text": "no"},
	}))
	b.result(with(t, of(example(t, event.TypeDelegationObserved), "/test", "delegates"), map[string]any{
		"readAt": nil, "mailboxes": []any{observedMailbox(long+"1", long+"2", long+"3")},
	}))
	b.result(with(t, of(example(t, event.TypeFolderObserved), "/test", "folder"), map[string]any{
		"mailbox": long, "folder": long, "permissions": []any{map[string]any{"user": long, "accessRights": []string{"Editor"}}},
	}))
	b.event(topology.MailboxSubject("contoso", random(t, 3500)), with(t, example(t, event.TypeMailboxObserved), map[string]any{"mailbox": map[string]any{
		"id": long, "displayName": long, "emailAddress": long, "principalName": long, "alias": long, "externalForwardingAddressDomain": long,
		"externalEmailForwardingEnabled": true, "litigationHoldEnabled": true,
	}}))
	b.caughtUp(b.db)
	b.await("", "SELECT projection, reason FROM mailwright_views.projection_errors")
	b.await(`{"folders": 1, "objects": 1, "delegates": 1, "inventory": 1, "mailboxes": 1}`, `SELECT
		(SELECT count(*) FROM mailwright_views.directory_objects WHERE operation_id <> '') AS objects,
		(SELECT count(*) FROM mailwright_views.mailboxes) AS mailboxes,
		(SELECT count(*) FROM mailwright_views.delegates WHERE length(delegate) <= 600 AND delegate LIKE '%sha256:%') AS delegates,
		(SELECT count(*) FROM mailwright_views.folder_permissions) AS folders,
		(SELECT count(*) FROM mailwright_views.mailbox_inventory) AS inventory`)
	stop()
	b.equal(b.verify())
}

// TestAFloodOfInventedNamesDoesNotGrowTheCounts: the tenant and the type of a rejected command are
// what its publisher wrote.
func TestAFloodOfInventedNamesDoesNotGrowTheCounts(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	_, stop := b.follow(b.db, quick)
	n := 0
	end := func(eventType, tenant, commandType string) {
		n++
		e := of(example(t, eventType), "/test", fmt.Sprint(n))
		e.SetExtension(event.AttrTenantID, tenant)
		operation := map[string]any{
			"commandType": commandType, "key": "k", "receivedAt": "2026-11-21T09:00:00Z", "attempt": 1, "fingerprint": strings.Repeat("0", 64),
		}
		b.result(with(t, e, map[string]any{"operation": operation}))
	}
	rejected := event.RejectedType(event.DomainMailbox)
	end(rejected, "contoso", event.TypeMailboxCreate) // before anything is known of contoso
	for i := range 20 {
		end(rejected, fmt.Sprint("invented", i), fmt.Sprint("io.example.invented", i))
	}
	end(event.TypeMailboxCreated, "contoso", event.TypeMailboxCreate)
	end(rejected, "contoso", event.TypeMailboxCreate)
	end(event.FailedType(event.DomainMailbox), "fabrikam", event.TypeMailboxCreate) // the vendor was called
	for i := range 20 {
		end(rejected, fmt.Sprint("invented", i), event.TypeMailboxCreate)
	}
	end(rejected, "fabrikam", event.TypeMailboxCreate)
	end(event.TypeCancelCompleted, "invented", event.TypeOperationCancel)
	want := []string{
		`{"row": "directory  operation.cancel succeeded 1"}`, `{"row": "mailbox   rejected 20"}`, `{"row": "mailbox  create rejected 21"}`,
		`{"row": "mailbox contoso create rejected 1"}`, `{"row": "mailbox contoso create succeeded 1"}`,
		`{"row": "mailbox fabrikam create failed 1"}`, `{"row": "mailbox fabrikam create rejected 1"}`,
	}
	b.await(strings.Join(want, "\n"), `SELECT concat_ws(' ', domain, tenant, regexp_replace(command_type, '^io.mailwright.(mailbox.)?(.*).v1$', '\2'), state, sum(operations)) AS row
		FROM mailwright_views.operations_by_hour GROUP BY domain, tenant, command_type, state
		ORDER BY concat_ws(' ', domain, tenant, command_type, state) COLLATE "C"`)
	b.await(`{"count": 6}`, "SELECT count(*) FROM mailwright_views.operation_durations WHERE domain = 'mailbox'")
	stop()
	b.equal(b.verify())
}

// TestWhoWaitsForAKeyFollowsItsHead: the time at which it is tried again is that of the operation
// that holds the key.
func TestWhoWaitsForAKeyFollowsItsHead(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.follow(b.db, quick)
	const past, soon = "2026-11-21T09:00:10Z", "2036-11-21T09:30:00Z"
	waits := func(id, key, received, reason, next string) {
		operation := map[string]any{
			"commandType": event.TypeMailboxCreate, "key": key, "receivedAt": received, "attempt": 1, "fingerprint": strings.Repeat("0", 64),
		}
		b.result(with(t, of(example(t, event.WaitingType(event.DomainMailbox)), "/test", id), map[string]any{"operation": operation, "reason": reason, "nextAttemptAt": next}))
	}
	long := random(t, 2900)
	waits("later", "sales", "2026-11-21T08:00:00Z", event.WaitScheduled, "2036-12-01T00:00:00Z") // not due: it holds nobody up
	waits("head", "sales", "2026-11-21T09:00:00Z", event.WaitFailure, past)
	waits("second", "sales", "2026-11-21T09:00:01Z", event.WaitBlockedByKey, past)
	waits("third", "sales", "2026-11-21T09:00:02Z", event.WaitBlockedByKey, past)
	waits("other", long, "2026-11-21T09:00:00Z", event.WaitFailure, soon)
	waits("behind", long, "2026-11-21T09:00:02Z", event.WaitBlockedByKey, past)
	waits("head", "sales", "2026-11-21T09:00:00Z", event.WaitFailure, soon) // tried again meanwhile
	b.await(`{"id": "behind", "next": "2036-11-21", "blocked_by": "other"}
{"id": "head", "next": "2036-11-21", "blocked_by": null}
{"id": "later", "next": "2036-12-01", "blocked_by": null}
{"id": "other", "next": "2036-11-21", "blocked_by": null}
{"id": "second", "next": "2036-11-21", "blocked_by": "head"}
{"id": "third", "next": "2036-11-21", "blocked_by": "head"}`, `SELECT o.command_id AS id, w.next_attempt_at::date AS next, h.command_id AS blocked_by
		FROM mailwright_views.waiting w JOIN mailwright_views.operations o USING (operation_id)
		LEFT JOIN mailwright_views.operations h ON h.operation_id = w.blocked_by ORDER BY o.command_id`)
	b.result(of(example(t, event.TypeMailboxCreated), "/test", "head"))
	b.await(`{"id": "third", "blocked_by": "second"}`, `SELECT o.command_id AS id, h.command_id AS blocked_by
		FROM mailwright_views.waiting w JOIN mailwright_views.operations o USING (operation_id)
		JOIN mailwright_views.operations h ON h.operation_id = w.blocked_by WHERE w.key = 'sales' ORDER BY 1`)
}
