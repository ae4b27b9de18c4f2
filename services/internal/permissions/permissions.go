// Package permissions derives from the code which NATS subjects each program of Mailwright needs,
// and each publisher and reader: the names of streams, consumers and subjects come from the
// packages that use them. It writes them as a configuration of a NATS server and as a table.
//
// A user may publish to what its rules name and subscribe to its own inbox, and to nothing else.
// What a request of JetStream's API may reach is its subject, so a user that is kept to a tenant
// has only requests whose subject names the tenant.
package permissions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// Names of the users that are not programs.
const (
	Streams = "streams" // makes streams and consumers: mailwright streams apply
	// Operator is the command line of those who run the system, where they share a user.
	Operator = "operator"
	Auditor  = "auditor" // reads what people did
	// Erasure takes a person's data out: mailwright erase. It can take out anybody's.
	Erasure = "erasure"
	// Administrator may do everything in the account. It exists where
	// [Options.TrustUnauthenticated] asks for it.
	Administrator = "administrator"
)

// Projection is the user of the program that fills the projections.
const Projection = "projection-svc"

// Console is the user of the program that serves the console.
const Console = "console"

// Worker names the user of the program that carries the commands of a domain out.
func Worker(domain event.Domain) string { return string(domain) + "-svc" }

// Rule is one subject, and what it is needed for.
type Rule struct{ Subject, Why string }

// User is a user of NATS. What no rule of Publish and Subscribe names is denied, and so is what a
// rule of Deny names.
type User struct {
	Name string
	// Role says in a few words who connects as the user.
	Role      string
	Publish   []Rule
	Deny      []Rule
	Subscribe []Rule
}

// Scope is what a publisher and a reader are kept to: a tenant, and some of its domains.
type Scope struct {
	Tenant string
	// Domain is one, or "" for all.
	Domain event.Domain
}

// ParseScope reads <tenant> or <tenant>/<domain>. The error says what is wrong.
func ParseScope(text string) (Scope, error) {
	tenant, domain, restricted := strings.Cut(text, "/")
	s := Scope{tenant, event.Domain(domain)}
	if !event.ValidTenant(tenant) {
		return s, fmt.Errorf("%q is no name of a tenant: it has 1 to 63 characters of a-z, 0-9 and -", tenant)
	}
	if restricted && !slices.Contains(event.Domains(), s.Domain) {
		return s, fmt.Errorf("%q is no domain; domains are %v", domain, event.Domains())
	}
	return s, nil
}

func (s Scope) domains() []event.Domain {
	if s.Domain == "" {
		return event.Domains()
	}
	return []event.Domain{s.Domain}
}

func (s Scope) name() string {
	if s.Domain == "" {
		return s.Tenant
	}
	return s.Tenant + "-" + string(s.Domain)
}

// Publisher names the user that publishes the commands of a scope.
func Publisher(s Scope) string { return "publisher-" + s.name() }

// Reader names the user that reads the events of a scope.
func Reader(s Scope) string { return "reader-" + s.name() }

// PersonalOperator names the user of one of those who run the system, so that AUDIT tells them
// apart.
func PersonalOperator(name string) string { return Operator + "-" + name }

// Options say for which system the users are.
type Options struct {
	// Partitions are as many as a domain has at most; 0 is [topology.DefaultPartitions].
	Partitions int
	// JetStream says which JetStream is used: the prefix of its API is in the subjects.
	JetStream jetstream.JetStreamOptions
	// Scopes have a publisher and a reader each.
	Scopes []Scope
	// Operators are the names of people with a user of their own beside [Operator].
	Operators []string
	// OldAcknowledgements leaves out the subjects with the account's hash on which servers from
	// 2.14 on may take acknowledgements (feature js_ack_fc_v2).
	OldAcknowledgements bool
	// TrustUnauthenticated adds [Administrator].
	TrustUnauthenticated bool
}

// Users are all users of a system, in the order of the table.
func Users(o Options) []User {
	o.Partitions = cmp.Or(o.Partitions, topology.DefaultPartitions)
	var users []User
	for _, d := range event.Domains() {
		users = append(users, o.worker(d))
	}
	users = append(users, o.projection(), o.console(), o.streams(), o.operator(Operator), o.auditor(), o.erasure())
	for _, name := range o.Operators {
		users = append(users, o.operator(PersonalOperator(name)))
	}
	for _, s := range o.Scopes {
		users = append(users, o.publisher(s), o.reader(s))
	}
	for i := range users {
		users[i].Subscribe = []Rule{{bus.InboxPrefix(users[i].Name) + ".>", "answers"}}
		users[i].Publish = compact(o.inDomain(users[i].Publish))
		users[i].Deny = compact(o.inDomain(users[i].Deny))
	}
	if o.TrustUnauthenticated {
		everything := []Rule{{">", "tests"}}
		users = append(users, User{
			Name: Administrator, Role: "whoever connects without credentials", Publish: everything, Subscribe: everything,
		})
	}
	return users
}

// compact leaves out a rule whose subject another has already.
func compact(rules []Rule) []Rule {
	seen := map[string]bool{}
	return slices.DeleteFunc(rules, func(r Rule) bool {
		again := seen[r.Subject]
		seen[r.Subject] = true
		return again
	})
}
