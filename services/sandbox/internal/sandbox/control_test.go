package sandbox_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/sandbox/internal/sandbox"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

func TestControlToken(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{ControlToken: "open sesame"})
	if a := b.send("GET", "/control/clock", ""); a.status != http.StatusUnauthorized {
		t.Errorf("without the token: %d", a.status)
	}
	if a := b.send("GET", "/control/clock", "", "Authorization", "Bearer open sesame"); a.status != http.StatusOK {
		t.Errorf("with the token: %d", a.status)
	}
	if a := b.send("GET", "/livez", ""); a.status != http.StatusOK {
		t.Errorf("livez: %d", a.status)
	}
}

func TestControlReset(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	alex := b.getMailbox("alex@contoso.com")["Guid"]
	b.adaxes("POST", "directoryObjects", sample(t, "adaxes-create-1.json"))
	b.set("adaxes.refusals", "http")
	b.control("POST", "faults", `{"kind":"status","call":"search","params":{"status":500}}`)
	b.control("POST", "reset", "")
	if len(b.journal("")) != 0 || strings.Contains(b.control("GET", "faults", "").body, "search") {
		t.Error("journal or faults stay")
	}
	if kind, _, _ := b.result(b.adaxes("POST", "directoryObjects", sample(t, "adaxes-create-1.json"))); kind != 0 {
		t.Error("the user stays")
	}
	if b.getMailbox("alex@contoso.com")["Guid"] != alex {
		t.Error("the seed's identifiers change")
	}
	if a := b.send("POST", "/control/seed", "colour: red"); a.status != http.StatusBadRequest {
		t.Errorf("a seed with an unknown key: %d", a.status)
	}
	if a := b.send("POST", "/control/seed", "switches: {no.such: true}"); a.status != http.StatusBadRequest {
		t.Errorf("a seed with an unknown switch: %d", a.status)
	}
	if b.getMailbox("alex@contoso.com") == nil {
		t.Error("a refused seed changes the tenant")
	}
}

func TestControlSwitches(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	for _, wrong := range []string{`{"no.such":true}`, `{"adaxes.refusals":"maybe"}`, `{"adaxes.read-lag":5}`, `{"enpower.activity":"yes"}`} {
		if a := b.send("PUT", "/control/switches", wrong); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d", wrong, a.status)
		}
	}
	b.set("exchangeonline.display-names", "unavailable")
	a := b.exchange(b.exchangeToken(), mailboxPath, sample(t, "exchangeonline-2.json"))
	if a.status != http.StatusBadRequest || !strings.Contains(a.body, "AmbiguousParameterSetException") {
		t.Errorf("an unavailable parameter: %d %s", a.status, a.body)
	}
	all := b.control("GET", "switches", "").body
	page, err := os.ReadFile("../../../../docs/sandbox.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range switches.Table {
		if !strings.Contains(string(page), fmt.Sprintf("| `%s` | %v | ", entry.Name, entry.Default)) {
			t.Errorf("docs/sandbox.md lacks %s with its default", entry.Name)
		}
		if !strings.Contains(all, fmt.Sprintf("%q", entry.Name)) || entry.Source == "" || entry.Meaning == "" {
			t.Errorf("%s is not shown, or not explained", entry.Name)
		}
	}
}

func TestJournalHoldsNoSecret(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	exchange := b.exchangeToken()
	b.adaxes("POST", "directoryObjects", sample(t, "adaxes-create-1.json"))
	b.hosted(sample(t, "hostedexchange-1.xml"))
	b.hosted(create("weak@alpineskihouse.com", "<newPassword>secret-one</newPassword>"))
	b.send("POST", "/adaxes/restApi/api/authSessions/create", `{"username":"svc-mailwright@example.com","password":"secret-two"}`, "Content-Type", jsonType)
	b.send("DELETE", "/adaxes/restApi/api/auth?token=secret-three", "", "Adm-Authorization", adaxesToken)
	text := b.control("GET", "journal", "").body
	for _, secret := range []string{"MyPassword1!", "Pass1Word", "secret-", exchange, entraSecret, adaxesToken, hostedSecret} {
		if strings.Contains(text, secret) {
			t.Errorf("the journal holds %s", secret)
		}
	}
	if got := len(b.journal("vendor=hostedexchange&committed=true&match=admin@")); got != 1 {
		t.Errorf("%d entries", got)
	}
}

func TestTokensCanBeRevoked(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	token := b.powerToken()
	b.inventory(token, inventoryPath)
	b.control("DELETE", "tokens", "")
	if a := b.send("GET", inventoryPath, "", "Authorization", "Bearer "+token); a.status != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d", a.status)
	}
}
