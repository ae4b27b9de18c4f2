package dead

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/mailwright/mailwright/services/internal/deadletters"
	"github.com/mailwright/mailwright/services/internal/render"
)

func printHistogram(out io.Writer, h *deadletters.Histogram) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "REASON\tDOMAIN\tLETTERS\tOLDEST\tNEWEST")
	for _, c := range h.Reasons {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n",
			render.Cell(c.Reason), render.Cell(string(c.Domain)), c.Letters, render.Clock(c.Oldest), render.Clock(c.Newest))
	}
	_, _ = fmt.Fprintf(w, "all\t\t%d\n", h.Letters)
	return w.Flush()
}
