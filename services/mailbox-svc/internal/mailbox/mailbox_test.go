package mailbox_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/worker"
	"github.com/mailwright/mailwright/services/mailbox-svc/internal/mailbox"
)

// handler is that of a tenant whose Adaxes gives these answers, to reads and to creates.
func handler(t *testing.T, read, create string) operation.Handler {
	t.Helper()
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, map[string]string{http.MethodGet: read, http.MethodPost: create}[r.Method])
	}))
	t.Cleanup(vendor.Close)
	handlers, err := mailbox.Handlers(worker.Dependencies{
		Config:  &worker.Config{VendorTimeout: 10 * time.Second},
		Tenants: tenant.Tenants{"contoso": {Adaxes: &tenant.Adaxes{URL: vendor.URL + "/restApi", Token: tenant.Secret{String: secret.New("token-1")}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.CheckHandlers(event.DomainMailbox, handlers); err != nil {
		t.Error(err)
	}
	return handlers[event.TypeMailboxCreate]
}

func run(t *testing.T) *operation.Attempt {
	t.Helper()
	e, err := event.New("1", "/test", event.TypeMailboxCreate, []byte(`{"directoryObject":"CN=a,DC=x","mailboxParameters":{"alias":"a"}}`))
	if err != nil {
		t.Fatal(err)
	}
	return &operation.Attempt{Command: e, ID: "id", Tenant: "contoso"}
}

func TestTheDatabaseIsNamedAsACreateNamesIt(t *testing.T) {
	t.Parallel()
	for homeMDB, want := range map[string]string{
		`CN=Mailbox Database 1,CN=Databases,DC=x`: "Mailbox Database 1", `CN=Store\\, One\\2C EU,CN=Databases,DC=x`: "Store, One, EU", "Mailbox Database 2": "Mailbox Database 2",
	} {
		h := handler(t, `{"guid":"7a4267ce-d354-44e7-8bd6-c681f1284a41","dn":"CN=a,DC=x","properties":{"mailNickname":["a"],"homeMDB":["`+homeMDB+`"]}}`, "")
		result, found, err := h.LookUp(t.Context(), run(t))
		if data, _ := result.Data.(event.MailboxCreatedData); err != nil || !found || data.Mailbox.Database != want {
			t.Errorf("%s: %+v, %v, %v", homeMDB, result.Data, found, err)
		}
	}
}

// TestAMailboxThatALostCreateMadeIsNoFailure: after a lost call the vendor's refusal may be that of
// a second mailbox.
func TestAMailboxThatALostCreateMadeIsNoFailure(t *testing.T) {
	t.Parallel()
	h := handler(t, "", `{"resultType":1,"exception":{"message":"The user already has a mailbox."}}`)
	first, again := run(t), run(t)
	again.Prior = &operation.PriorCall{}
	if _, err := h.Perform(t.Context(), first); !failure.Is(err, failure.Refused) {
		t.Errorf("the first call: %v", err)
	}
	if _, err := h.Perform(t.Context(), again); !failure.Is(err, failure.Unknown) {
		t.Errorf("a repeated call: %v", err)
	}
}
