package sandbox_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/mailwright/mailwright/services/sandbox/internal/sandbox"
)

func TestOneTenant(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	power := b.powerToken()
	listed := func(address string) bool {
		for _, m := range b.inventory(power, inventoryPath+"?top=1000").Mailboxes {
			if m["emailAddress"] == address {
				return true
			}
		}
		return false
	}
	john := "CN=John Smith," + myUnit
	b.adaxes("POST", "directoryObjects", sample(t, "adaxes-create-1.json"))
	if b.getMailbox("jsmith@example.com") != nil {
		t.Error("a user without a mailbox is in Get-Mailbox")
	}
	b.adaxes("POST", "directoryObjects/exchange/mailbox", `{"directoryObject":"`+john+`","mailboxParameters":{"alias":"jsmith"}}`)
	if b.getMailbox(john) == nil {
		t.Error("Get-Mailbox does not find it by the directory's DN")
	}
	set := b.exchange(b.exchangeToken(), mailboxPath, `{"CmdletInput":{"CmdletName":"Set-Mailbox","Parameters":{"Identity":"alex","GrantSendOnBehalfTo":["jsmith@example.com"]}}}`)
	if got := b.delegates("alex"); set.status != http.StatusOK || got != "[jsmith@example.com]" {
		t.Errorf("as a delegate: %s", got)
	}
	if listed("jsmith@example.com") {
		t.Error("EnPower knows it before a scan")
	}
	b.control("POST", "scan", "")
	if !listed("jsmith@example.com") {
		t.Error("EnPower does not know it after a scan")
	}

	licensed := strings.NewReplacer("O365_BUSINESS", "ENTERPRISEPACK", `"John"`, `"Joan"`, "jsmith", "joan").Replace(sample(t, "adaxes-create-2.json"))
	b.result(b.adaxes("POST", "directoryObjects", licensed))
	if b.getMailbox("joan@example.com") == nil {
		t.Error("a licence with Exchange makes no mailbox")
	}
	b.hosted(create("skier@alpineskihouse.com", `<planName>BaseMail</planName>`))
	if b.getMailbox("skier@alpineskihouse.com") == nil {
		t.Error("Get-Mailbox does not find the hosted user")
	}
	b.control("POST", "scan", "")
	if !listed("skier@alpineskihouse.com") || !listed("joan@example.com") {
		t.Error("EnPower does not know them after a scan")
	}
	b.adaxes("DELETE", "directoryObjects?directoryObject="+strings.ReplaceAll(john, " ", "%20"), "")
	b.control("POST", "scan", "")
	if listed("jsmith@example.com") || b.delegates("alex") != "[]" {
		t.Error("a deleted user stays")
	}
}

// TestKill leaves a sandbox without closing it, as a kill does: what was answered must be in
// the file, a torn last line must not hurt, and everything must go on as before.
func TestKill(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state")
	before := open(t, sandbox.Options{StateFile: file})
	exchange, power := before.exchangeToken(), before.powerToken()
	before.adaxes("POST", "directoryObjects", sample(t, "adaxes-create-1.json"))
	before.adaxes("POST", "directoryObjects/exchange/mailbox", `{"directoryObject":"CN=John Smith,`+myUnit+`","mailboxParameters":{"alias":"jsmith"}}`)
	before.hosted(sample(t, "hostedexchange-1.xml"))
	before.exchange(exchange, mailboxPath, sample(t, "exchangeonline-3.json"))
	before.control("POST", "clock", `{"advance":"30m"}`)
	before.control("POST", "enpower/population", `{"count":7}`)
	before.set("exchangeonline.output", "core")
	before.control("POST", "scan", "")
	link := before.inventory(power, inventoryPath+"?top=20").NextLink
	commits := len(before.journal("committed=true"))

	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(kept), "MyPassword1!") || strings.Contains(string(kept), "Pass1Word") || strings.Contains(string(kept), exchange) {
		t.Error("the state file holds a user's password or a token")
	}
	second := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(second, append(kept, `{"origin":{"vendor":"adaxes"},"changes":[{"t":"obj`...), 0o600); err != nil {
		t.Fatal(err)
	}
	after := open(t, sandbox.Options{StateFile: second})
	if kind, _, _ := after.result(after.adaxes("POST", "directoryObjects", sample(t, "adaxes-create-1.json"))); kind != 1 {
		t.Error("the user is gone")
	}
	if after.getMailbox("jsmith@example.com") == nil || after.getMailbox("admin@alpineskihouse.com") == nil {
		t.Error("a mailbox is gone")
	}
	if got := after.delegates("alex@contoso.com"); got != "[delegate1@contoso.com delegate2@contoso.com]" {
		t.Errorf("the delegates are %s", got)
	}
	if _, full := after.getMailbox("alex@contoso.com")["Guid"]; full {
		t.Error("the switch is gone")
	}
	if a := after.exchange(exchange, mailboxPath, sample(t, "exchangeonline-1.json")); a.status != http.StatusOK {
		t.Errorf("the token is gone: %d", a.status)
	}
	if used := after.store("EXBE03", "BusinessMailStore1"); used != "10000" {
		t.Errorf("the store holds %s KB", used)
	}
	page := after.inventory(power, strings.Replace(link, before.server.URL, after.server.URL, 1))
	if len(page.Mailboxes) != 19 || page.TotalCount != 39 {
		t.Errorf("the second page has %d mailboxes of %d", len(page.Mailboxes), page.TotalCount)
	}
	if got := len(after.journal("committed=true")); got != commits {
		t.Errorf("the journal has %d commits, not %d", got, commits)
	}
	after.control("POST", "reset", "")
	after.close()
	fresh := open(t, sandbox.Options{StateFile: second})
	if fresh.getMailbox("jsmith@example.com") != nil {
		t.Error("a reset does not last")
	}
}

func TestConcurrentCreates(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{StateFile: filepath.Join(t.TempDir(), "state")})
	const workers, each = 8, 25
	var wait sync.WaitGroup
	for worker := range workers {
		wait.Go(func() {
			for i := range each {
				// Every name is asked for twice, by two workers.
				body := user(fmt.Sprintf("cn=User %d-%d;sAMAccountName=u%d-%d", worker/2, i, worker/2, i), "")
				if _, err := b.try("POST", "/adaxes/restApi/api/directoryObjects", body, "Adm-Authorization", adaxesToken, "Content-Type", jsonType); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Go(func() {
		for range 20 {
			b.control("POST", "scan", "")
			b.journal("limit=0")
		}
	})
	wait.Wait()
	if made := len(b.journal("committed=true&limit=0")); made != workers/2*each {
		t.Errorf("%d users were made", made)
	}
}
