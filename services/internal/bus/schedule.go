package bus

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Headers of a message that JetStream publishes on another subject at a time (NATS ADR-51).
const (
	scheduleHeader = "Nats-Schedule"
	scheduleTarget = "Nats-Schedule-Target"
	scheduleAt     = "@at "
)

// Schedule is the header of a message that JetStream publishes on a subject at a time.
func Schedule(subject string, at time.Time) nats.Header {
	return nats.Header{scheduleHeader: {scheduleAt + at.UTC().Format(time.RFC3339Nano)}, scheduleTarget: {subject}}
}

// ScheduledFor is the time of a schedule; scheduled is false for another message. The time is zero
// if the schedule is not in the form of [Schedule].
func ScheduledFor(header nats.Header) (at time.Time, scheduled bool) {
	text, scheduled := strings.CutPrefix(header.Get(scheduleHeader), scheduleAt)
	if scheduled {
		at, _ = time.Parse(time.RFC3339Nano, text)
	}
	return at, scheduled
}
