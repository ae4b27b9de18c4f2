package main

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/projector"
	"github.com/mailwright/mailwright/services/internal/replay"
)

// TestAuditTellsWhatEachActWasAndHowItEnded, also where its events come in two batches, and where
// another program adds to an act what it must not.
func TestAuditTellsWhatEachActWasAndHowItEnded(t *testing.T) {
	t.Parallel()
	single := quick
	single.MaxBatch = 1
	for name, tuning := range map[string]projector.Tuning{"one batch": quick, "a batch each": single} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newEnv(t)
			intended, completed := example(t, event.TypeAuditIntended), example(t, event.TypeAuditCompleted)
			b.event(topology.AuditSubject("operator", "whole"), intended)
			b.event(topology.AuditSubject("operator", "whole"), completed)
			b.event(topology.AuditSubject("operator", "whole"), with(t, completed.Clone(), map[string]any{"result": "failed", "done": 0}))
			b.event(topology.AuditSubject("operator", "whole"), with(t, intended.Clone(), map[string]any{"reason": "another", "count": 9}))
			b.event(topology.AuditSubject("operator", "killed"), intended)
			b.event(topology.AuditSubject("streams", "whole"), with(t, intended.Clone(), map[string]any{"reason": "a\u0000b"}))
			b.event(topology.AuditSubject("operator", "alone"), completed)
			b.publish("mailwright.audit.operator.broken", nil, []byte("no event"))
			b.event(topology.AuditSubject("operator", "drift"), example(t, event.TypeDelegationDrift))
			b.follow(b.db, tuning)
			b.await(`{"done": 2, "act_id": "alone", "reason": "", "result": "done", "intended": null, "nats_user": "operator", "operations": []}
{"done": null, "act_id": "killed", "reason": "CHG-4711: published anew", "result": "unknown", "intended": 2, "nats_user": "operator", "operations": ["fuom5ln32nj4obpm5vearkc6kh"]}
{"done": 2, "act_id": "whole", "reason": "CHG-4711: published anew", "result": "done", "intended": 2, "nats_user": "operator", "operations": ["fuom5ln32nj4obpm5vearkc6kh"]}
{"done": null, "act_id": "whole", "reason": "a�b", "result": "unknown", "intended": 2, "nats_user": "streams", "operations": ["fuom5ln32nj4obpm5vearkc6kh"]}`,
				"SELECT nats_user, act_id, reason, result, intended, done, operations FROM mailwright_views.audit ORDER BY 1, 2")
			b.await(`{"action": "dead.discard", "source": "https://mailwright.io/mailwright", "auth_id": "alex@admin-1", "options": ["all"], "targets": ["stream DEAD"], "tenants": ["contoso"], "auth_type": "user", "connected_as": "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4", "dead_letters": [17, 18]}`,
				"SELECT auth_type, auth_id, source, connected_as, action, options, tenants, dead_letters, targets FROM mailwright_views.audit WHERE nats_user = 'operator' AND act_id = 'whole'")
			b.await("{\"sequence\": 8}\n{\"sequence\": 9}", "SELECT sequence FROM mailwright_views.projection_errors WHERE projection = 'audit' ORDER BY 1")
			b.equal(b.verify(), "audit", "projection_errors")
			report, err := replay.Rebuild(t.Context(), b.replayer(), true)
			if err != nil {
				t.Fatal(err)
			}
			b.equal(report, "audit", "projection_errors")
		})
	}
}

// TestActsThatAuditKeepsNoLongerLeaveTheTable: the age of the stream is that of the rows.
func TestActsThatAuditKeepsNoLongerLeaveTheTable(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	stream, err := b.js.Stream(t.Context(), topology.StreamAudit)
	if err != nil {
		t.Fatal(err)
	}
	intended := example(t, event.TypeAuditIntended)
	b.event(topology.AuditSubject("operator", "old"), intended)
	b.event(topology.AuditSubject("operator", "new"), intended)
	b.follow(b.db, quick)
	b.await("{\"act_id\": \"old\"}\n{\"act_id\": \"new\"}", "SELECT act_id FROM mailwright.audit ORDER BY last_sequence")
	config := stream.CachedInfo().Config
	config.MaxMsgs, config.Discard = 1, jetstream.DiscardOld
	if _, err := b.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	b.await(`{"act_id": "new"}`, "SELECT act_id FROM mailwright.audit")
	b.equal(b.verify(), "audit")
}

// TestOperationsTellWhoIsBehindThem, before their first event and after it.
func TestOperationsTellWhoIsBehindThem(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.follow(b.db, quick)
	c := example(t, event.TypeMailboxCreate)
	c.SetSource("/test")
	c.SetID("1")
	event.Extend(&c, event.Attribute{Name: event.AttrAuthType, Value: "app_user"}, event.Attribute{Name: event.AttrAuthID, Value: "dana@contoso.com"}, event.Attribute{Name: event.AttrAuthClaims, Value: `{"roles":["hr"]}`})
	b.event(topology.CommandSubject("contoso", event.DomainMailbox, "jsmith"), c)
	const query = "SELECT state, auth_type, auth_id, auth_claims FROM mailwright_views.operations"
	b.await(`{"state": "received", "auth_id": "dana@contoso.com", "auth_type": "app_user", "auth_claims": "{\"roles\":[\"hr\"]}"}`, query)
	e := of(example(t, event.TypeMailboxCreated), "/test", "1")
	event.Extend(&e, event.Principal(c)...)
	b.result(e)
	b.await(`{"state": "succeeded", "auth_id": "dana@contoso.com", "auth_type": "app_user", "auth_claims": "{\"roles\":[\"hr\"]}"}`, query)
	b.equal(b.verify(), "operations")
}
