package topology

import (
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Limit is how long, and how much, a stream keeps.
type Limit struct {
	// MaxAge of a message; 0: for ever. nil: what the stream has, or the default where it is made.
	MaxAge *time.Duration
	// MaxBytes of the stream; 0: any size. nil as above.
	MaxBytes *int64
}

// Bound is what [Limit]s of a stream are possible, and why.
type Bound struct {
	Stream string
	// MinAge is the shortest age other than for ever.
	MinAge time.Duration
	// OnlyForEver says that a message has no age: MinAge has no meaning.
	OnlyForEver bool
	// WhyAge is what a shorter age would break.
	WhyAge string
}

// MinBytes is the least size of a stream that has one. NATS reserves the size on its disk.
const MinBytes = 16 << 20

// WhyBytes is what a smaller size would break.
const WhyBytes = "one message may have 1 MiB, the server's default, and a full stream refuses what is new, or drops its oldest"

const day = 24 * time.Hour

// Bounds lists the bounds of every stream, in the order of docs/capacity.md.
func Bounds() []Bound {
	return []Bound{
		{
			Stream: StreamCommands, MinAge: 8 * day,
			WhyAge: "a command is tried again for up to 7 days and has to be there for it, and a day in which services are down adds to that",
		},
		{
			Stream: StreamEvents, MinAge: 90 * day,
			WhyAge: "a command whose record is gone is carried out again if it is published, delivered or replayed again, and projections that are rebuilt have what is left",
		},
		{
			Stream: StreamMailboxes, MinAge: 30 * day,
			WhyAge: "an inventory publishes what has changed, so what is left out is forgotten although the mailbox is there, and is published anew",
		},
		{
			Stream: StreamDrift, MinAge: 30 * day,
			WhyAge: "a drift is published once, so what is left out is no longer shown although it may last",
		},
		{
			Stream: StreamParked, OnlyForEver: true,
			WhyAge: "it holds what waits, for however long, and the schedules that wake it",
		},
		{
			Stream: StreamDead, MinAge: 30 * day,
			WhyAge: "a person has to see a dead letter before it is gone; nothing else tells of its command",
		},
		{
			Stream: StreamRecipients, OnlyForEver: true,
			WhyAge: "publishers that find no key publish secrets in clear",
		},
		{
			Stream: StreamAudit, MinAge: 90 * day,
			WhyAge: "who looks into an incident asks what people did in the weeks before",
		},
	}
}

// CheckLimit holds a limit of a stream against its bound. The error says why it is not possible.
func CheckLimit(stream string, l Limit) error {
	bounds := Bounds()
	i := slices.IndexFunc(bounds, func(b Bound) bool { return b.Stream == stream })
	if i < 0 {
		return fmt.Errorf("there is no stream %s", stream)
	}
	b := bounds[i]
	switch age := l.MaxAge; {
	case age == nil || *age == 0:
	case b.OnlyForEver:
		return fmt.Errorf("stream %s: its age must be for ever, not %v: %s", stream, *age, b.WhyAge)
	case *age < b.MinAge:
		return fmt.Errorf("stream %s: its age must be for ever, or at least %v, not %v: %s", stream, b.MinAge, *age, b.WhyAge)
	}
	if size := l.MaxBytes; size != nil && *size != 0 && *size < MinBytes {
		return fmt.Errorf("stream %s: its size must be unlimited, or at least %d bytes, not %d: %s", stream, MinBytes, *size, WhyBytes)
	}
	return nil
}

// limitOf is what a stream has.
func limitOf(c jetstream.StreamConfig) Limit {
	age, size := c.MaxAge, max(c.MaxBytes, 0)
	return Limit{MaxAge: &age, MaxBytes: &size}
}

// CheckAges holds the ages of COMMANDS and EVENTS against each other.
func CheckAges(commands, events time.Duration) error {
	if events != 0 && (commands == 0 || commands > events) {
		return fmt.Errorf("stream %s keeps messages for %v and %s for longer: a command that is delivered again would find no record, and be carried out again; "+
			"EVENTS must keep them for at least as long as COMMANDS", StreamEvents, events, StreamCommands)
	}
	return nil
}
