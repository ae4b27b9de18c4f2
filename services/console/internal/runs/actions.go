package runs

import (
	"context"
	"fmt"

	"github.com/mailwright/mailwright/services/console/internal/act"
	"github.com/mailwright/mailwright/services/console/internal/page"
	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/deadletters"
	"github.com/mailwright/mailwright/services/internal/operator"
)

// step does something to an item, or says what would be done.
type step func(context.Context, page.Source, page.Person, Item) (Result, error)

// Action is what a run does.
type Action struct {
	// Name is that of the form, Verb what people read: "Send again".
	Name, Verb string
	// Done is the verb of the past: "sent again".
	Done string
	// OnLetters says that it is done to dead letters, not to operations.
	OnLetters bool
	// Least is the role that may do it.
	Least page.Role
	audit string
	check step
	do    step
}

// Actions lists the actions.
func Actions() []Action {
	return []Action{
		{Name: "again", Verb: "Send again", Done: "sent again", Least: page.Operator, audit: audit.SendAgain, check: checkAgain, do: sendAgain},
		{Name: "retry", Verb: "Retry now", Done: "retried", Least: page.HelpDesk, audit: audit.Retry, check: checkRetry, do: retry},
		{Name: "cancel", Verb: "Cancel", Done: "cancelled", Least: page.Operator, audit: audit.Cancel, check: checkCancel, do: cancel},
		{Name: "replay", Verb: "Replay", Done: "replayed", OnLetters: true, Least: page.Operator, audit: audit.DeadReplay, check: checkReplay, do: replay},
		{Name: "discard", Verb: "Discard", Done: "discarded", OnLetters: true, Least: page.Operator, audit: audit.DeadDiscard, check: checkDiscard, do: discard},
	}
}

// ActionOf finds an action by its name.
func ActionOf(name string) (Action, bool) {
	for _, a := range Actions() {
		if a.Name == name {
			return a, true
		}
	}
	return Action{}, false
}

func checkAgain(ctx context.Context, s page.Source, p page.Person, i Item) (Result, error) {
	planned, err := operator.PlanAgain(ctx, s.JS, i.Target, nil, act.Actor(p))
	return Result{Text: "would be sent again as operation " + planned.Operation}, err
}

func sendAgain(ctx context.Context, s page.Source, p page.Person, i Item) (Result, error) {
	planned, err := operator.PlanAgain(ctx, s.JS, i.Target, nil, act.Actor(p))
	if err != nil {
		return Result{}, err
	}
	receipt, err := operator.Again(ctx, s.JS, planned)
	return Result{Text: "sent again as operation " + receipt.OperationID, To: "/operations/" + receipt.OperationID}, err
}

func checkRetry(ctx context.Context, s page.Source, _ page.Person, i Item) (Result, error) {
	planned, err := operator.PlanRetry(ctx, s.JS, i.Target)
	return Result{Text: fmt.Sprintf("attempt %d would be made at once", planned.Attempt)}, err
}

func retry(ctx context.Context, s page.Source, _ page.Person, i Item) (Result, error) {
	planned, err := operator.PlanRetry(ctx, s.JS, i.Target)
	if err != nil {
		return Result{}, err
	}
	return Result{Text: fmt.Sprintf("attempt %d is made at once", planned.Attempt), To: i.Link()}, operator.Retry(ctx, s.JS, planned)
}

func checkCancel(ctx context.Context, s page.Source, _ page.Person, i Item) (Result, error) {
	return Result{Text: "would be cancelled"}, operator.CheckCancel(ctx, s.JS, i.Target)
}

func cancel(ctx context.Context, s page.Source, p page.Person, i Item) (Result, error) {
	if err := operator.CheckCancel(ctx, s.JS, i.Target); err != nil {
		return Result{}, err
	}
	receipt, err := operator.Cancel(ctx, s.JS, i.Target, act.Actor(p))
	return Result{Text: "is being cancelled, by operation " + receipt.OperationID, To: "/operations/" + receipt.OperationID}, err
}

// planReplay plans the replay of a dead letter. One that is gone was replayed or discarded since.
func planReplay(ctx context.Context, s page.Source, i Item) (*deadletters.Stream, deadletters.Replay, error) {
	stream, err := deadletters.Open(ctx, s.JS)
	if err != nil {
		return nil, deadletters.Replay{}, err
	}
	l, found, err := stream.Letter(ctx, i.Letter)
	if err != nil {
		return nil, deadletters.Replay{}, err
	}
	if !found {
		return nil, deadletters.Replay{}, &operator.RefusedError{Reason: "it is no longer in DEAD"}
	}
	planned, err := stream.Plan(ctx, l, false)
	if err == nil && planned.Action == deadletters.Refused {
		err = &operator.RefusedError{Reason: planned.Detail}
	}
	return stream, planned, err
}

func checkReplay(ctx context.Context, s page.Source, _ page.Person, i Item) (Result, error) {
	_, planned, err := planReplay(ctx, s, i)
	return Result{Text: fmt.Sprintf("would be published to %s, replay %d", planned.Subject, planned.Replay)}, err
}

func replay(ctx context.Context, s page.Source, _ page.Person, i Item) (Result, error) {
	stream, planned, err := planReplay(ctx, s, i)
	if err != nil {
		return Result{}, err
	}
	if err := stream.Replay(ctx, &planned); err != nil {
		return Result{}, err
	}
	result := Result{Text: fmt.Sprintf("published as command %d, replay %d", planned.Command, planned.Replay)}
	if i.OperationID != "" {
		result.To = "/operations/" + i.OperationID
	}
	return result, nil
}

func checkDiscard(ctx context.Context, s page.Source, _ page.Person, i Item) (Result, error) {
	_, _, err := letter(ctx, s, i)
	return Result{Text: "would be deleted; its command stays in COMMANDS"}, err
}

func discard(ctx context.Context, s page.Source, _ page.Person, i Item) (Result, error) {
	stream, l, err := letter(ctx, s, i)
	if err != nil {
		return Result{}, err
	}
	return Result{Text: "deleted"}, stream.Discard(ctx, l)
}

func letter(ctx context.Context, s page.Source, i Item) (*deadletters.Stream, deadletters.Letter, error) {
	stream, err := deadletters.Open(ctx, s.JS)
	if err != nil {
		return nil, deadletters.Letter{}, err
	}
	l, found, err := stream.Letter(ctx, i.Letter)
	if err == nil && !found {
		err = &operator.RefusedError{Reason: "it is no longer in DEAD"}
	}
	return stream, l, err
}
