package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/sandbox/internal/sandbox"
	"github.com/mailwright/mailwright/services/sandbox/internal/seed"
)

const inventoryPath = "/enpower/smp/exchange/mailboxes"

func TestEnPowerDocumentedSample(t *testing.T) {
	t.Parallel()
	// A tenant of nothing but the page's own mailbox, with AvePoint's application.
	text := string(seed.Default)
	b := open(t, sandbox.Options{Seed: []byte(text[strings.Index(text, "\nenpower:"):])})
	a := b.send("GET", inventoryPath, "", "Authorization", "Bearer "+b.powerToken())
	var got, want any
	if json.Unmarshal([]byte(a.body), &got) != nil || json.Unmarshal([]byte(sample(t, "enpower-sample.json")), &want) != nil {
		t.Fatal(a.body)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("not the page's response: %s", a.body)
	}
}

func TestEnPowerPaging(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	token := b.powerToken()
	ids, pages := map[string]bool{}, 0
	for link := inventoryPath + "?top=7"; link != ""; pages++ {
		page := b.inventory(token, link)
		if page.TotalCount != 30 {
			t.Fatalf("totalCount %d", page.TotalCount)
		}
		for _, m := range page.Mailboxes {
			ids[m["id"].(string)] = true
		}
		link = page.NextLink
	}
	if len(ids) != 30 || pages != 5 {
		t.Errorf("%d mailboxes in %d pages", len(ids), pages)
	}
	if got := len(b.inventory(token, inventoryPath+"?mailboxType=2").Mailboxes); got != 4 {
		t.Errorf("%d shared mailboxes", got)
	}
	if got := len(b.inventory(token, inventoryPath+"?tenant="+tenantID+"&mailboxType=1").Mailboxes); got != 25 {
		t.Errorf("%d user mailboxes of contoso", got)
	}
	if got := b.inventory(token, inventoryPath+"?tenant=nowhere"); len(got.Mailboxes) != 0 || got.Mailboxes == nil {
		t.Errorf("an unknown tenant: %v", got)
	}
	rooms := b.send("GET", "/enpower/smp/exchange/resourcemailboxes?resourceMailboxType=1", "", "Authorization", "Bearer "+token)
	contains(t, rooms.body, `{"resourceMailboxes":[{`, `"recipientType":"Room mailbox"`, `"totalCount":2`)
}

func TestEnPowerAwkwardShapes(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	b.control("POST", "enpower/population", `{"count":500}`)
	shapes := map[string]map[string]bool{}
	for _, m := range b.inventory(b.powerToken(), inventoryPath+"?top=1000").Mailboxes {
		for _, field := range []string{"recipientLimits", "renewProfile", "phaseAssignees", "renewProfileApplied", "primaryContact", "firstName"} {
			if shapes[field] == nil {
				shapes[field] = map[string]bool{}
			}
			shapes[field][fmt.Sprintf("%T", m[field])] = true
		}
	}
	for field, want := range map[string]int{"recipientLimits": 2, "renewProfile": 2, "phaseAssignees": 3, "renewProfileApplied": 2, "primaryContact": 2, "firstName": 2} {
		if len(shapes[field]) != want {
			t.Errorf("%s has the shapes %v", field, shapes[field])
		}
	}
}

func TestEnPowerStrictness(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	token := b.powerToken()
	bearer := []string{"Authorization", "Bearer " + token}
	tests := []struct {
		name, method, path string
		header             []string
		status             int
	}{
		{"no token", "GET", inventoryPath, nil, 401},
		{"an Exchange token", "GET", inventoryPath, []string{"Authorization", "Bearer " + b.exchangeToken()}, 401},
		{"POST", "POST", inventoryPath, bearer, 405},
		{"by id", "GET", inventoryPath + "/f78625f8-3ec3-4665-835a-3502484af738", bearer, 404},
		{"top 0", "GET", inventoryPath + "?top=0", bearer, 400},
		{"top 1001", "GET", inventoryPath + "?top=1001", bearer, 400},
		{"top not a number", "GET", inventoryPath + "?top=many", bearer, 400},
		{"mailboxType 3", "GET", inventoryPath + "?mailboxType=3", bearer, 400},
		{"a parameter twice", "GET", inventoryPath + "?top=1&top=2", bearer, 400},
		{"a made-up token", "GET", inventoryPath + "?skipToken=xyz", bearer, 400},
		{"an unknown parameter is ignored", "GET", inventoryPath + "?colour=red", bearer, 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := b.send(test.method, test.path, "", test.header...)
			if a.status != test.status || a.object(t) == nil {
				t.Errorf("status %d: %.300s", a.status, a.body)
			}
		})
	}
	b.control("POST", "clock", `{"advance":"61m"}`)
	if a := b.send("GET", inventoryPath, "", bearer...); a.status != http.StatusUnauthorized {
		t.Errorf("an expired token: %d", a.status)
	}
}

func TestEnPowerPopulation(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	b.control("POST", "enpower/population", `{"count":1000000}`)
	token := b.powerToken()
	first := b.inventory(token, inventoryPath+"?top=1000")
	second := b.inventory(token, first.NextLink)
	if first.TotalCount != 1_000_030 || len(first.Mailboxes) != 1000 || len(second.Mailboxes) != 1000 {
		t.Fatalf("total %d, pages of %d and %d", first.TotalCount, len(first.Mailboxes), len(second.Mailboxes))
	}
	if fmt.Sprint(first.Mailboxes[999]["id"]) == fmt.Sprint(second.Mailboxes[0]["id"]) {
		t.Error("the pages overlap")
	}
	if again := b.inventory(token, first.NextLink); !reflect.DeepEqual(again.Mailboxes[0], second.Mailboxes[0]) {
		t.Error("a page read twice differs")
	}
	if shared := b.inventory(token, inventoryPath+"?mailboxType=2&top=1"); shared.TotalCount != 100_004 {
		t.Errorf("%d shared mailboxes", shared.TotalCount)
	}
}

func TestEnPowerPopulationChanges(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	token := b.powerToken()
	read := func(population string) map[string]string {
		b.control("POST", "enpower/population", population)
		found := map[string]string{}
		page := b.inventory(token, inventoryPath+"?top=1000")
		for _, m := range page.Mailboxes {
			found[fmt.Sprint(m["id"])] = fmt.Sprint(m)
		}
		if page.TotalCount != len(found) {
			t.Errorf("%s: total %d, %d listed", population, page.TotalCount, len(found))
		}
		return found
	}
	before, after := read(`{"count":900}`), read(`{"count":900,"changed":0.1,"removed":0.05}`)
	changed, removed := 0, 0
	for id, row := range before {
		switch now, there := after[id]; {
		case !there:
			removed++
		case now != row:
			changed++
		}
	}
	if changed < 60 || changed > 120 || removed < 25 || removed > 65 || len(after) != len(before)-removed {
		t.Errorf("of 900, %d changed and %d are gone", changed, removed)
	}
	if again := read(`{"count":900}`); !reflect.DeepEqual(again, before) {
		t.Error("without changes it is another population")
	}
}

func TestTokenEndpoints(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	const entra, power = "/entra/" + tenantID + "/oauth2/v2.0/token", "/enpower-identity/connect/token"
	form := func(change ...string) string {
		values := url.Values{"grant_type": {"client_credentials"}, "client_id": {entraClient}, "client_secret": {entraSecret}, "scope": {"https://outlook.office365.com/.default"}}
		for i := 0; i < len(change); i += 2 {
			values.Set(change[i], change[i+1])
		}
		return values.Encode()
	}
	powerForm := func(change ...string) string {
		return form(append([]string{"client_id", powerClient, "client_secret", powerSecret, "scope", "enpower.data.read.all"}, change...)...)
	}
	const formType = "application/x-www-form-urlencoded"
	tests := []struct {
		name, path, body, kind string
		status                 int
		code                   string
	}{
		{"wrong secret", entra, form("client_secret", "no"), formType, 401, "invalid_client"},
		{"unknown client", entra, form("client_id", "no"), formType, 400, "unauthorized_client"},
		{"wrong grant", entra, form("grant_type", "password"), formType, 400, "unsupported_grant_type"},
		{"scope without .default", entra, form("scope", "Exchange.ManageAsAppV2"), formType, 400, "invalid_scope"},
		{"JSON", entra, `{"grant_type":"client_credentials"}`, jsonType, 400, "invalid_request"},
		{"unknown tenant", strings.Replace(entra, "3f2c", "4f2c", 1), form(), formType, 400, "invalid_request"},
		{"AvePoint, wrong secret", power, powerForm("client_secret", "no"), formType, 400, "invalid_client"},
		{"AvePoint, wrong scope", power, powerForm("scope", "opus.data.read.all"), formType, 400, "invalid_scope"},
		{"AvePoint, a made-up assertion", power, powerForm("client_assertion", "a.b.c", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), formType, 400, "invalid_client"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := b.send("POST", test.path, test.body, "Content-Type", test.kind)
			if a.status != test.status || a.object(t)["error"] != test.code {
				t.Errorf("%d %s", a.status, a.body)
			}
			if strings.Contains(a.body, entraSecret) {
				t.Error("the answer holds the secret")
			}
		})
	}
}
