package bus

import (
	"context"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// StreamConsumer is a durable consumer, and the stream that it reads.
type StreamConsumer struct {
	Stream string
	Config jetstream.ConsumerConfig
}

// CommandConsumers are the consumers of a domain's commands, of one generation of partitions.
func CommandConsumers(domain event.Domain, g topology.Generation) []StreamConsumer {
	var list []StreamConsumer
	for p := range g.Partitions {
		list = append(list, StreamConsumer{topology.StreamCommands, CommandConsumer(domain, g.Number, p)})
	}
	return list
}

// OtherConsumers are those of a domain that do not depend on the number of partitions: of wake-ups,
// and the one that delivers each command a second time.
func OtherConsumers(domain event.Domain) []StreamConsumer {
	var list []StreamConsumer
	for lane := range topology.Lanes {
		list = append(list, StreamConsumer{topology.StreamParked, WakeConsumer(domain, lane)})
	}
	return append(list, StreamConsumer{topology.StreamCommands, RecheckConsumer(domain)})
}

// CheckConsumer holds a consumer against what the promises of Mailwright need of it; the error names
// each field.
func CheckConsumer(stream string, want, got jetstream.ConsumerConfig) error {
	return topology.Differences("consumer "+want.Durable+" of stream "+stream, consumerFields, withDefaults(want), got,
		"`mailwright streams plan` shows it, and `mailwright streams apply` changes it")
}

// ConsumerChanges lists what makes a consumer what it is to be.
func ConsumerChanges(want, got jetstream.ConsumerConfig) []topology.Change {
	var changes []topology.Change
	want = withDefaults(want)
	for _, f := range slices.Concat(consumerFields, tunedFields) {
		if from, to := fmt.Sprint(f.Value(got)), fmt.Sprint(f.Value(want)); from != to {
			changes = append(changes, topology.Change{Field: f.Name, From: from, To: to})
		}
	}
	return changes
}

// WithFields is a consumer's configuration with the fields set that are compared; the rest stays.
func WithFields(c, want jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	want = withDefaults(want)
	c.FilterSubject, c.FilterSubjects, c.DeliverSubject, c.AckPolicy, c.MaxDeliver = want.FilterSubject, want.FilterSubjects, want.DeliverSubject, want.AckPolicy, want.MaxDeliver
	c.PriorityPolicy, c.PriorityGroups, c.HeadersOnly, c.BackOff = want.PriorityPolicy, want.PriorityGroups, want.HeadersOnly, want.BackOff
	c.AckWait, c.MaxAckPending, c.PinnedTTL, c.MaxWaiting = want.AckWait, want.MaxAckPending, want.PinnedTTL, want.MaxWaiting
	return c
}

// IsDrained reports whether all commands of a domain that were stored under a generation of
// partitions are acknowledged: each has its outcome, waits in PARKED, or is a dead letter. Once a
// later generation is the current one, that remains so.
func IsDrained(ctx context.Context, js jetstream.JetStream, domain event.Domain, g topology.Generation) (bool, error) {
	commands, err := js.Stream(ctx, topology.StreamCommands)
	if err != nil {
		return false, err
	}
	for p := range g.Partitions {
		c := CommandConsumer(domain, g.Number, p)
		// The stream's leader is asked for the last one. What a consumer has pending is not asked:
		// its leader may lag behind.
		last, found, err := ReadLast(ctx, js, commands, c.FilterSubject)
		if err != nil {
			return false, err
		}
		if !found {
			continue
		}
		if acked, err := AckedThrough(ctx, js, topology.StreamCommands, c, last.Sequence); err != nil || !acked {
			return false, err
		}
	}
	return true, nil
}
