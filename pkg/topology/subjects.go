package topology

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mailwright/mailwright/pkg/event"
)

const root = "mailwright"

// CommandSubject is where a command is published: mailwright.cmd.<tenant>.<domain>.<key>. The
// tenant is its name in the configuration. The key is any text, encoded by [event.Token]. Commands
// of one tenant, domain and key take effect in the order published.
//
// A JetStream publish to a domain that does not exist, or to the form in which commands are stored,
// is captured by no stream: the publisher gets "no responders" (jetstream.ErrNoStreamResponse).
func CommandSubject(tenant string, domain event.Domain, key string) string {
	return join("cmd", tenant, string(domain), event.Token(key))
}

// PublishedSubject is the [CommandSubject] that a stored command was published to. The tenant and
// the key's token are as the publisher wrote them.
func PublishedSubject(a Address) string { return join("cmd", a.Tenant, string(a.Domain), a.Key) }

// EventSubject holds every event of an operation: mailwright.evt.<tenant>.<domain>.<operationid>.
func EventSubject(tenant string, domain event.Domain, operationID string) string {
	return join("evt", tenant, string(domain), event.Token(operationID))
}

// MailboxSubject holds the latest observation of a mailbox: mailwright.mailbox.<tenant>.<mailbox>.
// The mailbox is its id, after the id of its tenant at the vendor where it has one.
func MailboxSubject(tenant, mailbox string) string {
	return join("mailbox", tenant, event.Token(mailbox))
}

// RecipientsSubject holds the keys to which the publishers of a tenant seal secrets:
// mailwright.recipients.<tenant>.
func RecipientsSubject(tenant string) string { return join("recipients", tenant) }

// AuditSubject holds what AUDIT tells of one act of a person: mailwright.audit.<user>.<act>. The
// user is that of NATS, which the permissions keep to its own subjects.
func AuditSubject(user, act string) string { return join("audit", event.Token(user), event.Token(act)) }

// AuditOf matches the subjects of all acts of a user of NATS.
func AuditOf(user string) string { return join("audit", event.Token(user), "*") }

// ParseAuditSubject reads what [AuditSubject] writes.
func ParseAuditSubject(subject string) (user, act string, ok bool) {
	tokens := strings.Split(subject, ".")
	if len(tokens) != 4 || tokens[0] != root || tokens[1] != "audit" {
		return "", "", false
	}
	user, err1 := event.Untoken(tokens[2])
	act, err2 := event.Untoken(tokens[3])
	return user, act, err1 == nil && err2 == nil
}

// MailboxesOf matches the subjects of all mailboxes of a tenant.
func MailboxesOf(tenant string) string { return join("mailbox", tenant, "*") }

// DriftSubject holds how a mailbox's delegates differ from what the last command left:
// mailwright.drift.<tenant>.<domain>.<mailbox>. The mailbox is its object id, where one is known.
func DriftSubject(tenant, mailbox string) string {
	return join("drift", tenant, string(event.DomainDelegation), event.Token(mailbox))
}

// unknownToken stands in a dead letter's subject for a tenant or an operation that is not known.
const unknownToken = "-"

// DeadSubject is where a message that cannot be carried out ends:
// mailwright.dead.<tenant>.<domain>.<operationid>, with "-" for a tenant or an operation that is
// not known.
func DeadSubject(tenant string, domain event.Domain, operationID string) string {
	return join("dead", cmp.Or(tenant, unknownToken), string(domain), event.Token(cmp.Or(operationID, unknownToken)))
}

// Address is the place of a stored command.
type Address struct {
	// Tenant is the token as its publisher wrote it: the name of a tenant, or of none.
	Tenant string
	Domain event.Domain
	// Generation and Partition say where COMMANDS holds the command; see [Layout]. They are 0 in
	// the address of what waits in PARKED.
	Generation, Partition int
	// Key is the token as its publisher chose it. Ours is made by [event.Token]. Another publisher
	// may use any token, so it is compared and passed on as it is, and never decoded.
	Key string
}

const (
	// maxKey is the longest token of a key, in bytes: a subject that holds one, with what JetStream
	// puts before it, must fit into the 4,096 bytes of a line that a NATS server reads.
	maxKey = 3000
	// maxTenant is the longest token of a tenant, in bytes. A longer one is no tenant's name.
	maxTenant = 255
)

// Check holds the tokens of an address against what can stand in another subject. No operation can
// come of a command whose address fails: its result would have no subject.
func (a Address) Check() error {
	if strings.HasPrefix(a.Key, reservedKeys) {
		return fmt.Errorf("the key begins with %s, which is reserved", reservedKeys)
	}
	return errors.Join(checkToken("key", a.Key, maxKey), CheckTenant(a.Tenant))
}

// CheckTenant is [Address.Check] of the token of a tenant alone.
func CheckTenant(token string) error { return checkToken("tenant", token, maxTenant) }

func checkToken(name, token string, longest int) error {
	switch {
	case len(token) > longest:
		return fmt.Errorf("the %s has %d bytes; at most %d are possible", name, len(token), longest)
	case !utf8.ValidString(token), strings.ContainsFunc(token, unicode.IsControl):
		return fmt.Errorf("the %s %q is not UTF-8, or has control characters", name, token)
	default:
		return nil
	}
}

// ParkedSubject holds what waits on a key, in order: mailwright.parked.<tenant>.<domain>.<key
// token>.
func ParkedSubject(a Address) string { return join("parked", a.Tenant, string(a.Domain), a.Key) }

// OverflowKey is the key on which commands of a tenant, domain and lane wait together, whatever
// their own keys. No command has it: see [Address.Check].
func OverflowKey(lane int) string { return overflowKeys + strconv.Itoa(lane) }

// IsOverflow reports whether an address has an [OverflowKey].
func (a Address) IsOverflow() bool { return a.Key == OverflowKey(a.Lane()) }

// IsOverflowSubject reports whether a [ParkedSubject] is that of an overflow.
func IsOverflowSubject(subject string) bool {
	_, key, ok := strings.Cut(subject, "."+overflowKeys)
	return ok && !strings.Contains(key, ".")
}

const (
	// reservedKeys begin keys that no command has. [event.Token] makes none such.
	reservedKeys = "~"
	overflowKeys = reservedKeys + "overflow-"
)

// ScheduleSubject holds the schedule that wakes a key: mailwright.schedule.<tenant>.<domain>.<key
// token>. JetStream keeps one schedule a subject: a later one replaces it.
func ScheduleSubject(a Address) string {
	return join("schedule", a.Tenant, string(a.Domain), a.Key)
}

// NotBeforeSubject holds the schedule of a command that is not due yet:
// mailwright.notbefore.<tenant>.<domain>.<operationid>. It does not hold up the command's key.
func NotBeforeSubject(a Address, operationID string) string {
	return join("notbefore", a.Tenant, string(a.Domain), operationID)
}

// WakeSubject is where the message appears that wakes a key:
// mailwright.wake.<tenant>.<domain>.<lane>.<key token>.
func WakeSubject(a Address) string {
	return join("wake", a.Tenant, string(a.Domain), strconv.Itoa(a.Lane()), a.Key)
}

// ParseCommandSubject reads mailwright.cmd.<tenant>.<domain>.<partition>.<key>, or
// mailwright.cmd.<tenant>.<domain>.<generation>.<partition>.<key>, the subject of a stored command.
// The server stores a message with a wildcard for its tenant or key too. That has
// no address, since its other subjects would be patterns, which match those of every key.
func ParseCommandSubject(subject string) (Address, bool) {
	a, ok := parse("cmd", subject)
	return a, ok && !IsWildcard(a.Key) && !IsWildcard(a.Tenant)
}

// ParsePublishedSubject reads what [PublishedSubject] writes; the address has no partition.
func ParsePublishedSubject(subject string) (Address, bool) {
	tokens := strings.Split(subject, ".")
	if len(tokens) != 5 || tokens[0] != root || tokens[1] != "cmd" || slices.ContainsFunc(tokens[2:], IsWildcard) {
		return Address{}, false
	}
	return Address{Tenant: tokens[2], Domain: event.Domain(tokens[3]), Key: tokens[4]}, true
}

// SubjectTokens reads the tenant and the domain of a subject of ours, as far as it has them:
// mailwright.<kind>.<tenant>.<domain>.… of a command, an event, a dead letter or a drift.
func SubjectTokens(subject string) (tenant string, domain event.Domain) {
	tokens := strings.SplitN(subject, ".", 5)
	if len(tokens) < 4 || tokens[0] != root || IsWildcard(tokens[2]) || IsWildcard(tokens[3]) {
		return "", ""
	}
	return tokens[2], event.Domain(tokens[3])
}

// WakeFilter matches the wake-ups of one lane's keys: mailwright.wake.*.<domain>.<lane>.*.
func WakeFilter(domain event.Domain, lane int) string {
	return join("wake", "*", string(domain), strconv.Itoa(lane), "*")
}

// KeyFilters match the stored commands of one key, whose token is as its publisher wrote it: those
// of the first generation of partitions, and those of later ones, whose subjects name theirs.
func KeyFilters(tenant string, domain event.Domain, key string) []string {
	return []string{join("cmd", tenant, string(domain), "*", key), join("cmd", tenant, string(domain), "*", "*", key)}
}

// DomainFilter matches every stored command of a domain, those without a partition included.
func DomainFilter(domain event.Domain) string { return join("cmd", "*", string(domain), ">") }

// ParseCommandFilter reads what [CommandFilter] writes.
func ParseCommandFilter(filter string) (domain event.Domain, generation, partition int, ok bool) {
	a, ok := parseFilter("cmd", filter)
	return a.Domain, a.Generation, a.Partition, ok
}

// ParseWakeFilter reads what [WakeFilter] writes.
func ParseWakeFilter(filter string) (domain event.Domain, lane int, ok bool) {
	a, ok := parseFilter("wake", filter)
	return a.Domain, a.Partition, ok && a.Generation == 0
}

func parseFilter(kind, filter string) (Address, bool) {
	a, ok := parse(kind, filter)
	return a, ok && a.Tenant == "*" && a.Key == "*" && slices.Contains(event.Domains(), a.Domain)
}

// ParseWakeSubject reads what [WakeSubject] writes.
func ParseWakeSubject(subject string) (Address, bool) {
	a, ok := parse("wake", subject)
	if !ok || a.Generation != 0 || IsWildcard(a.Key) || IsWildcard(a.Tenant) {
		return Address{}, false
	}
	return a.Waiting(), true
}

// IsWildcard reports whether a token stands for others in a filter. A message may have such a token
// in its subject too; nothing can be read by that subject, since it matches other keys' messages.
func IsWildcard(token string) bool { return token == "*" || token == ">" }

// parse reads <root>.<kind>.<tenant>.<domain>.<partition>.<key>, with the generation before the
// partition if there are seven tokens.
func parse(kind, subject string) (Address, bool) {
	tokens := strings.Split(subject, ".")
	if n := len(tokens); n != 6 && n != 7 || tokens[0] != root || tokens[1] != kind {
		return Address{}, false
	}
	a := Address{Tenant: tokens[2], Domain: event.Domain(tokens[3]), Key: tokens[len(tokens)-1]}
	var errs [2]error
	a.Partition, errs[0] = strconv.Atoi(tokens[len(tokens)-2])
	if len(tokens) == 7 {
		a.Generation, errs[1] = strconv.Atoi(tokens[4])
	}
	return a, errors.Join(errs[:]...) == nil
}

func join(tokens ...string) string { return root + "." + strings.Join(tokens, ".") }
