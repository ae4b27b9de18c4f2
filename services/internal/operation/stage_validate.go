package operation

import (
	"context"
	"errors"
	"fmt"

	"github.com/mailwright/mailwright/pkg/event"
)

// validate rejects a command that is wrong, with every fault, when it arrives: it does not wait for
// anything to be rejected, and no vendor is called. If the process dies right after it, the message
// is delivered again.
func (e *Engine) validate(ctx context.Context, t *task) (step, error) {
	if t.last.sequence > 0 { // it was valid when it arrived: see revalidate
		return step{}, nil
	}
	faults := e.faults(t.attempt)
	if len(faults) == 0 {
		t.valid = true
		return step{}, nil
	}
	if p := t.attempt.command.Panicked(); p != "" { // our fault: somebody has to look at it
		e.log(t.attempt).Error("the check of a command's data panicked",
			"type", t.attempt.Command.Type(), "panic", t.attempt.secrets.text(p))
		const detail = "its data could not be checked: the check itself failed"
		if err := e.deadLetterCommand(ctx, t, InternalFault, detail); err != nil {
			return step{}, err
		}
	}
	return step{}, &Rejection{Faults: faults}
}

// revalidate rejects a command that has become wrong while it waited, for instance because its
// tenant is no longer configured. A call that may have been made is looked for all the same. A
// repeatable one is not looked for but sent again, unless worker.ForTenant rejects it before that.
// If the process dies right after it, the message is delivered again.
func (e *Engine) revalidate(_ context.Context, t *task) (step, error) {
	if t.valid || t.priorOpen() {
		return step{}, nil
	}
	if faults := e.faults(t.attempt); len(faults) > 0 {
		return step{}, &Rejection{Faults: faults}
	}
	return step{}, nil
}

// faults names what is wrong with a command, as far as that can be told without its vendor.
func (e *Engine) faults(a *Attempt) []event.Fault {
	faults := append(e.typeFaults(a), a.command.Check()...)
	faults = append(faults, a.secretFaults...)
	if id := a.command.TenantID; id != "" && id != a.Tenant {
		faults = append(faults, event.Fault{Field: event.AttrTenantID, Problem: "must be the tenant of the subject, " + a.Tenant + ", or absent"})
	}
	faults = append(faults, e.timeFaults(a)...)
	faults = append(faults, e.keyFaults(a)...)
	if len(faults) > 0 {
		return event.ArrangeFaults(faults)
	}
	if h := e.cfg.Handlers[a.Command.Type()]; h.Check != nil {
		if r, ok := errors.AsType[*Rejection](h.Check(a)); ok {
			return r.Faults
		}
	}
	return nil
}

// typeFaults compares a command's type with what this service carries out.
func (e *Engine) typeFaults(a *Attempt) []event.Fault {
	t := a.Command.Type()
	if _, ours := e.cfg.Handlers[t]; ours || t == event.TypeOperationCancel {
		return nil
	}
	if d := event.DomainOf(t); event.IsCommand(t) && d != e.cfg.Domain {
		return []event.Fault{{Field: "type", Problem: fmt.Sprintf("%s is carried out on mailwright.cmd.%s.%s.<key>, not in the domain %s", t, a.Tenant, d, e.cfg.Domain)}}
	}
	return nil
}

// timeFaults compares notbefore and expirytime with each other and with how long commands are kept.
func (e *Engine) timeFaults(a *Attempt) (faults []event.Fault) {
	from, until := a.command.NotBefore, a.command.ExpiryTime
	switch {
	case from.IsZero():
	case a.Command.Type() == event.TypeOperationCancel:
		faults = append(faults, event.Fault{Field: event.AttrNotBefore, Problem: "cannot be given: a cancel takes effect at once"})
	case e.commandsKept() > 0 && from.After(a.Operation.ReceivedAt.Add(e.commandsKept())):
		faults = append(faults, event.Fault{Field: event.AttrNotBefore, Problem: fmt.Sprintf("must come within %v: commands are not kept for longer", e.commandsKept())})
	}
	if !until.IsZero() && !from.IsZero() && !until.After(from) {
		faults = append(faults, event.Fault{Field: event.AttrExpiryTime, Problem: "must come after notbefore"})
	}
	return faults
}

// keyProblem says that a command's key is not the recommended one: the command may lose its order
// with another one about the same thing. "" if it is, or if there is none to recommend.
func keyProblem(a *Attempt) string {
	recommended := event.Key(a.Command)
	if recommended == "" || event.Token(recommended) == a.address.Key {
		return ""
	}
	return "the recommended key of this command is " + event.Token(recommended)
}

// keyFaults has a fault if the key is not the recommended one and the tenant is strict about it.
func (e *Engine) keyFaults(a *Attempt) []event.Fault {
	if a.keyProblem != "" && e.cfg.StrictKeys[a.Tenant] {
		return []event.Fault{{Field: "key", Problem: "must be the recommended one: " + a.keyProblem}}
	}
	return nil
}

// warnOfKey has every result of a command warn of a key that is not the recommended one.
func (e *Engine) warnOfKey(a *Attempt) {
	if a.keyProblem != "" && !e.cfg.StrictKeys[a.Tenant] {
		text := a.keyProblem + ": with another, it keeps no order with other commands about the same thing"
		a.Operation.Warnings = []event.Warning{{Source: "mailwright", Text: text}}
	}
}
