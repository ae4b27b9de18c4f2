package operation

import (
	"context"

	"github.com/mailwright/mailwright/services/console/internal/act"
	"github.com/mailwright/mailwright/services/console/internal/page"
	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/operator"
)

func (o reader) actions() []page.Action {
	return []page.Action{
		{Path: "/operations/{id}/retry", Least: page.HelpDesk, Do: o.action(audit.Retry, o.retry)},
		{Path: "/operations/{id}/cancel", Do: o.action(audit.Cancel, o.cancel)},
		{Path: "/operations/{id}/again", Do: o.action(audit.SendAgain, o.again)},
	}
}

// doing does something to an operation, and says where it leads and what is to be told.
type doing func(context.Context, *page.Request, operator.Target) (page.Done, error)

// action is an action on one operation, written to AUDIT.
func (o reader) action(name string, do doing) func(context.Context, *page.Request) (page.Done, error) {
	return func(ctx context.Context, r *page.Request) (done page.Done, err error) {
		reason, err := act.Reason(r)
		if err != nil {
			return done, err
		}
		t, err := o.find(ctx, r)
		if err != nil {
			return done, err
		}
		what := audit.Act{Action: name, Reason: reason, Tenants: []string{t.Tenant}, Operations: []string{t.OperationID}, Count: 1}
		err = act.Record(ctx, o.source, r.Person, what, func(tally *audit.Tally) (err error) {
			if done, err = do(ctx, r, t); err == nil {
				tally.Add(1)
			}
			return err
		})
		return done, err
	}
}

func here(t operator.Target) string { return "/operations/" + t.OperationID }

func (o reader) retry(ctx context.Context, _ *page.Request, t operator.Target) (page.Done, error) {
	p, err := operator.PlanRetry(ctx, o.source.JS, t)
	if err != nil {
		return page.Done{}, err
	}
	return page.Done{To: here(t), Notice: "It is tried again now."}, operator.Retry(ctx, o.source.JS, p)
}

func (o reader) cancel(ctx context.Context, r *page.Request, t operator.Target) (page.Done, error) {
	receipt, err := operator.Cancel(ctx, o.source.JS, t, act.Actor(r.Person))
	if err != nil {
		return page.Done{}, err
	}
	return page.Done{To: here(t), Notice: "It is being cancelled, by operation " + receipt.OperationID + "."}, nil
}

func (o reader) again(ctx context.Context, r *page.Request, t operator.Target) (page.Done, error) {
	p, err := operator.PlanAgain(ctx, o.source.JS, t, nil, act.Actor(r.Person))
	if err != nil {
		return page.Done{}, err
	}
	receipt, err := operator.Again(ctx, o.source.JS, p)
	if err != nil {
		return page.Done{}, err
	}
	return page.Done{To: "/operations/" + receipt.OperationID, Notice: "Sent again: this operation takes the place of " + t.OperationID + "."}, nil
}
