package bus

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
)

const root = "mailwright"

// CommandSubject is where a command is published: mailwright.cmd.<domain>.<key>. The key is
// any text, encoded by [Token]; commands of one domain and key take effect in the order published.
//
// A JetStream publish to a domain that does not exist, or to the form in which commands are
// stored, is captured by no stream: the publisher gets "no responders" (jetstream.ErrNoStreamResponse).
func CommandSubject(domain event.Domain, key string) string {
	return join("cmd", string(domain), Token(key))
}

// PublishedSubject is the [CommandSubject] that a stored command was published to, its key's token as it was.
func PublishedSubject(a Address) string { return join("cmd", string(a.Domain), a.Key) }

// EventSubject is where every event of an operation stands: mailwright.evt.<domain>.<operationid>.
func EventSubject(domain event.Domain, operationID string) string {
	return join("evt", string(domain), Token(operationID))
}

// MailboxSubject holds the latest observation of a mailbox: mailwright.mailbox.<tenant>.<mailbox>. The mailbox is its id, after that of its
// tenant at the vendor where it has one.
func MailboxSubject(tenant, mailbox string) string {
	return join("mailbox", Token(tenant), Token(mailbox))
}

// MailboxesOf matches the subjects of all mailboxes of a tenant.
func MailboxesOf(tenant string) string { return join("mailbox", Token(tenant), "*") }

// DriftSubject holds how a mailbox's delegates differ from what the last command left: mailwright.drift.delegation.<tenant>.<mailbox>.
// The mailbox is its object id, where one is known.
func DriftSubject(tenant, mailbox string) string {
	return join("drift", string(event.Delegation), Token(tenant), Token(mailbox))
}

// DeadSubject is where a message that can not be settled ends:
// mailwright.dead.<domain>.<operationid>, with "-" for an operation that is not known.
func DeadSubject(domain event.Domain, operationID string) string {
	if operationID == "" {
		operationID = "-"
	}
	return join("dead", string(domain), Token(operationID))
}

// Address is the place of a stored command.
type Address struct {
	Domain    event.Domain
	Partition int
	// Key is the token as its publisher chose it. Ours is made by [Token]; a foreign
	// publisher may use any token, so it is compared and passed on as it is, never decoded.
	Key string
}

// ParkedSubject holds what waits on a key, in order: mailwright.parked.<domain>.<key token>.
func ParkedSubject(a Address) string { return join("parked", string(a.Domain), a.Key) }

// ScheduleSubject holds the schedule that wakes a key: mailwright.schedule.<domain>.<key token>. JetStream
// keeps one schedule a subject: a later one replaces it.
func ScheduleSubject(a Address) string { return join("schedule", string(a.Domain), a.Key) }

// WakeSubject is where the message appears that wakes a key: mailwright.wake.<domain>.<partition>.<key token>.
func WakeSubject(a Address) string {
	return join("wake", string(a.Domain), strconv.Itoa(a.Partition), a.Key)
}

// ParseCommandSubject reads mailwright.cmd.<domain>.<partition>.<key>, the subject of a stored command. The server stores a message with a
// wildcard for its key too; that has no address, since its other subjects would be patterns, which match those of every key.
func ParseCommandSubject(subject string) (Address, bool) { return parseKey("cmd", subject) }

// ParseWakeSubject reads what [WakeSubject] writes.
func ParseWakeSubject(subject string) (Address, bool) { return parseKey("wake", subject) }

func parseKey(kind, subject string) (Address, bool) {
	a, ok := parse(kind, subject)
	if !ok || wildcard(a.Key) {
		return Address{}, false
	}
	return a, true
}

func wildcard(token string) bool { return token == "*" || token == ">" }

func parse(kind, subject string) (Address, bool) {
	tokens := strings.Split(subject, ".")
	if len(tokens) != 5 || tokens[0] != root || tokens[1] != kind {
		return Address{}, false
	}
	partition, err := strconv.Atoi(tokens[3])
	if err != nil {
		return Address{}, false
	}
	return Address{Domain: event.Domain(tokens[2]), Partition: partition, Key: tokens[4]}, true
}

// Token encodes any text as one token of a NATS subject: each byte other than A-Z, a-z, 0-9,
// "-" and "_" becomes "%" and two upper-case hexadecimal digits, and the empty text becomes a
// lone "%". Every language can predict it, [Untoken] reverses it, and different texts never
// share a token. NATS limits a subject to about 4,000 bytes, so a key should stay under 1,000.
func Token(s string) string {
	if s == "" {
		return "%"
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(s))
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// Untoken reverses [Token]. A token that Token would not have made is an error, so that no
// two tokens mean the same text.
func Untoken(token string) (string, error) {
	if token == "%" {
		return "", nil
	}
	var b strings.Builder
	for i := 0; i < len(token); i++ {
		if token[i] != '%' {
			b.WriteByte(token[i])
			continue
		}
		if len(token) < i+3 {
			return "", fmt.Errorf("bus: token %q ends within an escape", token)
		}
		c, err := strconv.ParseUint(token[i+1:i+3], 16, 8)
		if err != nil {
			return "", fmt.Errorf("bus: token %q has an escape that is not hexadecimal", token)
		}
		b.WriteByte(byte(c))
		i += 2
	}
	if Token(b.String()) != token {
		return "", fmt.Errorf("bus: token %q is not in its one valid form", token)
	}
	return b.String(), nil
}

func plain(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

func join(tokens ...string) string { return root + "." + strings.Join(tokens, ".") }
