package render

import (
	"cmp"
	"encoding/json"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// States of a line beyond those of an operation.
const (
	Observed = "observed" // a mailbox of an inventory, or one part of a long answer
	Missing  = "missing"  // a mailbox that an inventory no longer lists
	Dead     = "dead"     // dead-lettered
)

// Line is an event on one line.
type Line struct {
	Time      time.Time
	Operation string
	Domain    string
	State     string
	About     string // the subject, else the key
	Text      string
	// Topic is shared by lines of which a later one replaces the earlier ones, such as an
	// operation's progress; else "".
	Topic string
}

// LineOf makes the line of an event.
func LineOf(e event.Event) Line {
	var data struct {
		Operation event.OperationData `json:"operation"`
		MailboxID string              `json:"mailboxId"`
		Mailbox   json.RawMessage     `json:"mailbox"`
	}
	_ = e.DataAs(&data) // unreadable: neither subject nor key
	line := Line{
		Time: e.Time(), Operation: event.Extension(e, event.AttrOperationID), Domain: domainOf(e), State: stateOf(e),
		About: cmp.Or(e.Subject(), keyText(data.Operation.Key)), Text: Describe(e),
	}
	if e.Type() == event.TypeSyncProgress {
		line.Topic = line.Operation
	}
	return line
}

// domainOf is the domain of an event. The types operation.* belong to every domain, so the source
// of the event decides.
func domainOf(e event.Event) string {
	if d := event.DomainOf(e.Type()); d != "" {
		return string(d)
	}
	return strings.TrimSuffix(path.Base(e.Source()), "-svc")
}

func stateOf(e event.Event) string {
	switch state, ok := event.StateOf(e); {
	case e.Type() == event.TypeMailboxMissing:
		return Missing
	case !ok || state == event.StateReceived:
		return Observed
	default:
		return string(state)
	}
}

// TenantAndDomain gives the tenant and the domain of a message of DEAD, "" if unknown. The
// advisories of JetStream are on a subject of their own; the name of the consumer,
// <domain>-<partition>, has the domain.
func TenantAndDomain(subject string, l event.DeadLetter) (tenant string, domain event.Domain) {
	tenant, domain = topology.SubjectTokens(subject)
	if tenant == unknownToken {
		tenant = ""
	}
	if domain == "" {
		name, _, _ := strings.Cut(l.Consumer, "-")
		if d := event.Domain(name); slices.Contains(event.Domains(), d) {
			domain = d
		}
	}
	return cmp.Or(l.Tenant, tenant), domain
}

// unknownToken is the tenant in the subject of a dead letter whose tenant is unknown.
const unknownToken = "-"

// LineOfDead makes the line of a dead letter of a domain; see [TenantAndDomain].
func LineOfDead(l event.DeadLetter, domain event.Domain) Line {
	address, _ := topology.ParsePublishedSubject(l.Subject) // of an advisory of JetStream's: none
	return Line{
		Time: l.Time, Operation: l.OperationID, Domain: string(domain), State: Dead,
		About: keyText(address.Key), Text: DescribeDead(l),
	}
}

func keyText(token string) string {
	if text, err := event.Untoken(token); err == nil {
		return text
	}
	return token
}

// Widths of a line's columns.
const (
	widthOperation = 8
	widthDomain    = 10
	widthState     = 9
	widthAbout     = 28
)

// ShortOperation is the beginning of an operation's id, which usually is unique; "-" if the
// operation is unknown.
func ShortOperation(id string) string {
	if id == "" {
		return "-"
	}
	characters := []rune(OneLine(id))
	return string(characters[:min(len(characters), widthOperation)])
}

// Format writes a line in columns, the state in colour if wanted.
func (l Line) Format(colour bool) string {
	state := fit(l.State, widthState)
	if code := colours[l.State]; colour && code != "" {
		state = "\x1b[" + code + "m" + state + "\x1b[0m"
	}
	columns := []string{
		Clock(l.Time), fit(ShortOperation(l.Operation), widthOperation), fit(OneLine(l.Domain), widthDomain), state,
		fit(OneLine(l.About), widthAbout), OneLine(l.Text),
	}
	return strings.TrimRight(strings.Join(columns, "  "), " ")
}

var colours = map[string]string{
	string(event.StateSucceeded): "32", // green
	string(event.StateCancelled): "35",
	string(event.StateWaiting):   "33", // yellow
	string(event.StateUnknown):   "33",
	string(event.StateFailed):    "31", // red
	string(event.StateRejected):  "31",
	Dead:                         "31",
	Missing:                      "35", // magenta
}

// fit pads or truncates a text to the width of its column.
func fit(s string, width int) string {
	n := utf8.RuneCountInString(s)
	switch {
	case n <= width:
		return s + strings.Repeat(" ", width-n)
	default:
		return string([]rune(s)[:width-1]) + "…"
	}
}
