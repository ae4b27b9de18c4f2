package deadletters

import (
	"cmp"
	"slices"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
)

// Histogram counts letters by reason and domain.
type Histogram struct {
	Letters int           `json:"letters"`
	Reasons []ReasonCount `json:"reasons"` // the most frequent first
}

// ReasonCount is the number of dead letters with a reason in a domain.
type ReasonCount struct {
	Reason  string       `json:"reason"`
	Domain  event.Domain `json:"domain,omitempty"`
	Letters int          `json:"letters"`
	// Oldest and Newest are when the first and the last of them were stored, in UTC.
	Oldest time.Time `json:"oldest"`
	Newest time.Time `json:"newest"`
}

// Add counts one more.
func (h *Histogram) Add(l Letter) {
	h.Letters++
	i := slices.IndexFunc(h.Reasons, func(b ReasonCount) bool { return b.Reason == l.Content.Reason && b.Domain == l.Domain })
	if i < 0 {
		i = len(h.Reasons)
		h.Reasons = append(h.Reasons, ReasonCount{Reason: l.Content.Reason, Domain: l.Domain, Oldest: l.StoredAt})
	}
	h.Reasons[i].Letters++
	h.Reasons[i].Newest = l.StoredAt
	slices.SortFunc(h.Reasons, func(a, b ReasonCount) int {
		return cmp.Or(-cmp.Compare(a.Letters, b.Letters), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Domain, b.Domain))
	})
}

// Count counts dead letters.
func Count(letters []Letter) *Histogram {
	h := &Histogram{}
	for _, l := range letters {
		h.Add(l)
	}
	return h
}
