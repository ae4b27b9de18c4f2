package worker

import (
	"context"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/operation"
	"github.com/mailwright/mailwright/pkg/tenant"
	"github.com/mailwright/mailwright/pkg/vendors/adaxes"
)

// ForTenant makes a handler of a method of one tenant's client. A command whose tenant is not configured is rejected.
func ForTenant[C any](clients *tenant.Clients[C], handle func(C, context.Context, *operation.Run) (operation.Result, error)) operation.Handler {
	return func(ctx context.Context, run *operation.Run) (operation.Result, error) {
		client, name, err := clients.For(run.Tenant)
		if err != nil {
			return operation.Result{}, operation.Reject(event.TenantID, err.Error())
		}
		run.Tenant = name
		return handle(client, ctx, run)
	}
}

// Warnings gives what Adaxes warned of as results have it.
func Warnings(messages []adaxes.Message) (out []event.Warning) {
	for _, m := range messages {
		out = append(out, event.Warning{Source: m.Source, Text: m.SafeText})
	}
	return out
}
