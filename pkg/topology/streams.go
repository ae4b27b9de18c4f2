package topology

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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
	// Partitions of each domain, where COMMANDS is made; 0 is [DefaultPartitions]. What a stream
	// that exists has is its [Layout].
	Partitions int
	// Replicas of each stream: 1, 3 or 5; 0 is 1. Three survive the loss of a server.
	Replicas int
	// Storage is file (the zero value) or, for tests, memory.
	Storage jetstream.StorageType
	// Limits of streams, by name. Those of a stream that is not named are unlimited where it is
	// made, but for COMMANDS, which keeps a command for 30 days.
	Limits map[string]Limit
	// MaxBytes is the size of each stream for which Limits names none, where it is made; 0:
	// unlimited, which some accounts refuse.
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

// Streams returns the streams as code, as they are made. Every field that the promises of Mailwright
// hang on is set here and checked by [Ensure]; placement, compression and the like are the
// operator's, and so are limits within their [Bounds].
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
		}
	}

	commands := stream(StreamCommands, "Commands, spread over the partitions of their domain")
	for _, d := range event.Domains() {
		commands.Subjects = append(commands.Subjects, join("cmd", "*", string(d), "*"))
	}
	Layout{Current: Generation{Partitions: cmp.Or(c.Partitions, DefaultPartitions)}}.Apply(&commands)
	commands.MaxAge = 30 * day
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

	audit := stream(StreamAudit, "What people do to the system: who, what, why, and how it ended", join("audit", "*", "*"))
	// Nobody takes out what he has done, whatever his permissions are.
	audit.DenyDelete = true
	audit.DenyPurge = true

	list := []jetstream.StreamConfig{commands, events, mailboxes, drift, parked, dead, recipients, audit}
	for i := range list {
		c.Limits[list[i].Name].set(&list[i])
		list[i].AllowDirect = mayReadDirectly(list[i])
	}
	return list
}

// set writes the members that the limit has.
func (l Limit) set(c *jetstream.StreamConfig) {
	if l.MaxAge != nil {
		c.MaxAge = *l.MaxAge
	}
	if l.MaxBytes != nil {
		c.MaxBytes = cmp.Or(*l.MaxBytes, -1)
	}
}

// Ensure creates the streams that are missing and checks those that exist, by [CheckStream]. It
// never changes one: the error names each stream and field that is not as it must be, and what to
// do.
func Ensure(ctx context.Context, js jetstream.StreamManager, c Config) error {
	var errs []error
	age := map[string]time.Duration{}
	for _, want := range Streams(c) {
		got, err := ensureStream(ctx, js, want)
		errs = append(errs, err)
		age[want.Name] = got.MaxAge
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return CheckAges(age[StreamCommands], age[StreamEvents])
}

func ensureStream(ctx context.Context, js jetstream.StreamManager, want jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another replica was faster
			stream, err = js.Stream(ctx, want.Name)
		}
	}
	if err != nil {
		return want, fmt.Errorf("topology: stream %s: %w", want.Name, err)
	}
	got := stream.CachedInfo().Config
	return got, CheckStream(want, got)
}

// CheckStream holds a stream against what the promises of Mailwright need of it. Its age, its size
// and its replicas are the operator's, within their [Bounds]. The error names each field.
func CheckStream(want, got jetstream.StreamConfig) error {
	return errors.Join(
		Differences("stream "+want.Name, neededFields(got), want, got, "`mailwright streams plan` shows it, and `mailwright streams apply` changes what can be changed"),
		CheckLimit(want.Name, limitOf(got)),
		checkLayout(got),
	)
}

func checkLayout(c jetstream.StreamConfig) error {
	if c.Name != StreamCommands {
		return nil
	}
	_, err := LayoutOf(c)
	return err
}

// Change is a field of a stream, or of a consumer, that is not as it is to be.
type Change struct{ Field, From, To string }

// String implements fmt.Stringer.
func (c Change) String() string { return fmt.Sprintf("%s: %s becomes %s", c.Field, c.From, c.To) }

// Changes lists what makes a stream what it is to be. next is the whole configuration that it is to
// have: what is not ours stays. Where the limits of c name nothing, those of the stream stay too, if
// they are within their bounds.
func Changes(c Config, want, got jetstream.StreamConfig) (changes []Change, next jetstream.StreamConfig) {
	next = got
	setFields(&next, want)
	limit, has := c.Limits[want.Name], limitOf(got)
	if limit.MaxAge != nil || CheckLimit(want.Name, Limit{MaxAge: has.MaxAge}) != nil {
		next.MaxAge = want.MaxAge
	}
	if limit.MaxBytes != nil || CheckLimit(want.Name, Limit{MaxBytes: has.MaxBytes}) != nil {
		next.MaxBytes = want.MaxBytes
	}
	if c.Replicas > 0 {
		next.Replicas = c.Replicas
	}
	next.AllowDirect = mayReadDirectly(next)
	for _, f := range slices.Concat(streamFields, limitFields) {
		if from, to := fmt.Sprint(f.Value(got)), fmt.Sprint(f.Value(next)); from != to {
			changes = append(changes, Change{f.Name, from, to})
		}
	}
	return changes, next
}

// mayReadDirectly reports whether direct reads of a stream are right. They are cheap, but a server
// that lags may answer them: that is fine where there is one server. A publisher asks for its
// tenant's recipients by a request whose subject permissions can name, which is a direct read; a
// server that lags answers with earlier keys, which the services still have: see docs/security.md.
func mayReadDirectly(c jetstream.StreamConfig) bool {
	return c.Replicas == 1 || c.Name == StreamRecipients
}

// setFields gives a stream what [streamFields] compares, save allow_direct.
func setFields(c *jetstream.StreamConfig, want jetstream.StreamConfig) {
	c.Subjects, c.Retention, c.Storage, c.Discard = want.Subjects, want.Retention, want.Storage, want.Discard
	c.MaxMsgs, c.MaxMsgsPerSubject, c.MaxMsgSize, c.Duplicates = want.MaxMsgs, want.MaxMsgsPerSubject, want.MaxMsgSize, want.Duplicates
	c.NoAck, c.Sealed, c.DenyDelete, c.DenyPurge = want.NoAck, want.Sealed, want.DenyDelete, want.DenyPurge
	c.AllowRollup, c.AllowMsgTTL, c.AllowMsgSchedules = want.AllowRollup, want.AllowMsgTTL, want.AllowMsgSchedules
}

// neededFields are those in which a stream must be what it must be. A longer window of duplicates
// does harm in COMMANDS alone, and a stream without direct reads is read from its leader.
func neededFields(got jetstream.StreamConfig) []Field[jetstream.StreamConfig] {
	return slices.DeleteFunc(slices.Clone(streamFields), func(f Field[jetstream.StreamConfig]) bool {
		switch f.Name {
		case "duplicate_window":
			return got.Name != StreamCommands
		case "allow_direct":
			return !got.AllowDirect || mayReadDirectly(got)
		default:
			return false
		}
	})
}

// streamFields are those that are compared with what they must be.
var streamFields = []Field[jetstream.StreamConfig]{
	{Name: "subjects", Value: func(s jetstream.StreamConfig) any { return s.Subjects }},
	{Name: "retention", Value: func(s jetstream.StreamConfig) any { return s.Retention }},
	{Name: "storage", Value: func(s jetstream.StreamConfig) any { return s.Storage }},
	{Name: "discard", Value: func(s jetstream.StreamConfig) any { return s.Discard }},
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

// limitFields are those that an operator decides.
var limitFields = []Field[jetstream.StreamConfig]{
	{Name: "num_replicas", Value: func(s jetstream.StreamConfig) any { return s.Replicas }},
	{Name: "max_age", Value: func(s jetstream.StreamConfig) any { return s.MaxAge }},
	{Name: "max_bytes", Value: func(s jetstream.StreamConfig) any { return s.MaxBytes }},
}

func transform(t *jetstream.SubjectTransformConfig) string {
	if t == nil {
		return "none"
	}
	return t.Source + " to " + t.Destination
}
