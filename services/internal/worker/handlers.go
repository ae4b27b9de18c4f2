package worker

import (
	"context"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/tenant"
)

// Handler carries out one type of command with one tenant's client. Its fields are those of
// [operation.Handler], with the client as a further argument.
type Handler[C any] struct {
	// Check rejects a command that its tenant does not allow, or that no vendor would take; nil
	// allows every command that fits its schema. It is asked before the other functions, so that
	// nothing is sent for a command that it rejects, and a plan is rejected in the same way.
	Check         func(*tenant.Tenant, *operation.Attempt) error
	Perform       func(C, context.Context, *operation.Attempt) (operation.Reply, error)
	NotRepeatable bool
	LookUp        func(C, context.Context, *operation.Attempt) (operation.Reply, bool, error)
	Plan          func(C, context.Context, *operation.Attempt) (event.Plan, error)
	// ReadBack needs no client: it makes a command.
	ReadBack func(*operation.Attempt) (eventType string, data any, err error)
}

// Check makes the Check of a [Handler] from a function that names the faults of a command's data.
func Check[Data any](faults func(*tenant.Tenant, Data) []event.Fault) func(*tenant.Tenant, *operation.Attempt) error {
	return func(t *tenant.Tenant, run *operation.Attempt) error {
		var data Data
		if err := run.Decode(&data); err != nil {
			return err
		}
		if list := faults(t, data); len(list) > 0 {
			return &operation.Rejection{Faults: event.ArrangeFaults(list)}
		}
		return nil
	}
}

// client gives the client of a command's tenant, if the command may use it.
func client[C any](clients *tenant.Clients[C], h Handler[C], run *operation.Attempt) (C, error) {
	c, t, err := clients.For(run.Tenant)
	if err != nil {
		return c, operation.Reject(event.AttrTenantID, err.Error())
	}
	if h.Check == nil {
		return c, nil
	}
	return c, h.Check(t, run)
}

// ForTenant makes an engine's handler: it picks the client of the command's tenant. A command whose
// tenant is not configured is rejected.
func ForTenant[C any](clients *tenant.Clients[C], h Handler[C]) operation.Handler {
	out := operation.Handler{
		Vendor: clients.Vendor(), NotRepeatable: h.NotRepeatable, ReadBack: h.ReadBack,
		Check: func(run *operation.Attempt) error {
			_, err := client(clients, h, run)
			return err
		},
		Perform: func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
			c, err := client(clients, h, run)
			if err != nil {
				return operation.Reply{}, err
			}
			return h.Perform(c, ctx, run)
		},
	}
	if h.LookUp != nil {
		out.LookUp = func(ctx context.Context, run *operation.Attempt) (operation.Reply, bool, error) {
			allowed := h
			if run.Prior != nil {
				// A policy that has changed since does not undo what the prior call may have done.
				allowed.Check = nil
			}
			c, err := client(clients, allowed, run)
			if err != nil {
				return operation.Reply{}, false, err
			}
			return h.LookUp(c, ctx, run)
		}
	}
	if h.Plan != nil {
		out.Plan = func(ctx context.Context, run *operation.Attempt) (event.Plan, error) {
			c, err := client(clients, h, run)
			if err != nil {
				return event.Plan{}, err
			}
			return h.Plan(c, ctx, run)
		}
	}
	return out
}
