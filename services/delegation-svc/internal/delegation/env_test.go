package delegation_test

import (
	"bytes"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/delegation-svc/internal/delegation"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/sandboxapi"
	"github.com/mailwright/mailwright/services/internal/sandboxapi/sandboxtest"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/worker"
)

func TestMain(m *testing.M) {
	code := m.Run()
	sandboxtest.Clean()
	os.Exit(code)
}

// Of the sandbox's default seed.
const (
	tenantID = "3f2c8a10-7d54-4c1b-9e0a-5b6d7c8e9f01"
	clientID = "a1b2c3d4-0001-4000-8000-000000000001"
)

// orphan is the GUID of a delegate who has been deleted.
const orphan = "8fbe075a-c43d-4b8d-a98d-3300b1b5b613"

// env is a sandbox with the handlers of a tenant that it serves.
type env struct {
	*testing.T
	sandbox  *sandboxtest.Sandbox
	handlers map[string]operation.Handler
}

// setup starts a sandbox. In its tenant, twin@contoso.com has Adele Vance's display name.
func setup(t *testing.T) *env {
	t.Helper()
	b := &env{T: t, sandbox: sandboxtest.Start(t)}
	var err error
	b.handlers, err = delegation.Handlers(worker.Dependencies{
		Config: &worker.Config{VendorTimeout: 20 * time.Second},
		Tenants: tenant.Tenants{"contoso": {ExchangeOnline: &tenant.ExchangeOnline{
			URL: b.sandbox.URL + "/exchange", TokenURL: b.sandbox.URL + "/entra/" + tenantID + "/oauth2/v2.0/token",
			TenantID: tenantID, ClientID: clientID, ClientSecret: tenant.Secret{String: secret.New("entra-sandbox-secret")},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.CheckHandlers(event.DomainDelegation, b.handlers); err != nil {
		t.Error(err)
	}
	return b
}

// seed begins anew with alex@contoso.com's delegates as given.
func (b *env) seed(delegates ...string) {
	b.Helper()
	seed, err := os.ReadFile("../../../sandbox/internal/seed/default.yaml")
	if err != nil {
		b.Fatal(err)
	}
	for old, now := range map[string]string{
		"delegates: [delegate1@contoso.com, admin@contoso.com]":    "delegates: [" + strings.Join(delegates, ", ") + "]",
		`name: "Bianca Pisani", firstName: "Bianca"`:               `name: "Adele Vance_aa40332fcb", displayName: "Adele Vance", firstName: "Adele"`,
		"alias: bianca.pisani, address: bianca.pisani@contoso.com": "alias: twin, address: twin@contoso.com",
		"alias: adele.vance, address: adele.vance@contoso.com":     "alias: adele, address: adele@contoso.com, otherAddresses: [vance@contoso.com]",
	} {
		if !bytes.Contains(seed, []byte(old)) {
			b.Fatalf("the seed has no %s", old)
		}
		seed = bytes.Replace(seed, []byte(old), []byte(now), 1)
	}
	b.control(http.MethodPost, "seed", seed)
	b.control(http.MethodPost, "reset", nil)
	b.set("exchangeonline.orphan-shown", "guid")
}

func (b *env) control(method, path string, body any) {
	b.Helper()
	if err := b.sandbox.Do(b.Context(), method, path, body, nil); err != nil {
		b.Fatal(err)
	}
}

func (b *env) set(name string, value any) {
	b.Helper()
	b.control(http.MethodPut, "switches", map[string]any{name: value})
}

func (b *env) fail(faults ...sandboxapi.Fault) {
	b.Helper()
	for i := range faults {
		faults[i].Vendor = "exchangeonline"
	}
	if err := b.sandbox.Apply(b.Context(), sandboxapi.Script{Faults: faults}); err != nil {
		b.Fatal(err)
	}
}

func (b *env) run(eventType, data string) *operation.Attempt {
	b.Helper()
	e, err := event.New("1", "/test", eventType, []byte(data))
	if err != nil {
		b.Fatal(err)
	}
	return &operation.Attempt{Command: e, ID: "id", Tenant: "contoso", Operation: event.OperationData{ReceivedAt: time.Now()}}
}

func (b *env) perform(eventType, data string) (operation.Reply, error) {
	b.Helper()
	run := b.run(eventType, data)
	return b.handlers[eventType].Perform(b.Context(), run)
}

// changed carries out a command that sets or changes delegates.
func (b *env) changed(eventType, data string) (event.DelegationChangedData, error) {
	b.Helper()
	result, err := b.perform(eventType, data)
	if err != nil {
		return event.DelegationChangedData{}, err
	}
	return result.Data.(event.DelegationChangedData), nil
}

// delegates are those that alex@contoso.com has in the sandbox, sorted.
func (b *env) delegates() string {
	b.Helper()
	b.set("exchangeonline.delegate-form", "smtp")
	b.set("exchangeonline.orphan-shown", "guid")
	result, err := b.perform(event.TypeDelegationRead, `{"mailbox":"alex@contoso.com"}`)
	if err != nil {
		b.Fatal(err)
	}
	var list []string
	for _, d := range result.Data.(event.DelegationObservedData).Mailboxes[0].Delegates {
		list = append(list, d.Address)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// writes are the bodies of GrantSendOnBehalfTo that the sandbox received.
func (b *env) writes() (bodies []string) {
	b.Helper()
	var page struct {
		Entries []struct{ Detail string }
	}
	if err := b.sandbox.Do(b.Context(), http.MethodGet, "journal?limit=0&call=Set-Mailbox", nil, &page); err != nil {
		b.Fatal(err)
	}
	for _, e := range page.Entries {
		bodies = append(bodies, e.Detail)
	}
	return bodies
}
