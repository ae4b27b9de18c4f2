package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/worker"
)

// handler takes delegation.read with a page size of the tenant's number of operators; calls counts
// what gets through.
func handler(t *testing.T, calls *int) operation.Handler {
	t.Helper()
	tenants := tenant.Tenants{"a": {Adaxes: &tenant.Adaxes{URL: "client a"}, Operators: []string{"/one", "/two"}}, "b": {EnPower: &tenant.EnPower{}}}
	clients, err := tenant.Connect(tenants, "adaxes", slog.New(slog.DiscardHandler), func(t *tenant.Tenant) *tenant.Adaxes { return t.Adaxes }, func(a *tenant.Adaxes) (string, error) { return a.URL, nil })
	if err != nil {
		t.Fatal(err)
	}
	count := func(client string) {
		if *calls++; client != "client a" {
			t.Errorf("the client is %q", client)
		}
	}
	return worker.ForTenant(clients, worker.Handler[string]{
		Check: worker.Check(func(t *tenant.Tenant, d event.DelegationReadData) []event.Fault {
			if int(d.PageSize) == len(t.Operators) {
				return nil
			}
			return []event.Fault{{Field: "/pageSize", Problem: "b"}, {Field: "/pageSize", Problem: "a"}, {Field: "/pageSize", Problem: "b"}}
		}),
		Perform: func(client string, _ context.Context, _ *operation.Attempt) (operation.Reply, error) {
			count(client)
			return operation.Reply{}, nil
		},
		LookUp: func(client string, _ context.Context, _ *operation.Attempt) (operation.Reply, bool, error) {
			count(client)
			return operation.Reply{}, false, nil
		},
		Plan: func(client string, _ context.Context, _ *operation.Attempt) (event.Plan, error) {
			count(client)
			return event.Plan{}, nil
		},
	})
}

func TestForTenant(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		run    *operation.Attempt
		data   string
		faults []event.Fault // of perform and plan
		looks  bool          // a look-up takes place
	}{
		"allowed":                  {&operation.Attempt{Tenant: "a"}, `{"pageSize":2.0}`, nil, true},
		"refused":                  {&operation.Attempt{Tenant: "a"}, `{"pageSize":3}`, []event.Fault{{Field: "/pageSize", Problem: "a"}, {Field: "/pageSize", Problem: "b"}}, false},
		"refused since":            {&operation.Attempt{Tenant: "a", Prior: &operation.PriorCall{}}, `{"pageSize":3}`, []event.Fault{{Field: "/pageSize", Problem: "a"}, {Field: "/pageSize", Problem: "b"}}, true},
		"no tenant":                {&operation.Attempt{}, `{"pageSize":2}`, []event.Fault{{Field: "tenantid", Problem: "is missing; name the tenant"}}, false},
		"unknown tenant":           {&operation.Attempt{Tenant: "c"}, `{"pageSize":2}`, []event.Fault{{Field: "tenantid", Problem: "names no tenant that is configured (section tenants)"}}, false},
		"tenant without it":        {&operation.Attempt{Tenant: "b"}, `{"pageSize":2}`, []event.Fault{{Field: "tenantid", Problem: "names a tenant that does not use adaxes: its configuration has no section adaxes"}}, false},
		"call in doubt, no tenant": {&operation.Attempt{Prior: &operation.PriorCall{}}, `{"pageSize":2}`, []event.Fault{{Field: "tenantid", Problem: "is missing; name the tenant"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls int
			h, run := handler(t, &calls), c.run
			var err error
			if run.Command, err = event.New("1", "/test", event.TypeDelegationRead, []byte(c.data)); err != nil {
				t.Fatal(err)
			}
			_, performed := h.Perform(t.Context(), run)
			_, planned := h.Plan(t.Context(), run)
			for _, err := range []error{performed, planned} {
				r, rejected := errors.AsType[*operation.Rejection](err)
				if rejected != (c.faults != nil) || !rejected && err != nil || rejected && !cmp.Equal(r.Faults, c.faults) {
					t.Errorf("got %v, want %+v", err, c.faults)
				}
			}
			if want := map[bool]int{true: 2}[c.faults == nil]; calls != want {
				t.Errorf("%d calls, want %d", calls, want)
			}
			if _, _, err := h.LookUp(t.Context(), run); (err == nil) != c.looks {
				t.Errorf("look up: %v", err)
			}
		})
	}
}
