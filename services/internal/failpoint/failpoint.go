// Package failpoint lets the guarantee suite stop, kill and weaken a process at named places. It
// is compiled in with the build tag failpoints alone: a released program has neither the settings
// nor the code behind them, so nobody can switch a protection of it off.
//
// [Set] is what the code asks: [Set.Reach] marks a point, [Set.Disabled] asks for a protection.
// Both cost nothing without the tag. [Flags] are the settings that fill a Set.
package failpoint

// Point is a step just before or after something leaves or reaches the process.
type Point string

// The points of a command's way (pkg operation), in its order.
const (
	ReadRecord       Point = "read-record"
	RecordRead       Point = "record-read"
	LookUp           Point = "look-up"
	LookedUp         Point = "looked-up"
	Announce         Point = "announce"
	Announced        Point = "announced"
	Perform          Point = "perform"
	Performed        Point = "performed"
	PublishOutcome   Point = "publish-outcome"
	PublishedOutcome Point = "published-outcome"
	Acknowledge      Point = "acknowledge"
	DeadLetter       Point = "dead-letter"
	DeadLettered     Point = "dead-lettered"
	Recheck          Point = "recheck"
	// RemoveSecret and RemovedSecret surround the removal of a command that holds a secret.
	RemoveSecret  Point = "remove-secret"
	RemovedSecret Point = "removed-secret"
)

// The points of a command that is parked, and of its key's wake-up.
const (
	Park              Point = "park"
	Parked            Point = "parked"
	ScheduleWakeUp    Point = "schedule-wake-up"
	ScheduledWakeUp   Point = "scheduled-wake-up"
	ReadHead          Point = "read-head"
	HeadRead          Point = "head-read"
	ReadOriginal      Point = "read-original"
	ReadWakeUp        Point = "read-wake-up"
	Unpark            Point = "unpark"
	Unparked          Point = "unparked"
	AcknowledgeWakeUp Point = "acknowledge-wake-up"
	Schedule          Point = "schedule"
	Scheduled         Point = "scheduled"
)

// The points of one service each.
const (
	// Change lies between the read and the write of a mailbox's delegates (delegation-svc).
	Change Point = "change"
	// Put, Putting and PutDone surround the publishing of observations (inventory-svc).
	Put     Point = "put"
	Putting Point = "putting"
	PutDone Point = "put-done"
	// Commit and Committed surround a batch's transaction (projection-svc).
	Commit    Point = "commit"
	Committed Point = "committed"
)

// The points of mailwright erase, in its order, and one for each message that it takes out.
const (
	ErasurePlanned   Point = "erasure-planned"
	EraseCommand     Point = "erase-command"
	EraseLetter      Point = "erase-letter"
	EraseSchedule    Point = "erase-schedule"
	EraseRecord      Point = "erase-record"
	EraseObservation Point = "erase-observation"
	EraseRows        Point = "erase-rows"
	ErasedRows       Point = "erased-rows"
	ErasureEnded     Point = "erasure-ended"
)

// Protection is a part of the system that can be switched off, to see the checkers of the
// guarantee suite find what it prevents.
type Protection string

// The protections.
const (
	// Guard: events are published under the record's last sequence.
	Guard Protection = "guard"
	// LookUpFirst: a create is looked up before it is made or repeated.
	LookUpFirst Protection = "look-up"
	// Ownership: a partition goes to one replica at a time, which works on the commands of a key
	// one after another.
	Ownership Protection = "partition"
	// ParkInOrder: a command is parked behind those of its key that wait.
	ParkInOrder Protection = "park"
	// Detach: a slow call gives its slot back.
	Detach Protection = "detach"
	// Redaction: secrets are replaced in what leaves the process.
	Redaction Protection = "redaction"
	// DeadLetters: a message that cannot be read is dead-lettered.
	DeadLetters Protection = "dead-letters"
	// CancelRights: a cancel reaches operations of its own source, or comes from an operator.
	CancelRights Protection = "cancel-rights"
	// References: what is parked is compared with the command that it refers to.
	References Protection = "reference"
	// UnreadableRecords: a command whose record cannot be read is dead-lettered.
	UnreadableRecords Protection = "record"
	// OwnRedelivery: no header of a publisher says when a message is delivered again.
	OwnRedelivery Protection = "redelivery"
	// Leases: a vendor is called only while the command is this replica's alone.
	Leases Protection = "lease"
	// SecretRemoval: a command that holds a secret leaves COMMANDS after its outcome.
	SecretRemoval Protection = "secret-removal"
	// Bounds: a command's tokens are counted and measured before a schema sees them.
	Bounds Protection = "bounds"
)

// KilledAt precedes the point's name in the last line that a process writes to stderr before it
// kills itself. StoppedAt does where it stops itself.
const (
	KilledAt  = "crash-at: "
	StoppedAt = "stop-at: "
)
