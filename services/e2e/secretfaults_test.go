package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
)

// echoes are answers in which a vendor, or something in front of it, repeats a secret.
var echoes = []testkit.FaultParams{
	{Status: 400, Body: `{"message":"The password Zebra-Pass-1 is not complex enough.","code":"badRequest","modelState":{"unicodePwd":["Zebra-Pass-1"]}}`},
	{Status: 403, Body: `{"message":"Token adaxes-sandbox-token is not known","code":"adaxes-sandbox-token"}`},
	{Status: 500, Body: `{"error":{"code":"Zebra-Pass-1","message":"Zebra-Pass-1","innererror":{"internalexception":{"type":"a.Zebra-Pass-1"}}}}`},
	{Status: 400, Body: `{"error":"invalid_client","error_description":"entra-sandbox-secret is wrong, enpower-sandbox-secret too"}`},
	{Status: 200, Body: `{"resultType":1,"exception":{"message":"Zebra-Pass-1 was refused"},"innerMessages":[{"text":"password Zebra-Pass-1","messageType":1}]}`},
	{Status: 200, Body: `<response><errorContext code="0x80004005" description="Zebra-Pass-1 hosted-sandbox-password"><errorSource namespace="Zebra-Pass-1" procedure="Zebra-Pass-1"/></errorContext></response>`},
	{Status: 502, Body: `<html>Authorization: Basic hosted-sandbox-password Zebra-Pass-1</html>`},
}

// TestNoSecretIsFoundUnderFaults lets every vendor go wrong in every way, and repeat secrets while
// it does; then it searches what TestNoSecretIsFoundAnywhere searches.
func TestNoSecretIsFoundUnderFaults(t *testing.T) {
	t.Parallel()
	traces := newCollector(t)
	s := start(t, testkit.WithEnv(traces.Env()...))
	for _, vendor := range []string{"adaxes", "exchangeonline", "entra", "hostedexchange", "enpower", "enpower-identity", "ldap"} {
		for _, f := range []testkit.Fault{
			{Kind: "timeout-before"}, {Kind: "timeout-after"}, {Kind: "reset", Params: testkit.FaultParams{When: "after"}}, {Kind: "nonjson", Params: testkit.FaultParams{When: "after"}},
			{Kind: "status", Params: testkit.FaultParams{Status: 429, RetryAfter: "1"}}, {Kind: "status", Params: testkit.FaultParams{Status: 503}},
			{Kind: "secret-echo"}, {Kind: "secret-echo", Params: testkit.FaultParams{Status: 403}}, {Kind: "secret-echo", Params: testkit.FaultParams{Status: 500}},
		} {
			f.Vendor, f.Count = vendor, 1
			s.fail(f)
		}
		for _, echo := range echoes {
			s.fail(testkit.Fault{Vendor: vendor, Kind: "status", Count: 2, Params: echo})
		}
	}
	s.fail(testkit.Fault{Vendor: "adaxes", Kind: "suspend", Count: 1})
	s.fail(testkit.Fault{Vendor: "hostedexchange", Kind: "partial", Count: 1})
	rounds, last := 0, time.Time{}
	s.eventually(func(ctx context.Context) string {
		var standing struct {
			Faults []struct{ Vendor, Kind string }
		}
		if err := s.Vendors.Control(ctx, http.MethodGet, "faults", nil, &standing); err != nil {
			return err.Error()
		}
		// what waits for its next attempt draws no fault: bring more
		if len(standing.Faults) > 0 && time.Since(last) > 500*time.Millisecond {
			s.round(rounds)
			rounds, last = rounds+1, time.Now()
		}
		attempted, err := s.rows(ctx, `SELECT DISTINCT operation_id FROM mailwright.operation_events`)
		if len(standing.Faults) > 0 || len(attempted) < 4*rounds {
			return fmt.Sprintf("faults that have not struck yet: %v; operations with events: %d of %d, %v", standing.Faults, len(attempted), 4*rounds, err)
		}
		return ""
	})
	s.searchStreams()
	s.searchTables()
	if err := s.Stop(); err != nil { // the logs are whole
		t.Error(err)
	}
	s.searchLogs()
	s.searchTraces(traces)
}

// round publishes one command for each vendor.
func (s *env) round(i int) {
	s.Helper()
	s.mustPublish(command{fmt.Sprint("object-", i), event.TypeObjectCreate, fmt.Sprint("object-", i), fmt.Sprintf(`{"createIn":"OU=My Organizational Unit,DC=example,DC=com","objectType":"user","properties":[
		{"propertyName":"cn","propertyType":"String","values":["Faulty %d"]},{"propertyName":"sAMAccountName","propertyType":"String","values":["faulty%d"]},{"propertyName":"userPrincipalName","propertyType":"String","values":["faulty%d"]},
		{"propertyName":"unicodePwd","propertyType":"String","values":["Zebra-Pass-1"]}],"o365":{"locationName":"US","licenseModifications":[{"skuPartNumber":"O365_BUSINESS","assigned":true}]}}`, i, i, i)}.message())
	s.mustPublish(command{fmt.Sprint("hosted-", i), event.TypeBusinessUserCreate, fmt.Sprint("hosted-", i), fmt.Sprintf(`{"container":"LDAP://OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com","userPrincipalName":"faulty%d@alpineskihouse.com",
		"preferredDomainController":"AD01.fabrikam.com","isAdmin":false,"planName":"BaseMail","newPassword":"Zebra-Pass-1"}`, i)}.message())
	s.mustPublish(command{fmt.Sprint("delegation-", i), event.TypeDelegationChange, fmt.Sprint("delegation-", i), fmt.Sprintf(`{"mailbox":"adele.vance@contoso.com","add":["delegate%d@contoso.com"]}`, 1+i%4)}.message())
	s.mustPublish(command{fmt.Sprint("inventory-", i), event.TypeInventorySync, fmt.Sprint("inventory-", i), `{}`}.message())
}

func (s *env) fail(f testkit.Fault) {
	s.Helper()
	if err := s.Vendors.Fail(s.Context(), f); err != nil {
		s.Fatal(err)
	}
}
