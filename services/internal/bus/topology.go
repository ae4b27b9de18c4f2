package bus

import (
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// StreamConsumer is a durable consumer, and the stream that it reads.
type StreamConsumer struct {
	Stream string
	Config jetstream.ConsumerConfig
}

// Consumers are all durable consumers of a domain: of commands and wake-ups, for each partition,
// and the one that delivers each command a second time.
func Consumers(domain event.Domain, partitions int) []StreamConsumer {
	var list []StreamConsumer
	for p := range partitions {
		list = append(list, StreamConsumer{topology.StreamCommands, CommandConsumer(domain, p)})
	}
	for p := range partitions {
		list = append(list, StreamConsumer{topology.StreamParked, WakeConsumer(domain, p)})
	}
	return append(list, StreamConsumer{topology.StreamCommands, RecheckConsumer(domain)})
}

// CheckConsumer compares a consumer with what it must be; the error names each field that differs.
func CheckConsumer(stream string, want, got jetstream.ConsumerConfig) error {
	name := want.Durable
	return topology.Differences("consumer "+name+" of stream "+stream, consumerFields, withDefaults(want), got,
		"change it with `nats consumer edit "+stream+" "+name+"`, or delete it while no service runs: it is created again, and starts with the oldest message")
}
