package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/schemas"
)

// lands says where the example of each type of result must be seen.
var lands = map[string][2]string{
	event.TypeObjectCreated:       {"directory_objects", `name, guid, object_type, correlation_id`},
	event.TypeBusinessUserCreated: {"mailboxes", `directory_object, plan_name, primary_smtp_address, proxy_addresses, quota_kb, disable_pop`},
	event.TypeMailboxCreated:      {"mailboxes", `directory_object, alias, primary_smtp_address, database_name, quota_kb`},
	event.TypeDelegationChanged:   {"delegates", `mailbox, delegate, source`},
	event.TypeFolderChanged:       {"folder_permissions", `mailbox, folder, delegate, access_rights, sharing_permission_flags`},
	event.TypeFolderObserved:      {"folder_permissions", `mailbox, folder, delegate, access_rights, sharing_permission_flags, source`},
	event.TypeDelegationObserved:  {"delegates", `mailbox, mailbox_address, delegate, delegate_display_name, source`},
	event.TypeSyncCompleted:       {"inventory_syncs", `mailbox_type, seen, new, changed, returned, unchanged, known, absent, missing, suspect, duplicates, unidentified, pages, duration`},
}

func TestEveryResultExampleLands(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.follow(b.db, quick)
	for i, eventType := range event.ResultTypes() {
		if eventType == event.TypeMailboxObserved || eventType == event.TypeMailboxMissing || eventType == event.TypeDelegationDrift || eventType == event.TypeDeadLetter {
			continue // on streams of their own
		}
		id := fmt.Sprintf("command-%d", i)
		e := of(example(t, eventType), "/test", id)
		// it was read before the example of a change was stored
		if eventType == event.TypeDelegationObserved {
			e = with(t, e, map[string]any{"readAt": nil})
		}
		sequence := b.result(e)
		state, _ := event.StateOf(e)
		b.await(fmt.Sprintf(`{"state": %q, "subject": %q, "attempts": 1, "command_id": %q, "result_type": %q}`,
			state, e.Subject(), id, map[bool]string{true: eventType}[state == event.StateSucceeded]),
			"SELECT state, subject, attempts, command_id, result_type FROM mailwright_views.operations WHERE operation_id = $1", event.OperationID("contoso", "/test", id))
		b.await(fmt.Sprintf(`{"type": %q, "state": %q, "sequence": %d, "operation_id": %q}`, eventType, state, sequence, event.OperationID("contoso", "/test", id)),
			"SELECT type, state, sequence, operation_id FROM mailwright_views.operation_events WHERE sequence = $1", sequence)
		at, ok := lands[eventType]
		if !ok && state == event.StateSucceeded && !onlyInOperations(eventType) {
			t.Errorf("%s: say in lands which view shows what it tells, or in onlyInOperations that none does", eventType)
		}
		if ok {
			b.await(wanted[eventType], "SELECT "+at[1]+" FROM mailwright_views."+at[0]+" WHERE operation_id = $1", event.OperationID("contoso", "/test", id))
		}
	}
	b.await("", "SELECT * FROM mailwright_views.projection_errors")
}

// TestOperationsHaveTheWarningsAboutTheirCommand beside those of the vendor.
func TestOperationsHaveTheWarningsAboutTheirCommand(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.follow(b.db, quick)
	e := of(example(t, event.TypeObjectCreated), "/test", "1")
	var data event.ObjectCreatedData
	if err := e.DataAs(&data); err != nil {
		t.Fatal(err)
	}
	data.Operation.Warnings = []event.Warning{{Source: "key", Text: "not the recommended one"}}
	data.Warnings = []event.Warning{{Source: "rule", Text: "no licence"}}
	b.result(with(t, e, map[string]any{"operation": data.Operation, "warnings": data.Warnings}))
	b.await(`{"warnings": [{"text": "not the recommended one", "source": "key"}, {"text": "no licence", "source": "rule"}]}`,
		"SELECT warnings FROM mailwright_views.operations WHERE operation_id = $1", event.OperationID("contoso", "/test", "1"))
}

// onlyInOperations reports whether a success tells nothing beside that of its operation.
func onlyInOperations(eventType string) bool {
	return eventType == event.TypeCancelCompleted || eventType == event.PlannedType(event.DomainOf(eventType))
}

var wanted = map[string]string{
	event.TypeObjectCreated:       `{"guid": "7a4267ce-d354-44e7-8bd6-c681f1284a41", "name": "CN=John Smith,OU=My Organizational Unit,DC=example,DC=com", "object_type": "user", "correlation_id": "TICKET-4711"}`,
	event.TypeBusinessUserCreated: `{"quota_kb": 20000, "plan_name": "BaseMail", "disable_pop": false, "proxy_addresses": ["admin@alpineskihouse.com"], "directory_object": "LDAP://cn=admin@alpineskihouse.com,OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=Com", "primary_smtp_address": "admin@alpineskihouse.com"}`,
	event.TypeMailboxCreated:      `{"alias": "jsmith", "quota_kb": null, "database_name": "Mailbox Database 3", "directory_object": "CN=John Smith,CN=Users,DC=example,DC=com", "primary_smtp_address": "jsmith@example.com"}`,
	event.TypeDelegationChanged: `{"source": "set", "mailbox": "alex@contoso.com", "delegate": "delegate1@contoso.com"}
{"source": "set", "mailbox": "alex@contoso.com", "delegate": "delegate2@contoso.com"}
{"source": "set", "mailbox": "alex@contoso.com", "delegate": "delegate3@contoso.com"}
{"source": "set", "mailbox": "alex@contoso.com", "delegate": "delegate4@contoso.com"}`,
	event.TypeDelegationObserved: `{"source": "observed", "mailbox": "alex", "delegate": "delegate1@contoso.com", "mailbox_address": "alex@contoso.com", "delegate_display_name": "Delegate One"}`,
	event.TypeFolderChanged:      `{"folder": "Calendar", "mailbox": "alex@contoso.com", "delegate": "delegate1@contoso.com", "access_rights": ["Editor"], "sharing_permission_flags": ["Delegate"]}`,
	event.TypeFolderObserved: `{"folder": "Calendar", "source": "observed", "mailbox": "alex@contoso.com", "delegate": "Default", "access_rights": ["AvailabilityOnly"], "sharing_permission_flags": []}
{"folder": "Calendar", "source": "observed", "mailbox": "alex@contoso.com", "delegate": "Anonymous", "access_rights": ["None"], "sharing_permission_flags": []}
{"folder": "Calendar", "source": "observed", "mailbox": "alex@contoso.com", "delegate": "delegate1@contoso.com", "access_rights": ["Editor"], "sharing_permission_flags": ["Delegate"]}`,
	event.TypeSyncCompleted: `{"new": 12, "seen": 2531, "known": 2524, "pages": 26, "absent": 6, "changed": 203, "missing": 6, "suspect": false, "duration": "00:00:09.1", "returned": 1, "unchanged": 2315, "duplicates": 0, "mailbox_type": "all", "unidentified": 0}`,
}

func TestEveryCommandExampleIsReceived(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.follow(b.db, quick)
	for _, eventType := range event.CommandTypes() {
		e := example(t, eventType)
		b.event(topology.CommandSubject("contoso", domainOf(eventType), "some key"), e)
		b.await(fmt.Sprintf(`{"key": "some%%20key", "state": "received", "domain": %q, "tenant": "contoso", "command_id": %q, "fingerprint": %q, "command_type": %q}`,
			domainOf(eventType), e.ID(), event.Fingerprint(e), eventType),
			"SELECT domain, command_id, command_type, key, state, tenant, fingerprint FROM mailwright_views.operations WHERE operation_id = $1", event.OperationID("contoso", e.Source(), e.ID()))
	}
	all, err := rows(t.Context(), b.db, "SELECT * FROM mailwright_views.operations")
	if err != nil || strings.Contains(all, "Pass1Word") || strings.Contains(all, "MyPassword1!") {
		t.Errorf("a password is in the rows, or %v", err)
	}
	b.await(fmt.Sprintf(`{"operations": %d}`, len(event.CommandTypes())), "SELECT sum(operations) AS operations FROM mailwright_views.operations_by_state WHERE state = 'received'")
}

// TestEveryCommandThatIsAnsweredHasARow: a command with faults is rejected, and so it has a row
// from the start; a dry run has one beside the command of the same source and id. The tenant is the
// subject's.
func TestEveryCommandThatIsAnsweredHasARow(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.follow(b.db, quick)
	publish := func(id, data string, attributes map[string]string) (nats.Header, []byte) {
		t.Helper()
		h := nats.Header{"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {"/test"}, "ce-type": {event.TypeDelegationRead}}
		for name, value := range attributes {
			h["ce-"+name] = []string{value}
		}
		b.publish(topology.CommandSubject("contoso", event.DomainDelegation, "k"), h, []byte(data))
		return h, []byte(data)
	}
	for id, c := range map[string]struct {
		data       string
		attributes map[string]string
		operation  string
	}{
		"sound":          {`{}`, nil, event.OperationID("contoso", "/test", "sound")},
		"dry run":        {`{}`, map[string]string{"dryrun": "true"}, event.PlanID("contoso", "/test", "dry run")},
		"another tenant": {`{}`, map[string]string{"tenantid": "fabrikam"}, event.OperationID("contoso", "/test", "another tenant")},
		"attribute":      {`{}`, map[string]string{"notbefore": "tomorrow", "time": "noon"}, event.OperationID("contoso", "/test", "attribute")},
		"data":           {`{"mailbox":7}`, nil, event.OperationID("contoso", "/test", "data")},
		"no JSON":        {`<mailbox/>`, nil, event.OperationID("contoso", "/test", "no JSON")},
		"type":           {`{}`, map[string]string{"type": "com.example.post.v1"}, event.OperationID("contoso", "/test", "type")},
	} {
		command, err := event.ReadCommand(publish(id, c.data, c.attributes))
		if err != nil {
			t.Fatal(err)
		}
		b.await(fmt.Sprintf(`{"state": "received", "tenant": "contoso", "command_id": %q, "fingerprint": %q}`, id, command.Fingerprint()),
			"SELECT state, tenant, command_id, fingerprint FROM mailwright_views.operations WHERE operation_id = $1", c.operation)
	}
	publish("", `{}`, nil) // of no id
	b.caughtUp(b.db)
	b.await(`{"operations": 7}`, "SELECT count(*) AS operations FROM mailwright_views.operations")
	b.await("", "SELECT * FROM mailwright_views.projection_errors")
}

func TestADeadLetterHasARow(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.follow(b.db, quick)
	e := example(t, event.TypeDeadLetter)
	b.event(topology.DeadSubject("contoso", event.DomainMailbox, event.Extension(e, event.AttrOperationID)), e)
	b.await(`{"shape": null, "domain": "mailbox", "reason": "idempotency-conflict", "tenant": "contoso", "trace_parent": "", "correlation_id": "TICKET-4711"}`,
		"SELECT tenant, domain, reason, correlation_id, trace_parent, shape FROM mailwright_views.dead_letters WHERE excerpt IS NOT NULL")
	faulty := event.DeadLetter{
		Reason: "unreadable", Stream: topology.StreamCommands, Sequence: 9, Subject: "mailwright.cmd.contoso.mailbox.k", TraceParent: "00-1-2-01",
		Shape: &event.Shape{Kind: "object", Size: 41, Members: []string{"alias"}},
	}
	raw, err := json.Marshal(faulty)
	if err != nil {
		t.Fatal(err)
	}
	b.publish(topology.DeadSubject("contoso", event.DomainMailbox, ""), nil, raw)
	b.publish(topology.DeadSubject("", event.DomainMailbox, ""), nil, []byte("{}"))
	b.await(`{"shape": {"kind": "object", "size": 41, "members": ["alias"]}, "tenant": "contoso", "trace_parent": "00-1-2-01"}
{"shape": null, "tenant": "", "trace_parent": ""}`, "SELECT tenant, trace_parent, shape FROM mailwright_views.dead_letters WHERE excerpt IS NULL ORDER BY sequence")
}

func TestLifeOfAnOperation(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.follow(b.db, quick)
	command := example(t, event.TypeDelegationChange)
	id := event.OperationID("contoso", command.Source(), command.ID())
	state := func(want string) {
		t.Helper()
		b.await(want, `SELECT state, failure_kind, failing_since IS NOT NULL AS failing, next_attempt_at IS NOT NULL AS due,
			first_event_at = (SELECT min(stored_at) FROM mailwright_views.operation_events e WHERE e.operation_id = o.operation_id) AS first,
			finished_at = updated_at AS finished, jsonb_array_length(faults) AS faults, result
			FROM mailwright_views.operations o WHERE operation_id = $1`, id)
	}
	b.event(topology.CommandSubject("contoso", event.DomainDelegation, "alex"), command)
	state(`{"due": false, "first": null, "state": "received", "faults": 0, "result": null, "failing": false, "finished": null, "failure_kind": ""}`)
	b.result(example(t, event.WaitingType(event.DomainDelegation)))
	state(`{"due": true, "first": true, "state": "waiting", "faults": 0, "result": null, "failing": true, "finished": null, "failure_kind": "throttled"}`)
	b.await(`{"failure_vendor": "exchangeonline"}`, "SELECT failure_vendor FROM mailwright_views.waiting WHERE operation_id = $1", id)
	b.result(example(t, event.UnknownType(event.DomainDelegation)))
	b.await(`{"state": "unknown", "failure_kind": "unknown"}`, "SELECT state, failure_kind FROM mailwright_views.operations WHERE operation_id = $1", id)
	b.result(example(t, event.TypeDelegationChanged))
	state(`{"due": false, "first": true, "state": "succeeded", "faults": 0, "result": {"added": ["delegate3@contoso.com", "delegate4@contoso.com"], "changed": true, "mailbox": "alex@contoso.com", "removed": [], "delegates": ["delegate1@contoso.com", "delegate2@contoso.com", "delegate3@contoso.com", "delegate4@contoso.com"]}, "failing": false, "finished": true, "failure_kind": ""}`)
	// The same command once more changes nothing: its operation has events.
	b.event(topology.CommandSubject("contoso", event.DomainDelegation, "alex"), command)
	b.caughtUp(b.db)
	b.await(`{"state": "succeeded"}`, "SELECT state FROM mailwright_views.operations WHERE operation_id = $1", id)
	b.await("", "SELECT * FROM mailwright_views.waiting")

	b.result(of(example(t, event.RejectedType(event.DomainMailbox)), "/test", "rejected"))
	b.result(of(example(t, event.FailedType(event.DomainMailbox)), "/test", "failed"))
	b.await(`{"state": "failed", "operations": 1, "failure_code": "HTTP 403", "failure_kind": "refused"}
{"state": "rejected", "operations": 1, "failure_code": "", "failure_kind": "invalid"}`,
		"SELECT state, failure_kind, failure_code, operations FROM mailwright_views.failures_by_reason ORDER BY state")
}

// observedMailbox is one mailbox of delegation.observed.
func observedMailbox(identity, upn string, delegates ...string) map[string]any {
	list := []map[string]any{}
	for _, d := range delegates {
		list = append(list, map[string]any{"address": d})
	}
	return map[string]any{"identity": identity, "userPrincipalName": upn, "delegates": list}
}

func TestDelegatesAreReplacedMailboxByMailbox(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.follow(b.db, quick)
	n := 0
	observe := func(complete bool, mailboxes ...map[string]any) {
		n++
		e := of(example(t, event.TypeDelegationObserved), "/test", fmt.Sprint(n))
		b.result(with(t, e, map[string]any{"complete": complete, "readAt": nil, "mailboxes": mailboxes}))
	}
	change := func(mailbox string, delegates ...string) {
		n++
		e := of(example(t, event.TypeDelegationChanged), "/test", fmt.Sprint(n))
		b.result(with(t, e, map[string]any{"mailbox": mailbox, "delegates": append([]string{}, delegates...)}))
	}
	expect := func(want ...string) {
		t.Helper()
		lines := make([]string, len(want))
		for i, w := range want {
			lines[i] = fmt.Sprintf(`{"row": %q}`, w)
		}
		b.await(strings.Join(lines, "\n"), `SELECT m.identity || ': ' || coalesce(string_agg(d.delegate, ' ' ORDER BY d.delegate), 'none') || ' ' || m.source AS row
			FROM mailwright_views.delegated_mailboxes m LEFT JOIN mailwright_views.delegates d ON d.mailbox = m.identity AND d.tenant = m.tenant
			GROUP BY m.identity, m.source ORDER BY 1`)
	}
	observe(false, observedMailbox("alex", "alex@contoso.com", "d1@x", "D2@x", "d2@X"), observedMailbox("bea", "bea@contoso.com", "d1@x"))
	expect("alex: d1@x d2@X observed", "bea: d1@x observed")
	b.await(`{"state": "received"}`, "SELECT state FROM mailwright_views.operations")
	observe(true, observedMailbox("cleo", "cleo@contoso.com"))
	expect("alex: d1@x d2@X observed", "bea: d1@x observed", "cleo: none observed")

	change("ALEX@Contoso.com", "d3@x") // another name, in other case
	expect("alex: d3@x set", "bea: d1@x observed", "cleo: none observed")
	change("Alex") // the list is empty now
	expect("alex: none set", "bea: d1@x observed", "cleo: none observed")
	change("dora", "d1@x") // not observed yet
	change("dora@contoso.com", "d2@x")
	expect("alex: none set", "bea: d1@x observed", "cleo: none observed", "dora: d1@x set", "dora@contoso.com: d2@x set")
	observe(true, observedMailbox("Dora", "Dora@contoso.com", "d4@x")) // now known to be one
	expect("Dora: d4@x observed", "alex: none set", "bea: d1@x observed", "cleo: none observed")
	observe(true, observedMailbox("bea2", "bea@contoso.com", "d9@x"), observedMailbox("bea", "bea.new@contoso.com")) // a name changed hands
	expect("Dora: d4@x observed", "alex: none set", "bea2: d9@x observed", "bea: none observed", "cleo: none observed")
	b.await("", "SELECT * FROM mailwright_views.projection_errors")
}

func TestEveryFactOfAMailboxHasAColumn(t *testing.T) {
	t.Parallel()
	raw, err := schemas.FS.ReadFile("common.json")
	if err != nil {
		t.Fatal(err)
	}
	var common struct {
		Defs map[string]struct {
			Properties map[string]struct{ Type, Format string }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(raw, &common); err != nil {
		t.Fatal(err)
	}
	// A value of each fact's type, and how it must come out of its column.
	facts, columns, want := map[string]any{}, []string{}, map[string]any{}
	for name, p := range common.Defs["mailboxFacts"].Properties {
		column := snake(name)
		var value any
		switch {
		case name == "id":
			column, value = "mailbox_id", "mailbox-1"
		case p.Format == "date-time":
			value = "2024-10-02T06:27:18Z"
		case p.Type == "boolean":
			value = true
		case p.Type == "integer":
			value = 4_000_000_000 + len(columns) // does not fit into 32 bits
		case p.Type == "array":
			value = []any{map[string]any{"name": name}}
		case p.Type == "string":
			value = "text of " + name
		default:
			value = map[string]any{"id": name}
		}
		facts[name], columns, want[column] = value, append(columns, column), value
		if p.Format == "date-time" {
			want[column] = "2024-10-02T06:27:18+00:00"
		}
	}
	slices.Sort(columns)
	b := newEnv(t)
	b.follow(b.db, quick)
	b.event(topology.MailboxSubject("contoso", "mailbox-1"), with(t, example(t, event.TypeMailboxObserved), map[string]any{"mailbox": facts}))
	b.caughtUp(b.db)
	got, err := rows(t.Context(), b.db, "SELECT "+strings.Join(columns, ", ")+" FROM mailwright_views.mailbox_inventory")
	if err != nil {
		t.Fatal(err)
	}
	var compared map[string]any
	if err := json.Unmarshal([]byte(got), &compared); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	for column, value := range want {
		if a, b := fmt.Sprint(compared[column]), fmt.Sprint(value); a != b && fmt.Sprintf("%.0f", compared[column]) != b {
			t.Errorf("%s: %s, want %s", column, a, b)
		}
	}
}

func snake(name string) string {
	var out strings.Builder
	for _, r := range name {
		if 'A' <= r && r <= 'Z' {
			out.WriteByte('_')
		}
		out.WriteRune(r)
	}
	return strings.ToLower(out.String())
}

func TestInventoryFollowsEachMailbox(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.follow(b.db, quick)
	const id = "f78625f8-3ec3-4665-835a-3502484af738"
	expect := func(want string) {
		t.Helper()
		b.await(want, `SELECT tenant, mailbox_id, display_name, status, archive_name, change, previous, observed_at, changed_at, first_observed_at, missing_since
			FROM mailwright_views.mailbox_inventory ORDER BY tenant`)
	}
	b.event(topology.MailboxSubject("contoso", id), example(t, event.TypeMailboxObserved))
	seen := `{"change": "changed", "status": "Archived", "tenant": "contoso", "previous": {"itemCount": 41, "archiveStatus": null}, "changed_at": "2026-11-21T09:00:01+00:00", "mailbox_id": "` + id +
		`", "observed_at": "2026-11-21T09:00:01+00:00", "archive_name": null, "display_name": "Sample mailbox", "missing_since": null, "first_observed_at": "2026-10-02T09:00:01+00:00"}`
	expect(seen)
	b.event(topology.MailboxSubject("contoso", id), example(t, event.TypeMailboxMissing))
	expect(`{"change": "missing", "status": "Archived", "tenant": "contoso", "previous": null, "changed_at": "2026-11-21T09:00:01+00:00", "mailbox_id": "` + id +
		`", "observed_at": "2026-11-20T09:00:01+00:00", "archive_name": null, "display_name": "Sample mailbox", "missing_since": "2026-11-21T09:00:01+00:00", "first_observed_at": "2026-10-02T09:00:01+00:00"}`)
	b.event(topology.MailboxSubject("contoso", id), example(t, event.TypeMailboxObserved))
	expect(seen)
	b.event(topology.MailboxSubject("fabrikam", id), example(t, event.TypeMailboxObserved))
	expect(seen + "\n" + strings.Replace(seen, "contoso", "fabrikam", 1))
}

func TestDeadLettersMirrorTheirStream(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.follow(b.db, quick)
	expect := func(want string) {
		t.Helper()
		b.await(want, `SELECT sequence, domain, operation_id, reason, origin_stream, origin_sequence, size, excerpt, given_up_at FROM mailwright_views.dead_letters ORDER BY sequence`)
	}
	b.publish(topology.DeadSubject("contoso", event.DomainMailbox, ""), nil, []byte(`{"reason": "unreadable", "stream": "COMMANDS", "sequence": 7, "size": 12, "time": "2026-11-21T09:00:00Z", "excerpt": {"a": "b\u0000"}}`))
	b.publish(topology.DeadSubject("contoso", event.DomainInventory, "abc"), nil, []byte(`{"reason": "max-deliveries"}`))
	b.publish(topology.DeadSubject("contoso", event.DomainDirectory, "abd"), nil, []byte("\xffnot JSON"))
	first := `{"size": 12, "domain": "mailbox", "reason": "unreadable", "excerpt": {"a": "b�"}, "sequence": 1, "given_up_at": "2026-11-21T09:00:00+00:00", "operation_id": "", "origin_stream": "COMMANDS", "origin_sequence": 7}`
	second := `{"size": null, "domain": "inventory", "reason": "max-deliveries", "excerpt": null, "sequence": 2, "given_up_at": null, "operation_id": "abc", "origin_stream": "", "origin_sequence": null}`
	third := `{"size": null, "domain": "directory", "reason": "unreadable", "excerpt": null, "sequence": 3, "given_up_at": null, "operation_id": "abd", "origin_stream": "", "origin_sequence": null}`
	expect(first + "\n" + second + "\n" + third)
	stream, err := b.js.Stream(t.Context(), topology.StreamDead)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	expect(first + "\n" + third)
	if err := stream.DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	expect(third)
}

func TestWhatCanNotBeAppliedIsNotedAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	good := func(id string) { b.result(of(example(t, event.TypeMailboxCreated), "/test", id)) }
	const secretText = "Hunter2Hunter2"
	raw := func(eventType, operation, data string) uint64 {
		h := nats.Header{}
		for name, value := range map[string]string{"specversion": "1.0", "id": "x", "source": "/x", "type": eventType} {
			h["ce-"+name] = []string{value}
		}
		return b.publish(topology.EventSubject("contoso", domainOf(eventType), operation), h, []byte(data))
	}
	good("first")
	bad := []uint64{
		b.publish(topology.EventSubject("contoso", event.DomainMailbox, "a"), nil, []byte(secretText)),
		b.publish(topology.EventSubject("contoso", event.DomainMailbox, "a"), nil, nil),
		raw(event.TypeMailboxCreated, "b", `{"operation": "`+secretText+`"}`),
		raw(event.TypeMailboxCreated, "b", secretText),
		raw(event.TypeMailboxCreated, "b", `{"operation": {"receivedAt": "`+secretText+`"}}`),
		raw(event.TypeMailboxCreated, "b", `{"operation": {"attempt": 99999999999999999999}}`),
		raw("io.mailwright.mailbox.exploded.v9", "c", `{}`),
		raw(event.TypeMailboxCreated, "d", `{"x": `+strings.Repeat("[", 20000)+strings.Repeat("]", 20000)+`}`), // deeper than Go's decoder goes
		raw(event.TypeMailboxCreated, "d", `{"x": 1e999999}`),                                                  // larger than jsonb's numbers
	}
	// Odd, but no reason to lose it.
	raw(event.TypeMailboxCreated, "odd", `{"operation": {"attempt": 2, "key": "nul \u0000, half \ud800, \\u0000"}, "mailbox": {"directoryObject": "CN=`+"\xff"+`"}, "k\u0000": 1}`)
	b.publish("mailwright.mailbox.x.y", nil, []byte(secretText))
	b.publish("mailwright.cmd.contoso.mailbox.k", nil, []byte(secretText))
	good("last")
	b.follow(b.db, quick) // all in one batch
	b.caughtUp(b.db)
	b.await(`{"state": "succeeded", "command_id": "first"}`+"\n"+`{"state": "succeeded", "command_id": "last"}`,
		"SELECT state, command_id FROM mailwright_views.operations WHERE command_id <> '' ORDER BY 2")
	b.await(`{"key": "nul �, half �, \\u0000", "attempts": 2}`, "SELECT key, attempts FROM mailwright_views.operations WHERE operation_id = 'odd'")
	b.await(`{"directory_object": "CN=�"}`, "SELECT directory_object FROM mailwright_views.mailboxes WHERE operation_id = 'odd'")
	var noted []string
	for _, sequence := range bad {
		noted = append(noted, fmt.Sprintf(`{"sequence": %d}`, sequence))
	}
	b.await(strings.Join(noted, "\n"), "SELECT sequence FROM mailwright_views.projection_errors WHERE projection = 'operations' ORDER BY 1")
	b.await(`{"count": 1}`, "SELECT count(*) FROM mailwright_views.projection_errors WHERE projection = 'mailbox_inventory'")
	if all := b.dump(b.db); strings.Contains(all, secretText) {
		t.Errorf("an unreadable message is quoted:\n%s", all)
	}
}
