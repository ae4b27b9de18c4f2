package explain

import (
	"cmp"
	"slices"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/render"
)

// Phase is what goes on from one moment of a timeline to the next.
type Phase string

// The phases.
const (
	PhaseQueued  Phase = "queued"  // stored, and not begun
	PhaseCalling Phase = "calling" // the vendor is being called
	PhaseWaiting Phase = "waiting" // for the next attempt, a time, a free call, or others of its key
	PhaseUnknown Phase = "unknown" // sent without an answer, until it is read back
	PhaseEnded   Phase = "ended"
)

// States of a [Moment] beyond those of an operation.
const (
	StatePublished = "published"    // the command was stored
	StateDead      = "dead"         // a dead letter
	StateNext      = "next"         // the next attempt is to come
	StateGivesUp   = "gives-up"     // the operation fails at the latest
	StateLeaseEnd  = "lease-expiry" // the call counts as lost
)

// Moment is something that happened to an operation, or will.
type Moment struct {
	At time.Time `json:"at"`
	// State is one of an operation, or of this package.
	State string `json:"state"`
	// Attempt is the number of the attempt that it belongs to; 0: none.
	Attempt int    `json:"attempt,omitempty"`
	Text    string `json:"text"`
	// Reason is that of a wait: see [event.WaitingData].
	Reason string `json:"reason,omitempty"`
	// Phase begins at the moment, and ends at Until if that is not nil and comes before the next.
	Phase Phase      `json:"phase,omitempty"`
	Until *time.Time `json:"until,omitempty"`
	// Future says that it is still to come.
	Future bool `json:"future,omitempty"`
	// Sequence in EVENTS, DEAD or COMMANDS; 0: it is not in a stream.
	Sequence uint64 `json:"sequence,omitempty"`
}

// timeline puts in order what happened, and what is to come.
func timeline(f Facts, x Explanation) []Moment {
	var list []Moment
	if c := f.Command; c != nil {
		list = append(list, Moment{At: c.StoredAt, State: StatePublished, Text: published(*c), Phase: PhaseQueued, Sequence: c.Sequence})
	} else if n := len(f.Events); n > 0 {
		if at := operationOf(f.Events[0].Event).ReceivedAt; !at.IsZero() {
			list = append(list, Moment{At: at, State: StatePublished, Text: "stored; COMMANDS no longer holds it", Phase: PhaseQueued})
		}
	}
	for _, e := range f.Events {
		list = append(list, momentOf(e))
	}
	for _, l := range f.DeadLetters {
		list = append(list, Moment{At: l.StoredAt, State: StateDead, Text: render.DescribeDead(l.DeadLetter), Phase: PhaseEnded, Sequence: l.Sequence})
	}
	slices.SortStableFunc(list, func(a, b Moment) int { return a.At.Compare(b.At) })
	return append(list, toCome(f, x)...)
}

func published(c Command) string {
	text := render.Short(c.Type) + " from " + c.Source + ", id " + c.ID
	if c.DryRun {
		text += ", as a dry run"
	}
	return render.OneLine(text)
}

func momentOf(e Event) Moment {
	var data struct {
		Operation      event.OperationData `json:"operation"`
		Reason         string              `json:"reason"`
		NextAttemptAt  *time.Time          `json:"nextAttemptAt"`
		LeaseExpiresAt *time.Time          `json:"leaseExpiresAt"`
	}
	_ = e.DataAs(&data) // unreadable: the text says so
	state, _ := event.StateOf(e.Event)
	m := Moment{
		At: e.StoredAt, State: cmp.Or(string(state), "observed"), Attempt: data.Operation.Attempt, Text: render.Describe(e.Event),
		Reason: data.Reason, Sequence: e.Sequence, Until: data.NextAttemptAt,
	}
	switch state {
	case event.StateWaiting:
		m.Phase = PhaseWaiting
	case event.StateUnknown:
		m.Phase = PhaseUnknown
	case event.StateStarted, event.StateReceived:
		m.Phase, m.Until = PhaseCalling, data.LeaseExpiresAt
	default:
		m.Phase, m.Until = PhaseEnded, nil
	}
	return m
}

// toCome is what is known of the future.
func toCome(f Facts, x Explanation) []Moment {
	var list []Moment
	if at := x.NextAttemptAt; at != nil && at.After(f.Now) {
		m := Moment{At: *at, State: StateNext, Text: "the next attempt", Future: true}
		if x.State == event.StateStarted {
			m.State, m.Text = StateLeaseEnd, "without an answer the call counts as lost"
		}
		list = append(list, m)
	}
	if at := x.GivesUpAt; at != nil && at.After(f.Now) {
		list = append(list, Moment{At: *at, State: StateGivesUp, Text: "it gives up at the latest", Future: true})
	}
	return list
}
