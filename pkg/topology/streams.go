package topology

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
)

// The streams.
const (
	StreamCommands  = "COMMANDS"
	StreamEvents    = "EVENTS"
	StreamMailboxes = "MAILBOXES"
	StreamParked    = "PARKED"
	StreamDrift     = "DRIFT"
	StreamDead      = "DEAD"
	// StreamRecipients holds the keys to which publishers seal secrets.
	StreamRecipients = "RECIPIENTS"
	// StreamAudit holds what people do to the system.
	StreamAudit = "AUDIT"
)

// DefaultPartitions is the number of parts into which a domain's keys are spread; each is held by
// one replica at a time.
const DefaultPartitions = 8

// Config is what an operator decides about the streams.
type Config struct {
	// Partitions of each domain of COMMANDS; 0 is [DefaultPartitions]. Fixed once the stream
	// exists.
	Partitions int
	// Replicas of each stream: 1, 3 or 5; 0 is 1. Three survive the loss of a server.
	Replicas int
	// Storage is file (the zero value) or, for tests, memory.
	Storage jetstream.StorageType
	// CommandAge is how long COMMANDS keeps a command, finished or not; 0 is 30 days. It must
	// exceed the longest time that every replica of a service may be down.
	CommandAge time.Duration
	// MaxBytes is the size of each stream that is made, in bytes; 0: unlimited, which some accounts
	// refuse. A full stream refuses what is new; PARKED alone drops its oldest reference. The size
	// of a stream that exists is the operator's.
	MaxBytes int64
}

const (
	// duplicates is how long a stream refuses a second message with the same Nats-Msg-Id, which
	// spares a repetition after a lost confirmation.
	duplicates = 2 * time.Minute
	// minDuplicates is the shortest window that the server allows (nats-server, checkStreamCfg).
	minDuplicates = 100 * time.Millisecond
)

// advisories precede the subjects on which JetStream tells what a consumer gave up.
const advisories = "$JS.EVENT.ADVISORY.CONSUMER."

// Streams returns the streams as code. Every field that the promises of Mailwright hang on is
// set here and checked by [Ensure]; placement, compression and the like are the operator's.
func Streams(c Config) []jetstream.StreamConfig {
	stream := func(name, description string, subjects ...string) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name:        name,
			Description: description,
			Subjects:    subjects,
			Storage:     c.Storage,
			Replicas:    cmp.Or(c.Replicas, 1),
			Retention:   jetstream.LimitsPolicy,
			MaxMsgs:     -1,
			MaxBytes:    cmp.Or(c.MaxBytes, -1),
			// Where a stream is full, refuse the new message, whose publisher hears of it, rather
			// than drop the oldest, which may not have been carried out.
			Discard:           jetstream.DiscardNew,
			MaxMsgsPerSubject: -1,
			MaxMsgSize:        -1,
			Duplicates:        duplicates,
			// Direct reads are cheap, but a server that lags may answer them: fine where there is
			// one.
			AllowDirect: cmp.Or(c.Replicas, 1) == 1,
		}
	}

	commands := stream(StreamCommands, "Commands, spread over the partitions of their domain")
	for _, d := range event.Domains() {
		commands.Subjects = append(commands.Subjects, join("cmd", "*", string(d), "*"))
	}
	commands.SubjectTransform = partitionTransform(cmp.Or(c.Partitions, DefaultPartitions))
	commands.MaxAge = cmp.Or(c.CommandAge, 30*24*time.Hour)
	// Nats-Msg-Id is the publisher's own: two publishers may use the same one for two commands, and
	// the server would swallow the second. A duplicate is answered from EVENTS instead.
	commands.Duplicates = minDuplicates

	events := stream(StreamEvents, "The record: every event of every operation", join("evt", "*", "*", "*"))
	// No single event may be taken out of an operation's history: the last one answers a command
	// that is sent again. Purging the subject of an operation stays possible, for erasure on
	// request.
	events.DenyDelete = true

	mailboxes := stream(StreamMailboxes, "The latest observation of each mailbox", join("mailbox", "*", "*"))
	mailboxes.MaxMsgsPerSubject = 1

	drift := stream(StreamDrift, "How each mailbox differs from what the last command left", join("drift", "*", "*", "*"))
	drift.MaxMsgsPerSubject = 1

	parked := stream(StreamParked, "References to commands that wait, and the schedules that wake them",
		join("parked", ">"), join("schedule", ">"), join("notbefore", ">"), join("wake", ">"))
	parked.AllowMsgSchedules = true
	// The server refuses schedules in a stream that discards new messages. Should the stream be
	// full, the oldest reference goes; the check of every command then finds the command without an
	// outcome.
	parked.Discard = jetstream.DiscardOld
	parked.AllowRollup = true // which schedules imply
	// A wake-up is gone once it is acknowledged; what is parked has no consumer and stays until it
	// is taken out.
	parked.Retention = jetstream.WorkQueuePolicy

	dead := stream(StreamDead, "Messages that nobody can carry out or answer, with the reason", join("dead", ">"))
	// JetStream tells of a message that it gives up once, to whoever listens. The stream always
	// does. It also says of a message that is deleted before each consumer has acknowledged it that
	// it was terminated, as of each command that is removed after its outcome. So DEAD takes no
	// such advisory of COMMANDS: the recheck finds a command that somebody terminated.
	for _, given := range []string{"MAX_DELIVERIES." + StreamCommands, "MAX_DELIVERIES." + StreamParked, "MSG_TERMINATED." + StreamParked} {
		dead.Subjects = append(dead.Subjects, advisories+given+".*")
	}

	recipients := stream(StreamRecipients, "The public keys to which each tenant's publishers seal secrets", join("recipients", "*"))
	recipients.MaxMsgsPerSubject = 1
	// A publisher asks for its tenant's by a request whose subject permissions can name. A server
	// that lags answers with earlier keys, which the services still have: see docs/security.md.
	recipients.AllowDirect = true

	audit := stream(StreamAudit, "What people do to the system: who, what, why, and how it ended", join("audit", "*", "*"))
	// Nobody takes out what he has done, whatever his permissions are.
	audit.DenyDelete = true
	audit.DenyPurge = true

	return []jetstream.StreamConfig{commands, events, mailboxes, drift, parked, dead, recipients, audit}
}

func partitionTransform(partitions int) *jetstream.SubjectTransformConfig {
	return &jetstream.SubjectTransformConfig{
		Source:      join("cmd", "*", "*", "*"),
		Destination: join("cmd", "{{wildcard(1)}}", "{{wildcard(2)}}", fmt.Sprintf("{{partition(%d,1,2,3)}}", partitions), "{{wildcard(3)}}"),
	}
}

// Ensure creates the streams that are missing and checks those that exist. It never changes
// one: the error names each stream and field that differs, and what to do.
func Ensure(ctx context.Context, js jetstream.StreamManager, c Config) error {
	var errs []error
	for _, want := range Streams(c) {
		errs = append(errs, ensureStream(ctx, js, want))
	}
	return errors.Join(errs...)
}

func ensureStream(ctx context.Context, js jetstream.StreamManager, want jetstream.StreamConfig) error {
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another replica was faster
			stream, err = js.Stream(ctx, want.Name)
		}
	}
	if err != nil {
		return fmt.Errorf("topology: stream %s: %w", want.Name, err)
	}
	return CheckStream(want, stream.CachedInfo().Config)
}

// CheckStream compares a stream with what it must be; the error names each field that differs.
func CheckStream(want, got jetstream.StreamConfig) error {
	return Differences("stream "+want.Name, streamFields, want, got,
		"change it with `nats stream edit "+want.Name+"`, or change Mailwright's settings")
}

const partitionRemedy = "the number of partitions is fixed once COMMANDS exists: with another, keys would move " +
	"between partitions while commands are in flight, and lose their order; keep the number, or stop the " +
	"publishers, let every command end, delete COMMANDS and start again"

var streamFields = []Field[jetstream.StreamConfig]{
	{Name: "subjects", Value: func(s jetstream.StreamConfig) any { return s.Subjects }},
	{Name: "subject_transform", Value: func(s jetstream.StreamConfig) any { return transform(s.SubjectTransform) }, Remedy: partitionRemedy},
	{Name: "retention", Value: func(s jetstream.StreamConfig) any { return s.Retention }},
	{Name: "storage", Value: func(s jetstream.StreamConfig) any { return s.Storage }},
	{Name: "num_replicas", Value: func(s jetstream.StreamConfig) any { return s.Replicas }},
	{Name: "discard", Value: func(s jetstream.StreamConfig) any { return s.Discard }},
	{Name: "max_age", Value: func(s jetstream.StreamConfig) any { return s.MaxAge }},
	{Name: "max_msgs", Value: func(s jetstream.StreamConfig) any { return s.MaxMsgs }},
	{Name: "max_msgs_per_subject", Value: func(s jetstream.StreamConfig) any { return s.MaxMsgsPerSubject }},
	{Name: "max_msg_size", Value: func(s jetstream.StreamConfig) any { return s.MaxMsgSize }},
	{Name: "duplicate_window", Value: func(s jetstream.StreamConfig) any { return s.Duplicates }},
	{Name: "no_ack", Value: func(s jetstream.StreamConfig) any { return s.NoAck }},
	{Name: "sealed", Value: func(s jetstream.StreamConfig) any { return s.Sealed }},
	{Name: "allow_direct", Value: func(s jetstream.StreamConfig) any { return s.AllowDirect }},
	{Name: "deny_delete", Value: func(s jetstream.StreamConfig) any { return s.DenyDelete }},
	{Name: "deny_purge", Value: func(s jetstream.StreamConfig) any { return s.DenyPurge }},
	{Name: "allow_rollup_hdrs", Value: func(s jetstream.StreamConfig) any { return s.AllowRollup }},
	{Name: "allow_msg_ttl", Value: func(s jetstream.StreamConfig) any { return s.AllowMsgTTL }},
	{Name: "allow_msg_schedules", Value: func(s jetstream.StreamConfig) any { return s.AllowMsgSchedules }},
}

func transform(t *jetstream.SubjectTransformConfig) string {
	if t == nil {
		return "none"
	}
	return t.Source + " to " + t.Destination
}
