// Package bus is Mailwright's NATS JetStream: its subjects, its streams as code, and
// Watermill's Publisher and Subscriber over it.
//
// A command is published to mailwright.cmd.<domain>.<key>. The stream COMMANDS stores it
// under mailwright.cmd.<domain>.<partition>.<key>: a subject transform spreads the keys of a
// domain over its partitions. Each partition has one durable consumer that hands out one
// message at a time, so the commands of a key take effect in the order published whichever
// replica happens to ask, and a domain works on as many commands at once as it has partitions.
package bus
