// Package deadletters reads, replays and discards what stands in the stream DEAD. The command line
// and the console act through it.
package deadletters

import (
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/render"
)

// Letter is a message of DEAD.
type Letter struct {
	// Sequence in DEAD, StoredAt in UTC.
	Sequence uint64       `json:"sequence"`
	StoredAt time.Time    `json:"storedAt"`
	Domain   event.Domain `json:"domain,omitempty"`
	// Content is the message's data. That of an advisory of JetStream has the facts of its original
	// message added.
	Content event.DeadLetter `json:"letter"`
}

// read reads a message of DEAD. One that is no dead letter is shown as an unreadable one.
func read(sequence uint64, storedAt time.Time, subject string, data []byte) Letter {
	letter, err := event.ReadDeadLetter(data)
	if err != nil {
		letter.Reason = operation.Unreadable
		letter.Detail = err.Error()
	}
	l := Letter{Sequence: sequence, StoredAt: storedAt.UTC(), Content: letter}
	l.Content.Tenant, l.Domain = render.TenantAndDomain(subject, letter)
	return l
}

// SourceAndID names the command; "" if neither is known.
func (l Letter) SourceAndID() string {
	return strings.TrimSpace(l.Content.Source + " " + l.Content.ID)
}

// Describe gives the reason, type, source and id of a dead letter.
func (l Letter) Describe() string {
	return render.OneLine(strings.TrimSpace(strings.Join([]string{l.Content.Reason, render.Short(l.Content.Type), l.SourceAndID()}, " ")))
}
