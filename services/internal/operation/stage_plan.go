package operation

import (
	"context"

	"github.com/mailwright/mailwright/pkg/event"
)

// plan answers a dry run; nothing is written. If the process dies right after it, the message is
// delivered again.
func (e *Engine) plan(ctx context.Context, t *task) (step, error) {
	a := t.attempt
	if !a.command.DryRun {
		return step{}, nil
	}
	if t.handler.Plan == nil {
		return step{}, Reject(event.AttrDryRun, "can not be answered for "+a.Command.Type())
	}
	p, err := t.handler.Plan(ctx, a)
	if err != nil {
		return step{}, err
	}
	t.reply = planned(a, p)
	return step{kind: toRecord}, nil
}

func planned(a *Attempt, p event.Plan) Reply {
	if p.Changes == nil {
		p.Changes = []event.Change{}
	}
	return Reply{Type: event.PlannedType(a.address.Domain), Data: event.PlannedData{Operation: a.Operation, Plan: p}}
}
