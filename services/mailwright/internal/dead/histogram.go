package dead

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/render"
)

// histogram counts letters by reason and domain.
type histogram struct {
	Letters int           `json:"letters"`
	Reasons []reasonCount `json:"reasons"` // the most frequent first
}

type reasonCount struct {
	Reason  string       `json:"reason"`
	Domain  event.Domain `json:"domain,omitempty"`
	Letters int          `json:"letters"`
	// Oldest and Newest are when the first and the last of them were stored, in UTC.
	Oldest time.Time `json:"oldest"`
	Newest time.Time `json:"newest"`
}

func (h *histogram) add(l Letter) {
	h.Letters++
	i := slices.IndexFunc(h.Reasons, func(b reasonCount) bool { return b.Reason == l.Content.Reason && b.Domain == l.Domain })
	if i < 0 {
		i = len(h.Reasons)
		h.Reasons = append(h.Reasons, reasonCount{Reason: l.Content.Reason, Domain: l.Domain, Oldest: l.StoredAt})
	}
	h.Reasons[i].Letters++
	h.Reasons[i].Newest = l.StoredAt
	slices.SortFunc(h.Reasons, func(a, b reasonCount) int {
		return cmp.Or(-cmp.Compare(a.Letters, b.Letters), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Domain, b.Domain))
	})
}

func (h *histogram) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "REASON\tDOMAIN\tLETTERS\tOLDEST\tNEWEST")
	for _, c := range h.Reasons {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n",
			cell(c.Reason), cell(string(c.Domain)), c.Letters, render.Clock(c.Oldest), render.Clock(c.Newest))
	}
	_, _ = fmt.Fprintf(w, "all\t\t%d\n", h.Letters)
	return w.Flush()
}
