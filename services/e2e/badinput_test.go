package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// TestBadInputIsNamedAndTheNextCommandRuns publishes everything wrong that a publisher can get
// wrong, and after each a command that is right on the same key.
func TestBadInputIsNamedAndTheNextCommandRuns(t *testing.T) {
	t.Parallel()
	s := acquire(t)
	const key = "bad"
	raw := func(domain event.Domain, body string, header nats.Header) *nats.Msg {
		return &nats.Msg{Subject: topology.CommandSubject("contoso", domain, key), Header: header, Data: []byte(body)}
	}
	tenant := command{"unknown-tenant", event.TypeDelegationRead, key, `{"mailbox":"alex@contoso.com"}`}.message()
	tenant.Header["ce-tenantid"] = []string{"nobody"}
	cases := []struct {
		name   string
		msg    *nats.Msg
		id     string   // of the operation that is rejected; "" where it ends in DEAD
		expect []string // of every fault's field and problem, or of the dead letter's detail
	}{
		{"unreadable bytes", raw(event.DomainDelegation, "\xff\xfe\x00\x01", nil), "", []string{"body is in UTF-16"}},
		{"empty message", raw(event.DomainDelegation, "", nil), "", []string{"body is empty"}},
		{"header twice", raw(event.DomainDelegation, "{}", nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"a", "b"}, "ce-source": {"/x"}, "ce-type": {event.TypeDelegationRead}}), "", []string{"id"}},
		{"deep JSON", raw(event.DomainDelegation, strings.Repeat("[", 20000), nil), "", []string{"body is not a JSON object"}},
		{"half a megabyte of nothing", raw(event.DomainDelegation, strings.Repeat("x", 1<<19), nil), "", []string{"body is not a JSON object"}},
		{"unknown type", command{"unknown-type", "com.example.nonsense", key, `{}`}.message(), "unknown-type", []string{"type", "is not a type that this system knows"}},
		{"missing field", command{"missing", event.TypeDelegationSet, key, `{"delegates":[]}`}.message(), "missing", []string{"/mailbox", "is missing; it is required"}},
		{"wrong types", command{"wrong-type", event.TypeDelegationSet, key, `{"mailbox":5,"delegates":"x"}`}.message(), "wrong-type", []string{"/mailbox", "must be string", "/delegates", "must be array"}},
		{"unknown objectType", command{"object-type", event.TypeObjectCreate, key, `{"createIn":"OU=x,DC=y","objectType":"robot","properties":[{"propertyName":"cn","propertyType":"String","values":["x"]}]}`}.message(), "object-type", []string{"/objectType", "must be one of organizationalUnit, container, user"}},
		{"alias and template both absent", command{"no-alias", event.TypeMailboxCreate, key, `{"directoryObject":"CN=x,DC=y","mailboxParameters":{}}`}.message(), "no-alias", []string{"/mailboxParameters", "needs one of: alias, aliasTemplate"}},
		{"another tenant", tenant, "unknown-tenant", []string{"tenantid"}},
	}
	cases[5].msg.Subject = topology.CommandSubject("contoso", event.DomainDelegation, key) // its type names no domain
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			domain := domainOf(c.msg.Subject)
			s := *s
			s.T = t
			s.mustPublish(c.msg)
			next := command{fmt.Sprintf("next-%d", i), event.TypeDelegationRead, key, `{"mailbox":"alex@contoso.com"}`}
			s.mustPublish(next.message())
			var got string
			if c.id != "" {
				e := s.outcome(domain, c.id)
				if e.Type() != event.RejectedType(domain) {
					t.Fatalf("ended as %s: %s", e.Type(), e.Data())
				}
				got = string(e.Data())
				s.eventually(func(ctx context.Context) string {
					states, err := s.rows(ctx, `SELECT state || ' ' || coalesce(faults::text, '') FROM mailwright.operations WHERE operation_id = $1`, event.OperationID("contoso", source, c.id))
					if err != nil || len(states) != 1 || !strings.HasPrefix(states[0], "rejected ") {
						return fmt.Sprintf("the row says %v, %v", states, err)
					}
					return ""
				})
			} else {
				s.eventually(func(ctx context.Context) string {
					details, err := s.rows(ctx, `SELECT reason || ': ' || detail FROM mailwright.dead_letters ORDER BY sequence`)
					if err != nil || !slices.ContainsFunc(details, func(d string) bool { got = d; return containsAll(d, c.expect) }) {
						return fmt.Sprintf("no dead letter with %q: %v %v", c.expect, details, err)
					}
					return ""
				})
			}
			if !containsAll(got, c.expect) {
				t.Errorf("%s\nlacks one of %q", got, c.expect)
			}
			if e := s.outcome(event.DomainDelegation, next.id); e.Type() != event.TypeDelegationObserved {
				t.Errorf("the next command ended as %s", e.Type())
			}
		})
	}
}

func domainOf(subject string) event.Domain {
	_, domain := topology.SubjectTokens(subject)
	return domain
}

func containsAll(s string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(s, p) })
}
