// Package runs does the same to many operations or dead letters: at a rate, with progress, written
// to AUDIT. A run is checked first: the check says of each what would be done, or why it is
// refused.
//
// Runs are held in memory. One that a crash ended is not gone on with; what it had done is done
// once, since each action has an id that is derived from what it is about. The same run again does
// the rest.
package runs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/mailwright/mailwright/services/console/internal/act"
	"github.com/mailwright/mailwright/services/console/internal/page"
	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/operator"
)

// Item is what an action is done to: an operation, or a dead letter.
type Item struct {
	operator.Target
	// Letter is the sequence in DEAD; 0: it is an operation.
	Letter uint64
	// Label is what people call it.
	Label string
}

// Link is the page of the item.
func (i Item) Link() string {
	if i.Letter > 0 {
		return fmt.Sprintf("/attention/letters/%d", i.Letter)
	}
	return "/operations/" + i.OperationID
}

// Result is what was done to an item.
type Result struct {
	Item
	// Text says what was or would be done, or why nothing was.
	Text string
	// To is the page of what came of it; "" for none.
	To      string
	Refused bool
}

// Plan is a run before it begins.
type Plan struct {
	// ID is that of the form: a form that is sent twice begins one run.
	ID     string
	Action Action
	// Check has nothing done.
	Check bool
	Items []Item
	// Reason is the person's, and Rate how many items are done each second.
	Reason string
	Rate   float64
}

// NewID is the id of a form.
func NewID() string { return rand.Text() }

const (
	// MaxItems bounds a run.
	MaxItems = 2000
	// MaxRate is the highest rate of a run, per second, and checkRate that of a check.
	MaxRate   = 50
	checkRate = 500
	// itemTimeout bounds what is done to one item.
	itemTimeout = 30 * time.Second
	// maxRuns is how many runs are kept, the oldest going first.
	maxRuns = 200
)

// Run is a run under way, or one that has ended.
type Run struct {
	Plan
	By    string
	Began time.Time

	mu      sync.Mutex
	results []Result
	refused int
	ended   time.Time
	failure string
	stop    context.CancelFunc
}

// Progress is a run as it stands.
type Progress struct {
	Run                *Run
	Done, All, Refused int
	Results            []Result
	Ended              time.Time
	// Failure says why the run ended early; "" as a rule.
	Failure string
}

// Progress gives how far a run is.
func (r *Run) Progress() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Progress{Run: r, Done: len(r.results), All: len(r.Items), Refused: r.refused, Results: slices.Clone(r.results), Ended: r.ended, Failure: r.failure}
}

// Stop ends a run before its next item.
func (r *Run) Stop() { r.stop() }

// Registry holds the runs of this process.
type Registry struct {
	source page.Source
	mu     sync.Mutex
	runs   map[string]*Run
	order  []string
}

// NewRegistry makes an empty one.
func NewRegistry(s page.Source) *Registry { return &Registry{source: s, runs: map[string]*Run{}} }

// Find gives a run of this process.
func (g *Registry) Find(id string) (*Run, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r, ok := g.runs[id]
	return r, ok
}

// Start begins a run in the name of a person, unless one with its id has begun.
func (g *Registry) Start(p page.Person, plan Plan) (*Run, error) {
	switch {
	case len(plan.Items) == 0:
		return nil, page.Invalid("There is nothing to do: nothing is left in the group.")
	case len(plan.Items) > MaxItems:
		return nil, page.Invalid("These are more than %d at once: narrow the group.", MaxItems)
	}
	for _, item := range plan.Items {
		if !p.Sees(item.Tenant) {
			return nil, page.Forbidden("You may not see all of these.")
		}
	}
	ctx, stop := context.WithCancel(context.Background()) // it goes on when the request has ended
	r := &Run{Plan: plan, By: p.Name, Began: time.Now(), stop: stop}
	g.mu.Lock()
	defer g.mu.Unlock()
	if known, ok := g.runs[plan.ID]; ok {
		stop()
		return known, nil
	}
	if len(g.order) >= maxRuns {
		delete(g.runs, g.order[0])
		g.order = g.order[1:]
	}
	g.runs[plan.ID], g.order = r, append(g.order, plan.ID)
	go func() {
		defer stop()
		r.end(g.run(ctx, p, r))
	}()
	return r, nil
}

func (r *Run) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = time.Now()
	switch told, ok := page.Explain(err); {
	case errors.Is(err, context.Canceled):
		r.failure = "It was stopped."
	case ok:
		r.failure = told.Text
	case err != nil:
		r.failure = "It ended early: " + err.Error() + "."
	}
}

// run does what the plan says, and has it written to AUDIT unless it is a check.
func (g *Registry) run(ctx context.Context, p page.Person, r *Run) error {
	if r.Check {
		return g.each(ctx, p, r, checkRate, func(ctx context.Context, i Item) (Result, error) { return r.Action.check(ctx, g.source, p, i) })
	}
	what := audit.Act{Action: r.Action.audit, Reason: r.Reason, Count: len(r.Items)}
	for _, i := range r.Items {
		what.Tenants = append(what.Tenants, i.Tenant)
		if i.Letter > 0 {
			what.DeadLetters = append(what.DeadLetters, i.Letter)
		}
		what.Operations = append(what.Operations, i.OperationID)
	}
	return act.Record(ctx, g.source, p, what, func(tally *audit.Tally) error {
		return g.each(ctx, p, r, min(max(r.Rate, 1), MaxRate), func(ctx context.Context, i Item) (Result, error) {
			result, err := r.Action.do(ctx, g.source, p, i)
			if err == nil && !result.Refused {
				tally.Add(1)
			}
			return result, err
		})
	})
}

// each does something to each item in turn. An item that is refused does not end the run; an error
// does, since it means that NATS does not answer.
func (g *Registry) each(ctx context.Context, _ page.Person, r *Run, perSecond float64, do func(context.Context, Item) (Result, error)) error {
	pace := rate.NewLimiter(rate.Limit(perSecond), 1)
	for _, item := range r.Items {
		if err := pace.Wait(ctx); err != nil {
			return context.Canceled
		}
		result, err := r.one(ctx, item, do)
		if err != nil {
			return fmt.Errorf("%s: %w", strings.TrimSpace(item.Label+" "+item.OperationID), err)
		}
		r.mu.Lock()
		r.results = append(r.results, result)
		if result.Refused {
			r.refused++
		}
		r.mu.Unlock()
	}
	return nil
}

// one does something to one item, and does not break it off when the run is stopped.
func (r *Run) one(ctx context.Context, item Item, do func(context.Context, Item) (Result, error)) (Result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), itemTimeout)
	defer cancel()
	result, err := do(ctx, item)
	if refused, ok := errors.AsType[*operator.RefusedError](err); ok {
		result, err = Result{Text: refused.Reason, Refused: true}, nil
	}
	result.Item = item
	return result, err
}
