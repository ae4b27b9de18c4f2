package permissions

import (
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/audit"
)

// worker is the program that carries the commands of a domain out.
func (o Options) worker(d event.Domain) User {
	u := User{Name: Worker(d), Role: "carries " + string(d) + " commands out"}
	u.publish("checks the streams; reads the server's clock", o.streamInfo(allStreams()...)...)
	for _, c := range o.consumers(d) {
		u.publish("checks its consumers; sees whether another replica has a message", o.consumerAPI(c, "INFO"))
		u.publish("asks for messages", o.consumerAPI(c, "MSG.NEXT"))
		if c.owned {
			u.publish("gives a partition to another replica", o.consumerAPI(c, "UNPIN"))
		}
		u.publish("acknowledges messages; heartbeats", o.acknowledge(c)...)
	}
	for _, stream := range []string{topology.StreamCommands, topology.StreamEvents, topology.StreamParked} {
		u.publish("reads commands, the record of operations, and what waits", o.readMessage(stream)...)
	}
	for _, subject := range append(topology.WaitingOf(d), topology.WakeUpsOf(d)) {
		u.publish("reads schedules and wake-ups", o.readLast(topology.StreamParked, subject))
	}
	u.publish("takes what no longer waits out of PARKED", o.api("STREAM.MSG.DELETE."+topology.StreamParked))
	u.publish("removes commands with secrets after their outcome", o.api("STREAM.MSG.DELETE."+topology.StreamCommands))
	u.publish("results", topology.EventsOf(topology.Any, d))
	u.publish("parks commands and schedules their wake-ups", topology.WaitingOf(d)...)
	u.publish("dead letters", topology.DeadOf(topology.Any, d))
	switch d {
	case event.DomainDelegation:
		u.publish("has a mailbox read again after another replica took its command over", topology.CommandsOf(topology.Any, d))
	case event.DomainInventory:
		mailboxes := topology.MailboxesOf(topology.Any)
		u.publish("observations of mailboxes", mailboxes)
		u.publish("reads the latest observations", append(o.ordered(topology.StreamMailboxes, mailboxes),
			append(o.readMessage(topology.StreamMailboxes), o.readLast(topology.StreamMailboxes, mailboxes))...)...)
	}
	return u
}

// projection is the program that fills the projections.
func (o Options) projection() User {
	u := User{Name: Projection, Role: "fills the projections in Postgres"}
	drift := topology.DriftOf(topology.Any, event.DomainDelegation)
	u.publish("checks the streams", o.streamInfo(append(projected(), topology.StreamDrift)...)...)
	for _, stream := range projected() {
		u.publish("follows the streams", o.follow(stream)...)
		u.publish("checks that the stream is the one that its rows reflect", o.readMessage(stream)...)
	}
	u.deny("consumers of the workers", o.durables()...)
	u.publish("drift", drift)
	u.publish("reads the latest drift", append(o.readMessage(topology.StreamDrift), o.readLast(topology.StreamDrift, drift))...)
	return u
}

// streams is who makes streams and consumers.
func (o Options) streams() User {
	u := User{Name: Streams, Role: "makes and changes streams and consumers (mailwright streams apply)"}
	for _, stream := range allStreams() {
		u.publish("plans", o.streamInfo(stream)...)
		u.publish("makes streams that are missing, and changes those that differ", o.api("STREAM.CREATE."+stream), o.api("STREAM.UPDATE."+stream))
	}
	for _, d := range event.Domains() {
		for _, c := range o.consumers(d) {
			filter := c.filter
			if _, _, _, ofPartition := topology.ParseCommandFilter(filter); ofPartition {
				filter = ">" // it has the generation, which grows
			}
			u.publish("plans", o.consumerAPI(c, "INFO"))
			u.publish("makes consumers that are missing, and changes those that differ", o.consumerAPI(c, "CREATE")+"."+filter)
			u.publish("replaces consumers, and removes those of former partitions", o.consumerAPI(c, "DELETE"))
			if c.stream == topology.StreamParked {
				u.publish("has wake-ups come to rest before it replaces their consumer", o.consumerAPI(c, "PAUSE"))
			}
		}
	}
	u.publish("finds consumers of former partitions", o.api("CONSUMER.LIST."+topology.StreamCommands))
	u.publish("sees whether former partitions are worked off", o.readMessage(topology.StreamCommands)...)
	u.audited()
	return u
}

// console is the program that serves the console. Who may act on which tenant there is its affair.
func (o Options) console() User {
	u := User{Name: Console, Role: "serves the console"}
	o.acts(&u)
	for _, d := range event.Domains() {
		for _, c := range o.consumers(d) {
			u.publish("shows which replica has a partition", o.consumerAPI(c, "INFO"))
		}
	}
	return u
}

// operator is the command line of those who run the system. It reaches every tenant: a dead letter
// is taken out by its sequence, which no subject keeps to a tenant.
func (o Options) operator(name string) User {
	u := User{Name: name, Role: "the command line of those who run the system; every tenant"}
	o.acts(&u)
	u.publish("publishes the keys to seal secrets to", topology.RecipientsSubject(topology.Any))
	return u
}

// acts are the rules of those who see the whole system and act on operations.
func (o Options) acts(u *User) {
	for _, d := range event.Domains() {
		u.publish("sends, cancels and replays commands", topology.CommandsOf(topology.Any, d))
		u.publish("has an operation that waits tried at once", topology.WakeUpsOf(d))
	}
	u.publish("status; follows from now on", o.streamInfo(allStreams()...)...)
	u.publish("status", o.api("CONSUMER.LIST."+topology.StreamCommands))
	for _, stream := range append(projected(), topology.StreamDrift) {
		u.publish("watches; verifies and rebuilds projections", append(o.follow(stream), o.api("CONSUMER.DELETE."+stream+".*"))...)
	}
	u.deny("consumers of the workers", o.durables()...)
	for _, stream := range allStreams() {
		u.publish("shows commands, outcomes and dead letters", append(o.readMessage(stream), o.readLast(stream, ">"))...)
	}
	u.publish("discards dead letters", o.api("STREAM.MSG.DELETE."+topology.StreamDead))
	u.publish("removes secrets of dead-lettered commands", o.api("STREAM.MSG.DELETE."+topology.StreamCommands))
	u.audited()
}

// erasure takes what is about a person out of every stream. The request that purges EVENTS, and
// those that delete, name in their bodies what they are about.
func (o Options) erasure() User {
	u := User{Name: Erasure, Role: "takes a person's data out (mailwright erase); every tenant"}
	u.publish("looks for the person; makes the rows anew", o.streamInfo(allStreams()...)...)
	for _, stream := range append(projected(), topology.StreamDrift) {
		u.publish("looks for the person; makes the rows anew", append(o.follow(stream), o.api("CONSUMER.DELETE."+stream+".*"))...)
	}
	for _, stream := range append(projected(), topology.StreamDrift, topology.StreamParked) {
		u.publish("reads the state of operations, and what waits", append(o.readMessage(stream), o.readLast(stream, ">"))...)
	}
	for _, stream := range erased() {
		u.publish("takes messages out", o.api("STREAM.MSG.DELETE."+stream))
	}
	u.publish("takes the records of operations out", o.api("STREAM.PURGE."+topology.StreamEvents))
	u.deny("consumers of the workers", o.durables()...)
	u.audited()
	return u
}

// auditor reads what people did, and nothing else.
func (o Options) auditor() User {
	u := User{Name: Auditor, Role: "reads what people did (mailwright audit)"}
	u.publish("reads AUDIT", append(o.follow(topology.StreamAudit), o.api("CONSUMER.DELETE."+topology.StreamAudit+".*"))...)
	u.publish("reads AUDIT", append(o.readMessage(topology.StreamAudit), o.streamInfo(topology.StreamAudit)...)...)
	return u
}

// audited are the rules of a user whose program does what a person tells it. It publishes in AUDIT
// on the subjects of its own name alone: so NATS vouches for the user.
func (u *User) audited() {
	u.publish("tells AUDIT what the person does", topology.AuditOf(u.Name), audit.UserInfoSubject())
}

// publisher publishes the commands of a scope and awaits their outcomes.
func (o Options) publisher(s Scope) User {
	u := User{Name: Publisher(s), Role: "publishes commands" + s.of() + ", and awaits their outcomes"}
	for _, d := range s.domains() {
		u.publish("commands", topology.CommandsOf(s.Tenant, d))
	}
	u.publish("keys to seal secrets to", o.readLast(topology.StreamRecipients, topology.RecipientsSubject(s.Tenant)))
	u.outcomes(o, s)
	return u
}

// reader follows the events of a scope.
func (o Options) reader(s Scope) User {
	u := User{Name: Reader(s), Role: "reads results, observations, drift and dead letters" + s.of()}
	u.outcomes(o, s)
	for _, d := range s.domains() {
		u.publish("drift", o.ordered(topology.StreamDrift, topology.DriftOf(s.Tenant, d))...)
		if d == event.DomainInventory {
			u.publish("observations of mailboxes", o.ordered(topology.StreamMailboxes, topology.MailboxesOf(s.Tenant))...)
		}
	}
	return u
}

// outcomes are the rules for reading what became of the commands of a scope.
func (u *User) outcomes(o Options, s Scope) {
	for _, d := range s.domains() {
		u.publish("results", o.ordered(topology.StreamEvents, topology.EventsOf(s.Tenant, d))...)
		u.publish("dead letters", o.ordered(topology.StreamDead, topology.DeadOf(s.Tenant, d))...)
	}
}

func (s Scope) of() string {
	if s.Domain == "" {
		return " of tenant " + s.Tenant
	}
	return " of tenant " + s.Tenant + " in domain " + string(s.Domain)
}

func (u *User) publish(why string, subjects ...string) { u.Publish = rules(u.Publish, why, subjects) }

func (u *User) deny(why string, subjects ...string) { u.Deny = rules(u.Deny, why, subjects) }

func rules(list []Rule, why string, subjects []string) []Rule {
	for _, s := range subjects {
		list = append(list, Rule{s, why})
	}
	return list
}
