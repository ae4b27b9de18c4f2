package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// AckWait is how long a delivered message may go without a heartbeat before the server redelivers
// it, perhaps to another process.
const AckWait = 15 * time.Second

// durable is the configuration that all consumers of the services share. One that was deleted is
// created again and starts with the oldest message of the stream.
func durable(name, filter string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       name,
		FilterSubject: filter,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       AckWait,
		MaxDeliver:    -1,
	}
}

// CommandConsumer is the durable consumer of one partition of a domain's commands, of one
// generation: see [topology.Layout]. It may be deleted while its generation is the current one: it
// is created again, and EVENTS answers every command that has its outcome.
//
// It is named <domain>-<partition>, and <domain>-odd-<partition> in generations with an odd number,
// so that those of two generations exist at a time, and permissions can name all of them beforehand.
func CommandConsumer(domain event.Domain, generation, partition int) jetstream.ConsumerConfig {
	name := fmt.Sprintf("%s-%d", domain, partition)
	if generation%2 == 1 {
		name = fmt.Sprintf("%s-odd-%d", domain, partition)
	}
	return pinnedConsumer(name, topology.CommandFilter(domain, generation, partition))
}

// pinnedConsumer is one whose messages the server delivers to one process at a time, so each key
// keeps its order with any number of processes: see [Subscriber].
func pinnedConsumer(name, filter string) jetstream.ConsumerConfig {
	c := durable(name, filter)
	c.MaxAckPending = maxAckPending
	c.PriorityPolicy = jetstream.PriorityPolicyPinned
	c.PriorityGroups = []string{partitionGroup}
	c.PinnedTTL = AckWait
	return c
}

// isPinned reports whether the server delivers a consumer's messages to one process at a time.
func isPinned(c jetstream.ConsumerConfig) bool {
	return c.PriorityPolicy == jetstream.PriorityPolicyPinned
}

// WakeConsumer is the durable consumer, named <domain>-<lane>, of the wake-ups of one lane's keys.
// One process at a time receives them, and those of different keys at the same time.
func WakeConsumer(domain event.Domain, lane int) jetstream.ConsumerConfig {
	return pinnedConsumer(fmt.Sprintf("%s-%d", domain, lane), topology.WakeFilter(domain, lane))
}

// maxRechecked is how many commands without an outcome the recheck consumer delivers again and
// again. With more of them, it reaches later commands later.
const maxRechecked = 100_000

// RecheckConsumer is the durable consumer, named <domain>-recheck, that delivers every command of a
// domain a second time, to check that it has an outcome. It also delivers commands that belong to
// no partition: NATS stores a command whose key is a literal wildcard, but not in a partition.
func RecheckConsumer(domain event.Domain) jetstream.ConsumerConfig {
	c := durable(string(domain)+"-recheck", topology.DomainFilter(domain))
	c.MaxAckPending = maxRechecked
	return c
}

// Topics resolves the topics of a [Subscriber], which are [topology.CommandFilter] and
// [topology.WakeFilter]. For any other topic it returns no stream.
func Topics(topic string) (stream string, c jetstream.ConsumerConfig) {
	if domain, generation, partition, ok := topology.ParseCommandFilter(topic); ok {
		return topology.StreamCommands, CommandConsumer(domain, generation, partition)
	}
	if domain, lane, ok := topology.ParseWakeFilter(topic); ok {
		return topology.StreamParked, WakeConsumer(domain, lane)
	}
	return "", c
}

// EnsureConsumer returns the configuration of a consumer, which it creates if it is missing, by
// [mayCreate]. The error names each field of an existing one that is not as it must be: see
// [CheckConsumer]. It never changes a consumer.
func EnsureConsumer(ctx context.Context, js jetstream.JetStream, stream string, want jetstream.ConsumerConfig) (jetstream.ConsumerConfig, error) {
	name := want.Durable
	consumer, err := js.Consumer(ctx, stream, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		if err := mayCreate(ctx, js, stream, want); err != nil {
			return want, fmt.Errorf("bus: consumer %s of %s: %w", name, stream, err)
		}
		consumer, err = js.CreateConsumer(ctx, stream, want)
		if errors.Is(err, jetstream.ErrConsumerExists) { // another process was faster
			consumer, err = js.Consumer(ctx, stream, name)
		}
	}
	if err != nil {
		return want, fmt.Errorf("bus: consumer %s of %s: %w", name, stream, err)
	}
	got := consumer.CachedInfo().Config
	return got, CheckConsumer(stream, want, got)
}

// mayCreate returns an error for a consumer of a generation of partitions that is not the current
// one. It would deliver all commands of that generation again: `mailwright streams apply` deletes
// the consumer when they are acknowledged, maybe before this process has noticed.
func mayCreate(ctx context.Context, js jetstream.StreamManager, stream string, want jetstream.ConsumerConfig) error {
	_, generation, _, ok := topology.ParseCommandFilter(want.FilterSubject)
	if !ok || stream != topology.StreamCommands {
		return nil
	}
	commands, err := js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	layout, err := topology.LayoutOf(commands.CachedInfo().Config)
	if err != nil {
		return err
	}
	if layout.Current.Number != generation {
		return fmt.Errorf("it is missing, and is one of the partitions of generation %d, before those that COMMANDS has now; `mailwright streams apply` makes it if it is needed", generation)
	}
	return nil
}

// AckedThrough reports whether the message with a stream sequence, and all messages of the consumer
// before it, are acknowledged. It is false for a consumer that does not exist: it will be created
// again, and starts with the oldest message.
func AckedThrough(ctx context.Context, js jetstream.StreamConsumerManager, stream string, c jetstream.ConsumerConfig, sequence uint64) (bool, error) {
	consumer, err := js.Consumer(ctx, stream, c.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("bus: ack floor of consumer %s of %s: %w", c.Durable, stream, err)
	}
	return consumer.CachedInfo().AckFloor.Stream >= sequence, nil
}

// CommandAckedThrough is [AckedThrough] of the partition in which COMMANDS holds a command. The
// partitions of a past generation have nothing more to do: they are worked off.
func CommandAckedThrough(ctx context.Context, js jetstream.StreamConsumerManager, l topology.Layout, a topology.Address, sequence uint64) (bool, error) {
	if l.IsPast(a.Generation) {
		return true, nil
	}
	return AckedThrough(ctx, js, topology.StreamCommands, CommandConsumer(a.Domain, a.Generation, a.Partition), sequence)
}

// withDefaults sets the fields that are zero to the server's defaults.
func withDefaults(c jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	if c.AckWait == 0 {
		c.AckWait = AckWait
	}
	if c.MaxDeliver == 0 {
		c.MaxDeliver = -1
	}
	if c.MaxAckPending == 0 {
		c.MaxAckPending = 1000
	}
	if c.MaxWaiting == 0 {
		c.MaxWaiting = 512
	}
	return c
}

// consumerFields are those that are compared with what they must be.
var consumerFields = []topology.Field[jetstream.ConsumerConfig]{
	{Name: "filter_subject", Value: func(c jetstream.ConsumerConfig) any { return c.FilterSubject }},
	{Name: "filter_subjects", Value: func(c jetstream.ConsumerConfig) any { return fmt.Sprint(c.FilterSubjects) }},
	{Name: "deliver_subject", Value: func(c jetstream.ConsumerConfig) any { return c.DeliverSubject }},
	{Name: "ack_policy", Value: func(c jetstream.ConsumerConfig) any { return c.AckPolicy }},
	{Name: "max_deliver", Value: func(c jetstream.ConsumerConfig) any { return c.MaxDeliver }},
	{Name: "priority_policy", Value: func(c jetstream.ConsumerConfig) any { return c.PriorityPolicy }},
	{Name: "priority_groups", Value: func(c jetstream.ConsumerConfig) any { return fmt.Sprint(c.PriorityGroups) }},
	{Name: "headers_only", Value: func(c jetstream.ConsumerConfig) any { return c.HeadersOnly }},
	{Name: "backoff", Value: func(c jetstream.ConsumerConfig) any { return fmt.Sprint(c.BackOff) }},
}

// tunedFields are those that change how fast a consumer is, and how soon another process takes over.
// A version that changes one works with consumers of the one before.
var tunedFields = []topology.Field[jetstream.ConsumerConfig]{
	{Name: "ack_wait", Value: func(c jetstream.ConsumerConfig) any { return c.AckWait }},
	{Name: "max_ack_pending", Value: func(c jetstream.ConsumerConfig) any { return c.MaxAckPending }},
	{Name: "max_waiting", Value: func(c jetstream.ConsumerConfig) any { return c.MaxWaiting }},
	{Name: "priority_timeout", Value: func(c jetstream.ConsumerConfig) any { return c.PinnedTTL }},
}
