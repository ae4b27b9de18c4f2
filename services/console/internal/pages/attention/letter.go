package attention

import (
	"context"
	"embed"
	"io/fs"
	"strconv"

	"github.com/mailwright/mailwright/services/console/internal/page"
	"github.com/mailwright/mailwright/services/console/internal/runs"
	"github.com/mailwright/mailwright/services/internal/deadletters"
	"github.com/mailwright/mailwright/services/internal/explain"
)

//go:embed pages
var pages embed.FS

// of gives the templates of one page.
func of(name string) fs.FS {
	sub, err := fs.Sub(pages, "pages/"+name)
	if err != nil {
		panic(err) // the name is one of this package
	}
	return sub
}

// letterData is the page of one dead letter.
type letterData struct {
	deadletters.Letter
	Original *deadletters.Original
	Help     string
	Link     string
	Actions  []runs.Action
	MayEdit  bool
	Fields   []field
}

// Title names the dead letter.
func (d letterData) Title() string { return "Dead letter " + strconv.FormatUint(d.Sequence, 10) }

func (a attention) loadLetter(ctx context.Context, r *page.Request) (letterData, error) {
	sequence, err := strconv.ParseUint(r.Value("sequence"), 10, 64)
	if err != nil {
		return letterData{}, page.NotFound("There is no such dead letter.")
	}
	stream, err := deadletters.Open(ctx, a.source.JS)
	if err != nil {
		return letterData{}, err
	}
	l, found, err := stream.Letter(ctx, sequence)
	if err != nil {
		return letterData{}, err
	}
	if !found || !r.Person.Sees(l.Content.Tenant) {
		return letterData{}, page.NotFound("There is no dead letter %d: it was replayed or discarded, or is not yours to see.", sequence)
	}
	d := letterData{Letter: l, Help: explain.HelpAfterDeadLetter(l.Content.Reason)}
	m, err := stream.Original(ctx, l)
	if err != nil {
		return d, err
	}
	if m != nil {
		d.Original = deadletters.Visible(m)
	}
	for _, name := range []string{"replay", "discard"} {
		if action, ok := runs.ActionOf(name); ok && r.Person.May(action.Least) {
			d.Actions = append(d.Actions, action)
		}
	}
	d.MayEdit = m != nil && r.Person.May(page.Operator) && l.Content.Type != ""
	d.Fields = []field{
		{"kind", "dead"}, {"span", "month"}, {"domain", string(l.Domain)}, {"type", l.Content.Type},
		{"failure", l.Content.Reason}, {"item", strconv.FormatUint(l.Sequence, 10)},
	}
	return d, nil
}
