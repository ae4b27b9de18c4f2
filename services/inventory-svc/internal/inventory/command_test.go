package inventory_test

import (
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/worker"
	"github.com/mailwright/mailwright/services/inventory-svc/internal/inventory"
)

// TestAPageSizeInAnyFormOfANumberIsThatNumber: to the schema 100, 100.0 and 1e2 are one number.
func TestAPageSizeInAnyFormOfANumberIsThatNumber(t *testing.T) {
	t.Parallel()
	v := newStub(t, `{"id":"ann","displayName":"Ann"}`)
	b := newEnv(t, v.URL)
	b.serve()
	for id, data := range map[string]string{"exponent": `{"mailboxType":"user","pageSize":1e2}`, "fraction": `{"mailboxType":"user","pageSize":100.0}`} {
		if got := b.outcome(b.publish(id, data)); got.Seen != 1 {
			t.Errorf("%s: %+v", data, got)
		}
	}
}

// TestATenantOfEnPowerThatIsNotAllowedIsNotAskedFor: the vendor's address leads nowhere, so that a
// request would fail otherwise.
func TestATenantOfEnPowerThatIsNotAllowedIsNotAskedFor(t *testing.T) {
	t.Parallel()
	b := newEnv(t, "http://127.0.0.1:1")
	handlers, err := inventory.Handlers(worker.Dependencies{
		Config: &worker.Config{}, JS: b.js,
		Tenants: tenant.Tenants{contoso: {EnPower: &tenant.EnPower{URL: "http://127.0.0.1:1", TokenURL: "http://127.0.0.1:1", ClientID: "app", ClientSecret: tenant.Secret{String: secret.New("hunter2")}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e, err := event.New("1", source, event.TypeInventorySync, []byte(`{"tenant":"fabrikam.com"}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = handlers[event.TypeInventorySync].Perform(t.Context(), &operation.Attempt{Command: e, ID: "id", Tenant: contoso})
	if want := "rejected: /tenant must be left out: the tenant's policy.enpower.tenants lists none"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
