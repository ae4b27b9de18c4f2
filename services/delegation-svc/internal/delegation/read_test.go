package delegation_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/delegation-svc/internal/delegation"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/worker"
)

// TestAPageSizeInAnyFormOfANumberIsThatNumber: to the schema 100, 100.0 and 1e2 are one number.
func TestAPageSizeInAnyFormOfANumberIsThatNumber(t *testing.T) {
	t.Parallel()
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/token") {
			_, _ = fmt.Fprint(w, `{"access_token":"token-1","token_type":"Bearer","expires_in":3600}`)
			return
		}
		_, _ = fmt.Fprint(w, `{"value":[]}`)
	}))
	t.Cleanup(vendor.Close)
	handlers, err := delegation.Handlers(worker.Dependencies{
		Config: &worker.Config{VendorTimeout: 10 * time.Second},
		Tenants: tenant.Tenants{"contoso": {ExchangeOnline: &tenant.ExchangeOnline{
			URL: vendor.URL, TenantID: "0b4d238a-62fc-4088-0ff3-4ae2b108eed4", TokenURL: vendor.URL + "/token", ClientID: "app", ClientSecret: tenant.Secret{String: secret.New("secret-1")},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{`{"pageSize":100.0}`, `{"pageSize":1e2}`, `{"pageSize":100}`} {
		e, err := event.New("1", "/test", event.TypeDelegationRead, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := handlers[event.TypeDelegationRead].Perform(t.Context(), &operation.Attempt{Command: e, ID: "id", Tenant: "contoso"}); err != nil {
			t.Errorf("%s: %v", data, err)
		}
	}
}
