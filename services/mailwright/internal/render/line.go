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
	Dead     = "dead"     // given up
)

// Line is an event as one line for people.
type Line struct {
	Time      time.Time
	Operation string
	Domain    string
	State     string
	About     string // the subject, else the key
	Text      string
	// Topic is that of lines of which a later one makes the earlier ones superfluous, such as an
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

// domainOf: the types of operation.* belong to every domain; who published them tells.
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

// PlaceOfDead gives the tenant and the domain of a message of DEAD, "" for what is not known.
// Advisories of JetStream's stand on a subject of its own; the consumer's name,
// <domain>-<partition>, tells the domain.
func PlaceOfDead(subject string, l event.DeadLetter) (tenant string, domain event.Domain) {
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

// unknownToken stands in the subject of a dead letter whose tenant is not known.
const unknownToken = "-"

// LineOfDead makes the line of a dead letter of a domain; see [PlaceOfDead].
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

// ShortOperation is the beginning of an operation's id, enough for people to tell operations apart;
// "-" where the operation is not known.
func ShortOperation(id string) string {
	if id == "" {
		return "-"
	}
	characters := []rune(OneLine(id))
	return string(characters[:min(len(characters), widthOperation)])
}

// Format writes a line in columns, the state in colour if wanted.
func (l Line) Format(colour bool) string {
	state := pad(l.State, widthState)
	if code := colours[l.State]; colour && code != "" {
		state = "\x1b[" + code + "m" + state + "\x1b[0m"
	}
	columns := []string{
		Clock(l.Time), pad(ShortOperation(l.Operation), widthOperation), pad(OneLine(l.Domain), widthDomain), state,
		pad(OneLine(l.About), widthAbout), OneLine(l.Text),
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

// pad makes a text exactly as wide as its column.
func pad(s string, width int) string {
	n := utf8.RuneCountInString(s)
	switch {
	case n <= width:
		return s + strings.Repeat(" ", width-n)
	default:
		return string([]rune(s)[:width-1]) + "…"
	}
}
