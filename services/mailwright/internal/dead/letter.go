package dead

import (
	"slices"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/operation"
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
	if tokens := strings.Split(subject, "."); tokens[0] == "mailwright" && len(tokens) > 3 {
		l.Domain = event.Domain(tokens[3])
	} else { // an advisory; consumers are named <domain>-…
		l.Domain = domainOf(letter.Consumer)
	}
	return l
}

func domainOf(consumer string) event.Domain {
	name, _, _ := strings.Cut(consumer, "-")
	if d := event.Domain(name); slices.Contains(event.Domains(), d) {
		return d
	}
	return ""
}

// who names the command: its source and id, "" where they are not known.
func (l Letter) who() string {
	return strings.TrimSpace(l.Letter.Source + " " + l.Letter.ID)
}
