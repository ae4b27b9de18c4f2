package audit

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/streamreader"
)

// Unknown is the result of an act that is under way, or whose program was killed.
const Unknown = "unknown"

// Entry is what AUDIT tells of one act.
type Entry struct {
	ID string `json:"id"`
	// NATSUser is the user that the permissions vouch for.
	NATSUser string `json:"natsUser"`
	AuthType string `json:"authType"`
	// AuthID is who acts, as the program says.
	AuthID string `json:"authId"`
	Source string `json:"source"`
	Act
	// Result is done, refused, failed or unknown.
	Result string `json:"result"`
	Done   int    `json:"done"`
	// IntendedAt is when the intent was stored; zero where there is none.
	IntendedAt time.Time `json:"intendedAt,omitzero"`
	// CompletedAt is when the result was stored; zero where there is none.
	CompletedAt time.Time `json:"completedAt,omitzero"`
}

// At is when the first event of the act was stored.
func (e *Entry) At() time.Time {
	if e.IntendedAt.IsZero() {
		return e.CompletedAt
	}
	return e.IntendedAt
}

// Read reads every act that AUDIT holds, the oldest first. unreadable is how many messages are no
// events of an act.
func Read(ctx context.Context, js jetstream.JetStream) (entries []*Entry, unreadable int, err error) {
	type key struct{ user, act string }
	known := map[key]*Entry{}
	for m, err := range streamreader.Messages(ctx, js, topology.StreamAudit, jetstream.OrderedConsumerConfig{}) {
		if err != nil {
			return nil, 0, err
		}
		user, act, ok := topology.ParseAuditSubject(m.Subject())
		e, err := event.Decode(m.Headers(), m.Data())
		if !ok || err != nil {
			unreadable++
			continue
		}
		entry := known[key{user, act}]
		if entry == nil {
			entry = &Entry{ID: act, NATSUser: user, Result: Unknown, AuthType: event.Extension(e, event.AttrAuthType), AuthID: event.Extension(e, event.AttrAuthID), Source: e.Source()}
		}
		if !entry.add(e, m.Metadata.Timestamp.UTC()) {
			unreadable++
			continue
		}
		if known[key{user, act}] == nil {
			known[key{user, act}] = entry
			entries = append(entries, entry)
		}
	}
	return entries, unreadable, nil
}

// add adds an event of the act, of which the first intent counts and the first result. It reports
// whether the event can be read.
func (e *Entry) add(of event.Event, at time.Time) bool {
	switch of.Type() {
	case event.TypeAuditIntended:
		var act Act
		if of.DataAs(&act) != nil {
			return false
		}
		if e.IntendedAt.IsZero() {
			e.Act, e.IntendedAt = act, at
		}
	case event.TypeAuditCompleted:
		var result event.AuditCompletedData
		if of.DataAs(&result) != nil {
			return false
		}
		if e.CompletedAt.IsZero() {
			e.Result, e.Done, e.CompletedAt = result.Result, result.Done, at
		}
		if e.Action == "" {
			e.Action = result.Action
		}
	default:
		return false
	}
	return true
}
