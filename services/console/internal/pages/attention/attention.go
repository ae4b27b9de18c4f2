// Package attention is "Needs attention": dead letters, failures, unknown outcomes and waits after
// a failure, grouped by cause, and what a person can do about each group.
package attention

import (
	"context"
	"embed"
	"html/template"

	"github.com/mailwright/mailwright/services/console/internal/page"
	"github.com/mailwright/mailwright/services/console/internal/runs"
)

//go:embed *.html
var templates embed.FS

// attention reads the pages and acts.
type attention struct {
	source page.Source
	runs   *runs.Registry
}

// New makes the pages: the groups, one group, one dead letter, and a run.
func New(s page.Source) []page.Page {
	a := attention{s, runs.NewRegistry(s)}
	return []page.Page{
		{
			Path: "/attention", Title: "Needs attention", Nav: "Needs attention", Templates: templates, Live: []string{"groups"},
			Load: func(ctx context.Context, r *page.Request) (any, error) { return a.load(ctx, r) },
		},
		{
			Path: "/attention/group", Title: "Group", Under: "/attention", Templates: of("group"), Live: []string{"head", "members"},
			Load:    func(ctx context.Context, r *page.Request) (any, error) { return a.loadGroup(ctx, r) },
			Actions: []page.Action{{Path: "/attention/check", Least: page.HelpDesk, Do: a.check}},
		},
		{
			Path: "/attention/letters/{sequence}", Title: "Dead letter", Under: "/attention", Templates: of("letter"),
			Load: func(ctx context.Context, r *page.Request) (any, error) { return a.loadLetter(ctx, r) },
		},
		{
			Path: "/attention/runs/{run}", Title: "Run", Under: "/attention", Templates: of("run"), Live: []string{"run"}, Always: true, Every: runEvery,
			Load: func(_ context.Context, r *page.Request) (any, error) { return a.loadRun(r) },
			Actions: []page.Action{
				{Path: "/attention/runs/{run}/go", Least: page.HelpDesk, Do: a.goAhead},
				{Path: "/attention/runs/{run}/stop", Least: page.HelpDesk, Do: a.stop},
			},
		},
	}
}

// groupsData is what the page of groups shows.
type groupsData struct {
	Spans  []spanChoice
	Groups []group
	// Kinds has the groups by kind, in the order of urgency.
	Kinds []kindOfGroups
}

type kindOfGroups struct {
	Name, Label, Hint string
	Groups            []group
}

func (a attention) load(ctx context.Context, r *page.Request) (groupsData, error) {
	d := groupsData{Spans: spans(r)}
	for _, k := range kinds {
		groups, err := a.groups(ctx, r, k)
		if err != nil {
			return d, err
		}
		if len(groups) > 0 {
			d.Kinds = append(d.Kinds, kindOfGroups{k.name, k.label, k.hint, groups})
		}
	}
	return d, nil
}

// More says that a count has ended before the rows did.
func (g group) More() template.HTML {
	if g.Count >= maxCounted {
		return "+"
	}
	return ""
}
