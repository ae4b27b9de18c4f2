// Package bus is Mailwright's NATS JetStream: its subjects, its streams as code, and
// Watermill's Publisher and Subscriber over it.
//
// A command is published to mailwright.cmd.<tenant>.<domain>.<key>. The stream COMMANDS stores it
// under mailwright.cmd.<tenant>.<domain>.<partition>.<key>: a subject transform spreads the keys of
// a domain over its partitions. Each partition has one durable consumer, which goes to one replica
// at a time. That one works on many keys side by side, and on the commands of a key one after
// another, so that they take effect in the order published.
//
// The stream PARKED holds what waits: for each key a queue of references to commands, and the
// schedules by which the server wakes a key, or has a command that is due join its key's queue.
package bus
