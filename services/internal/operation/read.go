package operation

import (
	"errors"
	"fmt"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// read reads a command and names its operation. Its error says why no result could be published:
// the command has no usable id or source, or its subject no usable key or tenant. What else is
// wrong with it is found by [Engine.check], and its publisher is answered.
func read(d bus.Delivery) (*Attempt, error) {
	command, err := event.ReadCommand(d.Header, d.Data)
	if err != nil {
		return nil, err
	}
	address, ok := topology.ParseCommandSubject(d.Subject)
	if !ok {
		return nil, fmt.Errorf("subject %s is not one of a stored command: a key or a tenant that is a wildcard of NATS belongs to no partition", d.Subject)
	}
	if err := address.Check(); err != nil {
		return nil, err
	}
	return &Attempt{
		Command: command.Event,
		Tenant:  address.Tenant,
		ID:      event.OperationOf(address.Tenant, command.Event),
		Operation: event.OperationData{
			CommandType: command.Event.Type(),
			Key:         address.Key,
			ReceivedAt:  d.StoredAt.UTC(),
			Attempt:     1,
			Fingerprint: command.Fingerprint(),
		},
		command:  command,
		address:  address,
		sequence: d.Sequence,
		secrets:  secretsOf(command.Document),
	}, nil
}

// read reads a command that is to be carried out.
func (e *Engine) read(d bus.Delivery) (*Attempt, error) {
	e.Failpoints.ComputeNumbers(d.Data)
	run, err := read(d)
	if err == nil {
		e.warn(run)
	}
	return run, err
}

// check names what is wrong with a command, as far as that can be told without its vendor. It is
// asked when the command arrives, so that a wrong command does not wait for its turn to be
// rejected.
func (e *Engine) check(run *Attempt) []event.Fault {
	faults := append(e.checkType(run), run.command.Check()...)
	if id := run.command.TenantID; id != "" && id != run.Tenant {
		faults = append(faults, event.Fault{Field: event.AttrTenantID, Problem: "must be the tenant of the subject, " + run.Tenant + ", or absent"})
	}
	faults = append(append(faults, e.checkTimes(run)...), e.checkKey(run)...)
	if len(faults) > 0 {
		return event.ArrangeFaults(faults)
	}
	if h := e.Handlers[run.Command.Type()]; h.Check != nil {
		if r, ok := errors.AsType[*Rejection](h.Check(run)); ok {
			return r.Faults
		}
	}
	return nil
}

// checkType holds a command's type against what this service carries out.
func (e *Engine) checkType(run *Attempt) []event.Fault {
	t := run.Command.Type()
	if _, ours := e.Handlers[t]; ours || t == event.TypeOperationCancel {
		return nil
	}
	if d := event.DomainOf(t); event.IsCommand(t) && d != e.Domain {
		return []event.Fault{{Field: "type", Problem: fmt.Sprintf("%s is carried out on mailwright.cmd.%s.%s.<key>, not in the domain %s", t, run.Tenant, d, e.Domain)}}
	}
	return nil
}

// checkTimes holds notbefore and expirytime against each other and against how long commands are
// kept.
func (e *Engine) checkTimes(run *Attempt) (faults []event.Fault) {
	from, until := run.command.NotBefore, run.command.ExpiryTime
	switch {
	case from.IsZero():
	case run.Command.Type() == event.TypeOperationCancel:
		faults = append(faults, event.Fault{Field: event.AttrNotBefore, Problem: "can not be given: a cancel takes effect at once"})
	case e.kept > 0 && from.After(run.Operation.ReceivedAt.Add(e.kept)):
		faults = append(faults, event.Fault{Field: event.AttrNotBefore, Problem: fmt.Sprintf("must come within %v: commands are not kept for longer", e.kept)})
	}
	if !until.IsZero() && !from.IsZero() && !until.After(from) {
		faults = append(faults, event.Fault{Field: event.AttrExpiryTime, Problem: "must come after notbefore"})
	}
	return faults
}

// otherKey says that a command's key is not the recommended one: it may lose its order with another
// command about the same thing. "" where it is, or where there is none to recommend.
func otherKey(run *Attempt) string {
	recommended := event.Key(run.Command)
	if recommended == "" || event.Token(recommended) == run.address.Key {
		return ""
	}
	return "the recommended key of this command is " + event.Token(recommended)
}

// checkKey is a fault where the key is another than the recommended one and the tenant wants it to
// be that.
func (e *Engine) checkKey(run *Attempt) []event.Fault {
	if problem := otherKey(run); problem != "" && e.StrictKeys[run.Tenant] {
		return []event.Fault{{Field: "key", Problem: "must be the recommended one: " + problem}}
	}
	return nil
}

// warn has every result of a command warn of another key than the recommended one.
func (e *Engine) warn(run *Attempt) {
	if problem := otherKey(run); problem != "" && !e.StrictKeys[run.Tenant] {
		run.Operation.Warnings = []event.Warning{{Source: "mailwright", Text: problem + ": with another, it keeps no order with other commands about the same thing"}}
	}
}

// isDue reports whether a command's notbefore has come. A call that was made stays due.
func (e *Engine) isDue(run *Attempt, last *entry) bool {
	return last.state == event.StateStarted || last.state == event.StateUnknown || !e.Now().Before(run.command.NotBefore)
}

// hasExpired reports whether a command must not be begun any more.
func (e *Engine) hasExpired(run *Attempt) bool {
	return !run.command.ExpiryTime.IsZero() && !e.Now().Before(run.command.ExpiryTime)
}

// beforeExpiry gives the time of a next attempt; that of the command's expirytime where that comes
// first.
func (r *Attempt) beforeExpiry(next time.Time) time.Time {
	if until := r.command.ExpiryTime; !until.IsZero() && until.Before(next) {
		return until.UTC()
	}
	return next
}
