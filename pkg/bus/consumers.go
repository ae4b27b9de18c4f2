package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
)

// AckWait is how long a message may go without a sign of life from who holds it before it is
// given to another replica. A live subscriber gives one every third of it.
const AckWait = 15 * time.Second

// CommandTopic is what a service subscribes to for one partition: the filter of its consumer.
func CommandTopic(domain event.Domain, partition int) string {
	return join("cmd", "*", string(domain), strconv.Itoa(partition), "*")
}

// durable is what the consumers of the services have in common. A lost one is made again and starts from the oldest message in the
// stream.
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

// CommandConsumer is the durable consumer of one partition. A lost one is made again, which is safe since EVENTS answers every command that
// was settled before.
func CommandConsumer(domain event.Domain, partition int) jetstream.ConsumerConfig {
	return ownedConsumer(domain, partition, CommandTopic(domain, partition))
}

// ownedConsumer is named <domain>-<partition>. It goes to one replica at a time, which keeps the order of each key whatever the number
// of replicas: see [Subscriber].
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

// WakeTopic is what a service subscribes to for the wake-ups of one partition's keys.
func WakeTopic(domain event.Domain, partition int) string {
	return join("wake", "*", string(domain), strconv.Itoa(partition), "*")
}

// WakeConsumer is the durable consumer of the wake-ups of one partition's keys. What waits on a key is taken up by one hand only, and
// keys side by side.
func WakeConsumer(domain event.Domain, partition int) jetstream.ConsumerConfig {
	return ownedConsumer(domain, partition, WakeTopic(domain, partition))
}

// mostSwept is how many commands that still wait a sweep keeps an eye on. Beyond it, those stored later are looked
// at later.
const mostSwept = 100_000

// SweepConsumer is the durable consumer, named <domain>-sweep, that hands out every command of a domain a second
// time, for a look at what became of it; and what no partition hands out: NATS takes a command whose key is a literal wildcard, but
// gives it no partition.
func SweepConsumer(domain event.Domain) jetstream.ConsumerConfig {
	c := durable(string(domain)+"-sweep", join("cmd", "*", string(domain), ">"))
	c.MaxAckPending = mostSwept
	return c
}

// Topics resolves the topics of [CommandTopic] and [WakeTopic] for a [Subscriber]; for any other it
// returns no stream.
func Topics(topic string) (stream string, c jetstream.ConsumerConfig) {
	if a, ok := parse("cmd", topic); ok && a.everyKey() {
		return Commands, CommandConsumer(a.Domain, a.Partition)
	}
	if a, ok := parse("wake", topic); ok && a.everyKey() {
		return Parked, WakeConsumer(a.Domain, a.Partition)
	}
	return "", c
}

func (a Address) everyKey() bool {
	return a.Tenant == "*" && a.Key == "*" && slices.Contains(event.Domains(), a.Domain)
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
	return got, differences("consumer "+name+" of stream "+stream, consumerFields, withDefaults(want), got,
		"change it with `nats consumer edit "+stream+" "+name+"`, or delete it while no service runs: it is made again, and starts from the oldest message")
}

// Past reports whether a consumer has settled a message and all before it. One that is lost has not: it is made again, and begins with the
// oldest.
func Past(ctx context.Context, js jetstream.StreamConsumerManager, stream string, c jetstream.ConsumerConfig, sequence uint64) (bool, error) {
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

var consumerFields = []field[jetstream.ConsumerConfig]{
	{name: "filter_subject", value: func(c jetstream.ConsumerConfig) any { return c.FilterSubject }},
	{name: "filter_subjects", value: func(c jetstream.ConsumerConfig) any { return fmt.Sprint(c.FilterSubjects) }},
	{name: "deliver_subject", value: func(c jetstream.ConsumerConfig) any { return c.DeliverSubject }},
	{name: "deliver_policy", value: func(c jetstream.ConsumerConfig) any { return c.DeliverPolicy }},
	{name: "ack_policy", value: func(c jetstream.ConsumerConfig) any { return c.AckPolicy }},
	{name: "ack_wait", value: func(c jetstream.ConsumerConfig) any { return c.AckWait }},
	{name: "max_deliver", value: func(c jetstream.ConsumerConfig) any { return c.MaxDeliver }},
	{name: "max_ack_pending", value: func(c jetstream.ConsumerConfig) any { return c.MaxAckPending }},
	{name: "priority_policy", value: func(c jetstream.ConsumerConfig) any { return c.PriorityPolicy }},
	{name: "priority_groups", value: func(c jetstream.ConsumerConfig) any { return fmt.Sprint(c.PriorityGroups) }},
	{name: "priority_timeout", value: func(c jetstream.ConsumerConfig) any { return c.PinnedTTL }},
	{name: "headers_only", value: func(c jetstream.ConsumerConfig) any { return c.HeadersOnly }},
	{name: "backoff", value: func(c jetstream.ConsumerConfig) any { return fmt.Sprint(c.BackOff) }},
}
