package dead

import (
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/mailwright/internal/render"
)

// Letter is a message of DEAD.
type Letter struct {
	// Sequence in DEAD, StoredAt in UTC.
	Sequence uint64       `json:"sequence"`
	StoredAt time.Time    `json:"storedAt"`
	Domain   event.Domain `json:"domain,omitempty"`
	// Letter is what DEAD holds; of an advisory of JetStream's, with what its original tells.
	Letter event.DeadLetter `json:"letter"`
}

// read reads a message of DEAD. One in no form of a letter is shown all the same.
func read(sequence uint64, storedAt time.Time, subject string, data []byte) Letter {
	letter, err := event.ReadDeadLetter(data)
	if err != nil {
		letter.Reason, letter.Detail = operation.Unreadable, err.Error()
	}
	l := Letter{Sequence: sequence, StoredAt: storedAt.UTC(), Letter: letter}
	l.Letter.Tenant, l.Domain = render.PlaceOfDead(subject, letter)
	return l
}

// who names the command: its source and id, "" where they are not known.
func (l Letter) who() string {
	return strings.TrimSpace(l.Letter.Source + " " + l.Letter.ID)
}
