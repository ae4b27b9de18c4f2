package sandbox_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/sandbox/internal/sandbox"
)

// Identifiers and credentials of the default seed.
const (
	adaxesToken  = "adaxes-sandbox-token"
	tenantID     = "3f2c8a10-7d54-4c1b-9e0a-5b6d7c8e9f01"
	entraClient  = "a1b2c3d4-0001-4000-8000-000000000001"
	entraSecret  = "entra-sandbox-secret"
	powerClient  = "e0e0e0e0-0001-4000-8000-000000000001"
	powerSecret  = "enpower-sandbox-secret"
	hostedUser   = `FABRIKAM\provisioner`
	hostedSecret = "hosted-sandbox-password"
	myUnit       = "OU=My Organizational Unit,DC=example,DC=com"
)

// env is a sandbox behind a real HTTP server, with a caller for each API.
type env struct {
	t       *testing.T
	server  *httptest.Server
	sandbox *sandbox.Sandbox
}

func open(t *testing.T, o sandbox.Options) *env {
	t.Helper()
	s, err := sandbox.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	b := &env{t: t, server: httptest.NewServer(s.Handler()), sandbox: s}
	t.Cleanup(b.close)
	return b
}

func (b *env) close() {
	b.server.Close()
	_ = b.sandbox.Close() // a second close only says so
}

// answer is a whole response.
type answer struct {
	status int
	header http.Header
	body   string
}

// object reads the body as a JSON object.
func (a answer) object(t *testing.T) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(a.body), &o); err != nil {
		t.Fatalf("status %d, not a JSON object: %v\n%s", a.status, err, a.body)
	}
	return o
}

// try sends a request; header holds name, value pairs.
func (b *env) try(method, path, body string, header ...string) (answer, error) {
	b.t.Helper()
	target := path
	if strings.HasPrefix(path, "/") {
		target = b.server.URL + path
	}
	r, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

func (b *env) send(method, path, body string, header ...string) answer {
	b.t.Helper()
	a, err := b.try(method, path, body, header...)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

const jsonType = "application/json"

// adaxes calls the Adaxes REST API below ~/api.
func (b *env) adaxes(method, path, body string) answer {
	b.t.Helper()
	return b.send(method, "/adaxes/restApi/api/"+path, body, "Adm-Authorization", adaxesToken, "Content-Type", jsonType)
}

// result is an operation result's interesting part.
func (b *env) result(a answer) (resultType float64, dn, exception string) {
	b.t.Helper()
	o := a.object(b.t)
	if a.status != http.StatusOK {
		b.t.Fatalf("status %d: %s", a.status, a.body)
	}
	if e, ok := o["exception"].(map[string]any); ok {
		exception, _ = e["message"].(string)
	}
	dn, _ = o["actualObjectDN"].(string)
	return o["resultType"].(float64), dn, exception
}

func (b *env) token(path, client, secret, scope string) string {
	b.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {secret}, "scope": {scope}}
	a := b.send("POST", path, form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	text, _ := a.object(b.t)["access_token"].(string)
	if text == "" {
		b.t.Fatalf("no token: %s", a.body)
	}
	return text
}

func (b *env) exchangeToken() string {
	b.t.Helper()
	return b.token("/entra/"+tenantID+"/oauth2/v2.0/token", entraClient, entraSecret, "https://outlook.office365.com/.default")
}

func (b *env) powerToken() string {
	b.t.Helper()
	return b.token("/enpower-identity/connect/token", powerClient, powerSecret, "enpower.data.read.all")
}

const mailboxPath = "/exchange/adminapi/v2.0/" + tenantID + "/Mailbox"

// exchange posts a body to an Exchange Online endpoint, or follows a whole URL.
func (b *env) exchange(token, path, body string) answer {
	b.t.Helper()
	return b.send("POST", path, body, "Authorization", "Bearer "+token, "Content-Type", jsonType, "X-AnchorMailbox", "AAD-UPN:alex@contoso.com")
}

// getMailbox reads one mailbox; nil where Exchange does not find it.
func (b *env) getMailbox(identity string) map[string]any {
	b.t.Helper()
	a := b.exchange(b.exchangeToken(), mailboxPath, fmt.Sprintf(`{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"Identity":%q}}}`, identity))
	if a.status == http.StatusNotFound {
		return nil
	}
	rows, _ := a.object(b.t)["value"].([]any)
	if len(rows) != 1 {
		b.t.Fatalf("Get-Mailbox %s: %s", identity, a.body)
	}
	return rows[0].(map[string]any)
}

func (b *env) delegates(identity string) string {
	b.t.Helper()
	return fmt.Sprint(b.getMailbox(identity)["GrantSendOnBehalfTo"])
}

// hosted posts plain XML to the provisioning system.
func (b *env) hosted(body string) answer {
	b.t.Helper()
	return b.send("POST", "/hosted/mpf/request", body, "Content-Type", "text/xml; charset=utf-8", "Authorization", basic(hostedUser, hostedSecret))
}

func basic(user, password string) string {
	r, _ := http.NewRequest("GET", "http://invalid", nil)
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

// control calls the control API and wants it to succeed.
func (b *env) control(method, path, body string) answer {
	b.t.Helper()
	a := b.send(method, "/control/"+path, body, "Content-Type", jsonType)
	if a.status != http.StatusOK {
		b.t.Fatalf("control %s %s: %s", method, path, a.body)
	}
	return a
}

func (b *env) set(name string, value any) {
	b.t.Helper()
	body, err := json.Marshal(map[string]any{name: value})
	if err != nil {
		b.t.Fatal(err)
	}
	b.control("PUT", "switches", string(body))
}

// journal is the calls that a query of the control API chooses.
func (b *env) journal(query string) []map[string]any {
	b.t.Helper()
	var page struct{ Entries []map[string]any }
	if err := json.Unmarshal([]byte(b.control("GET", "journal?"+query, "").body), &page); err != nil {
		b.t.Fatal(err)
	}
	return page.Entries
}

// listing is what EnPower shows.
type listing struct {
	Mailboxes  []map[string]any
	TotalCount int
	NextLink   string
}

func (b *env) inventory(token, target string) listing {
	b.t.Helper()
	a := b.send("GET", target, "", "Authorization", "Bearer "+token)
	var l listing
	if err := json.Unmarshal([]byte(a.body), &l); err != nil || a.status != http.StatusOK {
		b.t.Fatalf("status %d: %v\n%.300s", a.status, err, a.body)
	}
	return l
}

func sample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("there is no %s in\n%s", part, text)
		}
	}
}
