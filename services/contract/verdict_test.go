package contract

import "strings"

// verdict is what becomes of a command, as the page says it.
type verdict struct {
	state string // a key of [meanings]
	// reason is that of a dead letter, or the code of a failure.
	reason string
	// why is the fault, as "<field> <problem>", or the detail of a dead letter.
	why string
}

const (
	carriedOut = "carried out"
	planned    = "planned"
	rejected   = "rejected"
	failed     = "failed"
	waits      = "waits"
	dead       = "dead letter"
	answered   = "answered from the record"
	notStored  = "not stored"
)

var (
	done     = verdict{state: carriedOut}
	plan     = verdict{state: planned}
	later    = verdict{state: waits, reason: "scheduled"}
	repeated = verdict{state: answered}
)

func reject(why string) verdict     { return verdict{state: rejected, why: why} }
func unreadable(why string) verdict { return verdict{state: dead, reason: "unreadable", why: why} }
func unstored(why string) verdict   { return verdict{state: notStored, why: why} }

var (
	expired  = verdict{state: failed, reason: "expired"}
	conflict = verdict{state: dead, reason: "idempotency-conflict"}
)

// cell is the verdict as a cell of the table has it.
func (v verdict) cell() string {
	if v.reason == "" {
		return v.state
	}
	return v.state + " `" + v.reason + "`"
}

// problem is why, with the field in code.
func (v verdict) problem() string {
	field, rest, ok := strings.Cut(v.why, " ")
	if !ok || v.state == notStored {
		return v.why
	}
	return "`" + field + "` " + rest
}
