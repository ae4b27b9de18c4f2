package worker

import (
	"context"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/operation"
	"github.com/mailwright/mailwright/pkg/tenant"
	"github.com/mailwright/mailwright/pkg/vendors/adaxes"
)

// Handler carries out one type of command with one tenant's client. It is an operation.Handler but for the client.
type Handler[C any] struct {
	Perform func(C, context.Context, *operation.Run) (operation.Result, error)
	Once    bool
	LookUp  func(C, context.Context, *operation.Run) (operation.Result, bool, error)
	Plan    func(C, context.Context, *operation.Run) (event.Plan, error)
	// ReadBack needs no client: it makes a command.
	ReadBack func(*operation.Run) (eventType string, data any, err error)
}

// ForTenant makes a handler of one tenant's. A command whose tenant is not configured is rejected.
func ForTenant[C any](clients *tenant.Clients[C], h Handler[C]) operation.Handler {
	of := func(run *operation.Run) (client C, err error) {
		client, name, err := clients.For(run.Tenant)
		if err != nil {
			return client, operation.Reject(event.TenantID, err.Error())
		}
		run.Tenant = name
		return client, nil
	}
	out := operation.Handler{Once: h.Once, Vendor: clients.Vendor(), ReadBack: h.ReadBack, Perform: func(ctx context.Context, run *operation.Run) (operation.Result, error) {
		client, err := of(run)
		if err != nil {
			return operation.Result{}, err
		}
		return h.Perform(client, ctx, run)
	}}
	if h.LookUp != nil {
		out.LookUp = func(ctx context.Context, run *operation.Run) (operation.Result, bool, error) {
			client, err := of(run)
			if err != nil {
				return operation.Result{}, false, err
			}
			return h.LookUp(client, ctx, run)
		}
	}
	if h.Plan != nil {
		out.Plan = func(ctx context.Context, run *operation.Run) (event.Plan, error) {
			client, err := of(run)
			if err != nil {
				return event.Plan{}, err
			}
			return h.Plan(client, ctx, run)
		}
	}
	return out
}

// Warnings gives what Adaxes warned of as results have it.
func Warnings(messages []adaxes.Message) (out []event.Warning) {
	for _, m := range messages {
		out = append(out, event.Warning{Source: m.Source, Text: m.SafeText})
	}
	return out
}
