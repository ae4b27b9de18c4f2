package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/permissions"
)

// TestEraseAPerson fills every stream and table with two persons, kills the erasure of one at each
// of its steps, and lets it end. Nothing about that one is left in any stream or row, everything
// about the other is, the rows equal a replay, and nobody is told or created anew.
func TestEraseAPerson(t *testing.T) {
	t.Parallel()
	s := start(t, testkit.WithBackend(testkit.Embedded))
	const person, other = "adele.vance@contoso.com", "delegate1@contoso.com"
	s.aboutTwoPersons(person, other)
	before := s.naming(other)
	if n := s.naming(person); n.messages < 8 || n.rows < 5 || before.messages < 3 || before.rows < 2 {
		t.Fatalf("%+v name the one, %+v the other", n, before)
	}

	open := s.openOperation(person)
	out, err := s.erase("--match", person, "--reason", "T-1", "--yes")
	if err == nil || !strings.Contains(out, open) || !strings.Contains(out, "nothing was erased") {
		t.Fatalf("with an open operation: %v\n%s", err, out)
	}
	s.endOpen(open)
	out, err = s.erase("--match", person, "--dry-run", "--json")
	if err != nil || !strings.Contains(out, open) {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, point := range []failpoint.Point{
		failpoint.ErasurePlanned, failpoint.EraseCommand, failpoint.EraseCommand + ":2", failpoint.EraseLetter, failpoint.EraseSchedule,
		failpoint.EraseRecord, failpoint.EraseRecord + ":2", failpoint.EraseObservation, failpoint.EraseRows, failpoint.ErasedRows, failpoint.ErasureEnded,
	} {
		out, err := s.erase("--match", person, "--reason", "T-1", "--yes", "--crash-at", string(point))
		name, _, _ := strings.Cut(string(point), ":")
		if point == failpoint.EraseRecord {
			if out, err := s.erase("--match", other, "--reason", "T-2", "--yes"); err == nil || !strings.Contains(out, `whose reason is "T-1", has not ended`) {
				t.Errorf("another erasure takes the place of one that has not ended: %v\n%s", err, out)
			}
		}
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Exited() || !strings.Contains(out, failpoint.KilledAt+name) {
			t.Errorf("at %s: %v\n%s", point, err, out)
		}
	}
	if out, err := s.erase("--match", person, "--reason", "T-1", "--yes"); err != nil || !strings.Contains(out, "found nothing") {
		t.Errorf("once more: %v\n%s", err, out)
	}
	if n := s.naming(person); n.messages+n.rows > 0 {
		t.Errorf("%+v are left", n)
	}
	if out, err := s.cli("projection", "verify"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if after := s.naming(other); after.messages == 0 || after.rows == 0 {
		t.Errorf("of the other there were %+v, and are %+v", before, after)
	}
	records, err := s.rows(t.Context(), `SELECT reason || ' ' || (ended_at IS NOT NULL)::text || ' ' || (events > 2)::text || ' ' || (commands > 2)::text FROM mailwright_views.erasures`)
	if err != nil || !slices.Equal(records, []string{"T-1 true true true"}) {
		t.Errorf("records: %v, %v", records, err)
	}
	if out, err := s.erase("--match", other, "--reason", "T-2", "--yes"); err != nil || !strings.Contains(out, "erased ") {
		t.Errorf("the other: %v\n%s", err, out)
	}
	if n := s.naming(other); n.messages+n.rows > 0 {
		t.Errorf("%+v of the other are left", n)
	}
}

// aboutTwoPersons has commands of both carried out, and the rows made.
func (s *env) aboutTwoPersons(person, other string) {
	s.Helper()
	change := func(id, mailbox, delegate string) command {
		return command{id, event.TypeDelegationChange, event.Token(mailbox), fmt.Sprintf(`{"mailbox":%q,"add":[%q]}`, mailbox, delegate)}
	}
	for _, c := range []command{
		change("of-person", person, "delegate2@contoso.com"), change("again", person, "delegate3@contoso.com"), change("to-person", "delegate4@contoso.com", person),
		change("of-other", other, "delegate2@contoso.com"),
		{"inventory", event.TypeInventorySync, "inventory", `{}`},
	} {
		c.key = strings.NewReplacer("%40", "@", "%2E", ".").Replace(c.key)
		m := c.message()
		m.Subject = topology.CommandSubject("contoso", event.DomainOf(c.eventType), c.key)
		s.mustPublish(m)
		s.outcome(event.DomainOf(c.eventType), c.id)
	}
	// a schedule whose key has nothing that waits, as a replica leaves that was killed
	idle := topology.Address{Tenant: "contoso", Domain: event.DomainDelegation, Key: event.Token(person)}
	s.mustPublish(&nats.Msg{Subject: topology.ScheduleSubject(idle), Header: nats.Header{
		"Nats-Schedule":        {"@at " + time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano)},
		"Nats-Schedule-Target": {topology.WakeSubject(idle)},
	}})
	conflict := change("of-person", person, "delegate4@contoso.com").message()
	s.mustPublish(conflict)
	s.eventually(func(ctx context.Context) string {
		n, err := s.rows(ctx, `SELECT count(*)::text FROM mailwright_views.dead_letters UNION ALL SELECT count(*)::text FROM mailwright_views.mailbox_inventory WHERE email_address = $1`, person)
		if err != nil || len(n) != 2 || n[0] != "1" || n[1] != "1" {
			return fmt.Sprintf("a dead letter and an observation: %v, %v", n, err)
		}
		return ""
	})
}

// openOperation publishes a command that is not due, and returns its operation.
func (s *env) openOperation(person string) string {
	s.Helper()
	m := command{"later", event.TypeDelegationChange, "later", fmt.Sprintf(`{"mailbox":%q,"add":["delegate4@contoso.com"]}`, person)}.message()
	m.Header["ce-notbefore"] = []string{time.Now().Add(20 * 24 * time.Hour).UTC().Format(time.RFC3339)}
	s.mustPublish(m)
	id := event.OperationID("contoso", source, "later")
	s.eventually(func(ctx context.Context) string {
		found, err := s.rows(ctx, `SELECT operation_id FROM mailwright_views.waiting WHERE operation_id = $1`, id)
		if err != nil || len(found) == 0 {
			return fmt.Sprintf("an operation that waits: %v", err)
		}
		return ""
	})
	return id
}

// endOpen cancels it.
func (s *env) endOpen(operationID string) {
	s.Helper()
	m := command{"cancel", event.TypeOperationCancel, "later", fmt.Sprintf(`{"operationId":%q}`, operationID)}.in(event.DomainDelegation)
	s.mustPublish(m)
	s.outcome(event.DomainDelegation, "later")
	s.outcome(event.DomainDelegation, "cancel")
}

// erase runs mailwright erase, as the user whose permissions it needs.
func (s *env) erase(args ...string) (string, error) {
	s.Helper()
	seed, err := s.SeedFile(permissions.Erasure)
	if err != nil {
		s.Fatal(err)
	}
	return s.cli(append([]string{"erase", "--nats-nkey", seed}, args...)...)
}

// cli runs mailwright against the system, as an administrator.
func (s *env) cli(args ...string) (string, error) {
	cmd := exec.CommandContext(s.Context(), failpointProgram(s.T, "mailwright"), args...)
	cmd.Env = append(os.Environ(), "NATS_URL="+s.Endpoints.NATS, "DATABASE_URL="+s.Endpoints.Postgres)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// found counts what names a person.
type found struct{ messages, rows int }

// naming searches every message of every stream, and every row of every table but the record.
func (s *env) naming(person string) (n found) {
	s.Helper()
	forms := []string{person, event.Token(person)}
	names := func(text string) bool {
		return slices.ContainsFunc(forms, func(form string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(form)) })
	}
	for stream := range s.js.ListStreams(s.Context()).Info() {
		for sequence := max(1, stream.State.FirstSeq); sequence <= stream.State.LastSeq; sequence++ {
			m, err := s.stream(stream.Config.Name).GetMsg(s.Context(), sequence)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if err != nil {
				s.Fatal(err)
			}
			header, err := json.Marshal(m.Header)
			if err != nil {
				s.Fatal(err)
			}
			if names(m.Subject + string(header) + string(m.Data)) {
				n.messages++
			}
		}
	}
	tables, err := s.rows(s.Context(), `SELECT table_schema || '.' || table_name FROM information_schema.tables WHERE table_schema LIKE 'mailwright%' AND table_type = 'BASE TABLE'`)
	if err != nil || len(tables) < 8 {
		s.Fatalf("tables: %v, %v", tables, err)
	}
	for _, table := range tables {
		rows, err := s.rows(s.Context(), `SELECT t::text FROM `+table+` t`)
		if err != nil {
			s.Fatal(err)
		}
		for _, row := range rows {
			if names(row) {
				n.rows++
			}
		}
	}
	return n
}
