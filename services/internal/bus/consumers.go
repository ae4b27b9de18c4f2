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

// AckWait is how long a message may go without a sign of life from who holds it before it is
// given to another replica. A live subscriber gives one every third of it.
const AckWait = 15 * time.Second

// durable is what the consumers of the services have in common. A lost one is made again and starts
// from the oldest message in the stream.
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

// ownerGroup is the priority group of the consumers that go to one subscriber at a time.
const ownerGroup = "owner"

// CommandConsumer is the durable consumer of one partition. A lost one is made again, which is safe
// since EVENTS answers every command that was settled before.
func CommandConsumer(domain event.Domain, partition int) jetstream.ConsumerConfig {
	return ownedConsumer(domain, partition, topology.CommandFilter(domain, partition))
}

// ownedConsumer is named <domain>-<partition>. It goes to one replica at a time, which keeps the
// order of each key whatever the number of replicas: see [Subscriber].
func ownedConsumer(domain event.Domain, partition int, filter string) jetstream.ConsumerConfig {
	c := durable(fmt.Sprintf("%s-%d", domain, partition), filter)
	c.MaxAckPending = inFlight
	c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyPinned, []string{ownerGroup}, AckWait
	return c
}

// owned reports whether a consumer goes to one subscriber at a time.
func owned(c jetstream.ConsumerConfig) bool {
	return c.PriorityPolicy == jetstream.PriorityPolicyPinned
}

// WakeConsumer is the durable consumer of the wake-ups of one partition's keys. What waits on a key
// is taken up by one hand only, and keys side by side.
func WakeConsumer(domain event.Domain, partition int) jetstream.ConsumerConfig {
	return ownedConsumer(domain, partition, topology.WakeFilter(domain, partition))
}

// maxRechecked is how many commands that still wait a sweep keeps an eye on. Beyond it, those stored
// later are looked at later.
const maxRechecked = 100_000

// RecheckConsumer is the durable consumer, named <domain>-sweep, that hands out every command of a
// domain a second time, for a look at what became of it; and what no partition hands out: NATS
// takes a command whose key is a literal wildcard, but gives it no partition.
func RecheckConsumer(domain event.Domain) jetstream.ConsumerConfig {
	c := durable(string(domain)+"-sweep", topology.DomainFilter(domain))
	c.MaxAckPending = maxRechecked
	return c
}

// Topics resolves the topics of a [Subscriber], which are [topology.CommandFilter] and
// [topology.WakeFilter]. For any other topic it returns no stream.
func Topics(topic string) (stream string, c jetstream.ConsumerConfig) {
	if domain, partition, ok := topology.ParseCommandFilter(topic); ok {
		return topology.StreamCommands, CommandConsumer(domain, partition)
	}
	if domain, partition, ok := topology.ParseWakeFilter(topic); ok {
		return topology.StreamParked, WakeConsumer(domain, partition)
	}
	return "", c
}

// EnsureConsumer creates the consumer where it is missing, else checks it: the error names
// each field that differs. It never changes one.
func EnsureConsumer(ctx context.Context, js jetstream.StreamConsumerManager, stream string, want jetstream.ConsumerConfig) (jetstream.ConsumerConfig, error) {
	name := want.Durable
	consumer, err := js.Consumer(ctx, stream, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		consumer, err = js.CreateConsumer(ctx, stream, want)
		if errors.Is(err, jetstream.ErrConsumerExists) { // another replica was faster
			consumer, err = js.Consumer(ctx, stream, name)
		}
	}
	if err != nil {
		return want, fmt.Errorf("bus: consumer %s of %s: %w", name, stream, err)
	}
	got := consumer.CachedInfo().Config
	return got, topology.Differences("consumer "+name+" of stream "+stream, consumerFields, withDefaults(want), got,
		"change it with `nats consumer edit "+stream+" "+name+"`, or delete it while no service runs: it is made again, and starts from the oldest message")
}

// AckedThrough reports whether a consumer has settled a message and all before it. One that is lost has
// not: it is made again, and begins with the oldest.
func AckedThrough(ctx context.Context, js jetstream.StreamConsumerManager, stream string, c jetstream.ConsumerConfig, sequence uint64) (bool, error) {
	consumer, err := js.Consumer(ctx, stream, c.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("bus: how far consumer %s of %s has come: %w", c.Durable, stream, err)
	}
	return consumer.CachedInfo().AckFloor.Stream >= sequence, nil
}

// withDefaults fills in what the server chooses for settings that are left out.
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
	return c
}

var consumerFields = []topology.Field[jetstream.ConsumerConfig]{
	{Name: "filter_subject", Value: func(c jetstream.ConsumerConfig) any { return c.FilterSubject }},
	{Name: "filter_subjects", Value: func(c jetstream.ConsumerConfig) any { return fmt.Sprint(c.FilterSubjects) }},
	{Name: "deliver_subject", Value: func(c jetstream.ConsumerConfig) any { return c.DeliverSubject }},
	{Name: "deliver_policy", Value: func(c jetstream.ConsumerConfig) any { return c.DeliverPolicy }},
	{Name: "ack_policy", Value: func(c jetstream.ConsumerConfig) any { return c.AckPolicy }},
	{Name: "ack_wait", Value: func(c jetstream.ConsumerConfig) any { return c.AckWait }},
	{Name: "max_deliver", Value: func(c jetstream.ConsumerConfig) any { return c.MaxDeliver }},
	{Name: "max_ack_pending", Value: func(c jetstream.ConsumerConfig) any { return c.MaxAckPending }},
	{Name: "priority_policy", Value: func(c jetstream.ConsumerConfig) any { return c.PriorityPolicy }},
	{Name: "priority_groups", Value: func(c jetstream.ConsumerConfig) any { return fmt.Sprint(c.PriorityGroups) }},
	{Name: "priority_timeout", Value: func(c jetstream.ConsumerConfig) any { return c.PinnedTTL }},
	{Name: "headers_only", Value: func(c jetstream.ConsumerConfig) any { return c.HeadersOnly }},
	{Name: "backoff", Value: func(c jetstream.ConsumerConfig) any { return fmt.Sprint(c.BackOff) }},
}
