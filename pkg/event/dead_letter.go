package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// DeadLetter is the data of an event in DEAD. It refers to the original, which stays in its stream,
// and does not repeat it: a command may hold a password.
type DeadLetter struct {
	// Reason is a short code; Detail says it in words.
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
	// Stream, Sequence and Subject say where the original is.
	Stream   string `json:"stream"`
	Sequence uint64 `json:"sequence"`
	Subject  string `json:"subject"`
	Consumer string `json:"consumer,omitempty"`
	// Incarnation is that of the stream: when it was created. Another holds another message under
	// the sequence.
	Incarnation string `json:"incarnation,omitempty"`
	// Source, ID, Type and OperationID are the command's, where it could be read.
	Source      string `json:"source,omitempty"`
	ID          string `json:"id,omitempty"`
	Type        string `json:"type,omitempty"`
	OperationID string `json:"operationId,omitempty"`
	// Tenant is that of the subject, where it has one. CorrelationID and TraceParent are the
	// command's.
	Tenant        string `json:"tenant,omitempty"`
	CorrelationID string `json:"correlationId,omitempty"`
	TraceParent   string `json:"traceParent,omitempty"`
	// Time is when it was given up.
	Time time.Time `json:"time"`
	// Size in bytes and SHA256 of the original's body. SHA256 is absent unless the data fits its
	// schema and has no secret: a secret can be guessed from a hash.
	Size   int    `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
	// Excerpt is the data with its secrets redacted, if it fits its schema and is not large.
	Excerpt json.RawMessage `json:"excerpt,omitempty"`
	// Shape is what can be told of any other body without a value of it.
	Shape *Shape `json:"shape,omitempty"`
}

// advisory is what JetStream says of a message that one of its consumers gave up (NATS ADR-12).
type advisory struct {
	Type       string    `json:"type"`
	Time       time.Time `json:"timestamp"`
	Stream     string    `json:"stream"`
	Consumer   string    `json:"consumer"`
	Sequence   uint64    `json:"stream_seq"`
	Deliveries int       `json:"deliveries"`
	Reason     string    `json:"reason"`
}

// Reasons of JetStream's own why a message ends in DEAD; the engine's are in package operation.
const (
	MaxDeliveries = "max-deliveries" // a consumer's MaxDeliver was reached
	Terminated    = "terminated"     // somebody terminated it
)

// ReadDeadLetter reads a message of the stream DEAD: a letter of ours, or an advisory of
// JetStream's.
func ReadDeadLetter(data []byte) (DeadLetter, error) {
	var l DeadLetter
	if err := json.Unmarshal(data, &l); err != nil {
		return l, errors.New("the dead letter itself is not in the form of one")
	}
	if l.Reason != "" && l.Stream != "" && l.Sequence > 0 {
		return l, nil
	}
	var a advisory
	if err := json.Unmarshal(data, &a); err != nil || a.Sequence == 0 {
		return l, errors.New("the dead letter itself is not in the form of one")
	}
	l = DeadLetter{Reason: Terminated, Detail: a.Reason, Stream: a.Stream, Sequence: a.Sequence, Consumer: a.Consumer, Time: a.Time}
	if strings.HasSuffix(a.Type, ".max_deliver") {
		l.Reason, l.Detail = MaxDeliveries, fmt.Sprintf("given up after %d deliveries", a.Deliveries)
	}
	return l, nil
}
