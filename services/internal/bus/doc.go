// Package bus delivers messages of NATS JetStream to handlers, and reads and writes streams.
//
// A command is published to mailwright.cmd.<tenant>.<domain>.<key>. The stream COMMANDS stores it
// under mailwright.cmd.<tenant>.<domain>.<partition>.<key>: a subject transform spreads the keys of
// a domain over its partitions. Each partition has one durable consumer with a pinned client, so
// one process at a time receives its messages. That process handles many keys at the same time, and
// the commands of one key one after another, so that they take effect in the order published.
//
// The stream PARKED has, for each key with parked commands, a queue of references to them, and the
// schedules by which the server publishes the key's wake-ups.
//
// [Subscriber] is Watermill's Subscriber, tested by Watermill's conformance suite. Behind it are:
//   - partitionConsumer: the delivery loop of a partition, with its three parts partitionLease (the
//     pin), fence (may a message be started?) and keyQueues (which message is next?). The last two
//     are pure;
//   - sharedConsumer: the delivery loop of every other consumer;
//   - puller (the pull protocol), heartbeats (the leases of messages) and subscription (handlers
//     and acknowledgements), which the loops use.
//
// [PublishIfLast] writes, [LastMessageReader] and [Read] read a stream past every consumer.
package bus
