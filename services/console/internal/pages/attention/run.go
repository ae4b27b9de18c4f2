package attention

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/mailwright/mailwright/services/console/internal/act"
	"github.com/mailwright/mailwright/services/console/internal/page"
	"github.com/mailwright/mailwright/services/console/internal/runs"
)

// runEvery is how often the page of a run is read again.
const runEvery = 500 * time.Millisecond

// check begins the check of an action: of the members that are ticked, or of the whole group.
func (a attention) check(ctx context.Context, r *page.Request) (page.Done, error) {
	action, ok := runs.ActionOf(r.Form.Get("do"))
	k, known := kindOf(r.Form.Get("kind"))
	if !ok || !known || !slices.Contains(k.actions, action.Name) {
		return page.Done{}, page.Invalid("There is no such action for this group.")
	}
	if !r.Person.May(action.Least) {
		return page.Done{}, page.Forbidden("This needs the role %s.", action.Least)
	}
	asked := *r
	asked.Query = r.Form // the form has the group's fields
	members, err := a.members(ctx, &asked, k, causeFrom(r.Form))
	if err != nil {
		return page.Done{}, err
	}
	ticked := r.Form["item"]
	plan := runs.Plan{ID: runs.NewID(), Action: action, Check: true}
	for _, m := range members {
		if len(ticked) == 0 || slices.Contains(ticked, m.Name()) {
			plan.Items = append(plan.Items, m.item())
		}
	}
	plan.Items = plan.Items[:min(len(plan.Items), runs.MaxItems)]
	slices.Reverse(plan.Items) // the oldest first, in which order they were published
	run, err := a.runs.Start(r.Person, plan)
	if err != nil {
		return page.Done{}, err
	}
	return page.Done{To: "/attention/runs/" + run.ID}, nil
}

// maxShown is how many results the page of a run lists: those that were refused first.
const maxShown = 100

// runData is the page of a run.
type runData struct {
	runs.Progress
	// Possible is how many a check has found that can be done.
	Possible int
	Shown    []runs.Result
	Left     int
	Elapsed  time.Duration
	To       string // the run that does what this one has checked
}

// Title names the run.
func (d runData) Title() string {
	if d.Run.Check {
		return d.Run.Action.Verb + ": check"
	}
	return d.Run.Action.Verb
}

// Percent is how much of the run is done.
func (d runData) Percent() int {
	if d.All == 0 {
		return 100
	}
	return d.Done * 100 / d.All
}

// errForgotten says what became of a run that this process does not know.
func errForgotten() error {
	return page.NotFound("The console does not know this run: it has been started since. What the run had done is done once, and out of its group; " +
		"go to “Needs attention”, and do the same with what is left.")
}

// find gives a run, if the person may see what it is about.
func (a attention) find(r *page.Request) (*runs.Run, error) {
	run, ok := a.runs.Find(r.Value("run"))
	if !ok || slices.ContainsFunc(run.Items, func(i runs.Item) bool { return !r.Person.Sees(i.Tenant) }) {
		return nil, errForgotten()
	}
	return run, nil
}

func (a attention) loadRun(r *page.Request) (runData, error) {
	run, err := a.find(r)
	if err != nil {
		return runData{}, err
	}
	d := runData{Progress: run.Progress(), To: run.ID + "-go"}
	d.Possible = d.Done - d.Refused
	end := d.Ended
	if end.IsZero() {
		end = time.Now()
	}
	d.Elapsed = end.Sub(run.Began)
	d.Shown = slices.Clone(d.Results)
	slices.SortStableFunc(d.Shown, func(x, y runs.Result) int {
		return map[bool]int{true: 0, false: 1}[x.Refused] - map[bool]int{true: 0, false: 1}[y.Refused]
	})
	d.Left = max(0, len(d.Shown)-maxShown)
	d.Shown = d.Shown[:min(len(d.Shown), maxShown)]
	return d, nil
}

// goAhead does what a check has found possible.
func (a attention) goAhead(_ context.Context, r *page.Request) (page.Done, error) {
	reason, err := act.Reason(r)
	if err != nil {
		return page.Done{}, err
	}
	checked, err := a.find(r)
	if err != nil {
		return page.Done{}, err
	}
	p := checked.Progress()
	if !checked.Check || p.Ended.IsZero() {
		return page.Done{}, page.Invalid("The check has not ended yet.")
	}
	if !r.Person.May(checked.Action.Least) {
		return page.Done{}, page.Forbidden("This needs the role %s.", checked.Action.Least)
	}
	perSecond, err := strconv.ParseFloat(r.Form.Get("rate"), 64)
	if err != nil || perSecond <= 0 || perSecond > runs.MaxRate {
		return page.Done{}, page.Invalid("How many a second: 1 to %d.", runs.MaxRate)
	}
	plan := runs.Plan{ID: checked.ID + "-go", Action: checked.Action, Reason: reason, Rate: perSecond}
	for _, result := range p.Results {
		if !result.Refused {
			plan.Items = append(plan.Items, result.Item)
		}
	}
	run, err := a.runs.Start(r.Person, plan)
	if err != nil {
		return page.Done{}, err
	}
	return page.Done{To: "/attention/runs/" + run.ID}, nil
}

func (a attention) stop(_ context.Context, r *page.Request) (page.Done, error) {
	run, err := a.find(r)
	if err != nil {
		return page.Done{}, err
	}
	run.Stop()
	return page.Done{To: "/attention/runs/" + run.ID, Notice: "It stops before the next one."}, nil
}
