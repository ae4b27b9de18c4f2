// Package act is how pages act: in the name of who is signed in, and written to AUDIT before and
// after.
package act

import (
	"context"
	"errors"
	"strings"

	"github.com/mailwright/mailwright/services/console/internal/page"
	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/operator"
	"github.com/mailwright/mailwright/services/internal/permissions"
)

const (
	// Source of the commands that cancel or take the place of others. It is the same for everybody,
	// so that what two people send again is one command. A tenant's operators name it.
	Source = "/mailwright-console"
	// program is the console in AUDIT.
	program = "https://mailwright.io/console"
)

// Actor is the person of a request, as the author of commands.
func Actor(p page.Person) operator.Actor { return operator.Actor{Source: Source, Person: p.Name} }

// Record writes the intent to AUDIT, calls do, and writes how it ended.
func Record(ctx context.Context, s page.Source, p page.Person, what audit.Act, do func(*audit.Tally) error) error {
	r := audit.Recorder{JS: s.JS, User: permissions.Console, Source: program, Person: p.Name}
	err := r.Record(ctx, what, func(t *audit.Tally) error {
		err := do(t)
		if refused := (*operator.RefusedError)(nil); errors.As(err, &refused) {
			return audit.Refused(err)
		}
		return err
	})
	if errors.Is(err, audit.ErrNotWritten) {
		return page.Unavailable("Nothing was done, since it could not be written to the stream AUDIT: %v", err)
	}
	return Told(err)
}

// Told has a person see why an action was refused.
func Told(err error) error {
	if refused, ok := errors.AsType[*operator.RefusedError](err); ok {
		return page.Invalid("Nothing was done: %s.", refused.Reason)
	}
	return err
}

// Reason is why a person acts, which every form of an action asks for.
func Reason(r *page.Request) (string, error) {
	reason := strings.TrimSpace(r.Form.Get("reason"))
	if reason == "" {
		return "", page.Invalid("Say why, such as a ticket's number: it is kept in AUDIT.")
	}
	if err := audit.CheckReason(reason); err != nil {
		return "", page.Invalid("Why: %v.", err)
	}
	return reason, nil
}
