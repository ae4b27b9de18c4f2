package sandbox_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/sandbox"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		kind, params string
		status       int // 0: the caller gets no answer
		committed    bool
		check        func(*testing.T, answer)
	}{
		{"timeout-before", `{}`, 0, false, nil},
		{"timeout-after", `{"hold":"10ms"}`, 0, true, nil},
		{"reset", `{}`, 0, false, nil},
		{"reset", `{"when":"after"}`, 0, true, nil},
		{"status", `{"status":429,"retryAfter":"7"}`, 429, false, func(t *testing.T, a answer) {
			if a.header.Get("Retry-After") != "7" {
				t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
			}
		}},
		{"status", `{"status":429}`, 429, false, func(t *testing.T, a answer) {
			if a.header.Values("Retry-After") != nil {
				t.Error("there is a Retry-After")
			}
		}},
		{"status", `{"status":503,"when":"after"}`, 503, true, nil},
		{"nonjson", `{}`, 502, false, func(t *testing.T, a answer) { contains(t, a.body, "<html>") }},
		{"nonjson", `{"status":200,"body":"<b>","when":"after"}`, 200, true, nil},
		{"latency", `{"delay":"1ms"}`, 200, true, nil},
	}
	for _, test := range tests {
		t.Run(test.kind+test.params, func(t *testing.T) {
			t.Parallel()
			b := open(t, sandbox.Options{})
			b.control("POST", "faults", fmt.Sprintf(`{"vendor":"adaxes","call":"create-object","match":"john smith","kind":%q,"count":1,"params":%s}`, test.kind, test.params))
			create := func() (answer, error) {
				return b.try("POST", "/adaxes/restApi/api/directoryObjects", sample(t, "adaxes-create-1.json"), "Adm-Authorization", adaxesToken, "Content-Type", jsonType)
			}
			a, err := create()
			if (err != nil) != (test.status == 0) || a.status != test.status {
				t.Fatalf("status %d, error %v", a.status, err)
			}
			if test.check != nil {
				test.check(t, a)
			}
			calls := b.journal("vendor=adaxes&call=create-object")
			if len(calls) != 1 || calls[0]["committed"] != test.committed || calls[0]["fault"] != test.kind || calls[0]["status"] != float64(test.status) {
				t.Errorf("the journal says %v", calls)
			}
			// The fault is used up; the second try shows whether the first took effect.
			again, err := create()
			if err != nil {
				t.Fatal(err)
			}
			if kind, _, _ := b.result(again); (kind == 1) != test.committed {
				t.Errorf("committed %v, but a second create says %s", test.committed, again.body)
			}
		})
	}
}

func TestFaultHoldEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	b.control("POST", "faults", `{"kind":"timeout-before","vendor":"adaxes","params":{"hold":"1h"}}`)
	r, err := http.NewRequest("GET", b.server.URL+"/adaxes/restApi/api/directoryObjects?directoryObject=x", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 50 * time.Millisecond}
	if response, err := client.Do(r); err == nil {
		response.Body.Close()
		t.Error("there is an answer")
	}
}

func TestFaultPartial(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	b.control("POST", "faults", `{"kind":"partial","count":2}`)
	a := b.adaxes("POST", "directoryObjects", sample(t, "adaxes-create-2.json"))
	if kind, dn, _ := b.result(a); kind != 0 || dn == "" || !strings.Contains(a.body, "Failed to assign the license") {
		t.Errorf("%s", a.body)
	}
	h := b.hosted(create("half@alpineskihouse.com", `<planName>BaseMail</planName>`))
	contains(t, h.body, `<errorContext code="0x80004005"`)
	contains(t, b.control("GET", "objects?kind=objects&match=half@", "").body, "CN=half@alpineskihouse.com")
	if got := len(b.journal("vendor=hostedexchange&committed=true")); got != 1 {
		t.Errorf("the journal has %d commits", got)
	}
	if b.getMailbox("half@alpineskihouse.com") != nil {
		t.Error("there is a mailbox")
	}
}

// TestFaultsOfAMailbox: a mailbox may wait for approval too, and be made with a warning.
func TestFaultsOfAMailbox(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	b.control("POST", "faults", `{"kind":"suspend","count":1}`)
	const michael = "CN=Michael Smith,OU=My Organizational Unit,DC=example,DC=com"
	b.adaxes("GET", "directoryObjects?directoryObject="+url.QueryEscape(michael), "") // cannot be held, and leaves the fault alone
	body := fmt.Sprintf(`{"directoryObject":%q,"mailboxParameters":{"alias":"mike"}}`, michael)
	a := b.adaxes("POST", "directoryObjects/exchange/mailbox", body)
	if kind, _, _ := b.result(a); kind != 2 || b.getMailbox("mike@example.com") != nil {
		t.Fatalf("not suspended: %s", a.body)
	}
	contains(t, b.control("GET", "approvals", "").body, `"call":"create-mailbox"`, `"Pending"`)
	b.control("POST", "approvals/all", `{"decision":"approve"}`)
	contains(t, b.control("GET", "objects?kind=mailboxes&match=mike", "").body, "mike@example.com")
	b.control("POST", "reset", "")
	b.control("POST", "faults", `{"vendor":"adaxes","call":"create-mailbox","kind":"partial","count":1}`)
	a = b.adaxes("POST", "directoryObjects/exchange/mailbox", body)
	if kind, _, _ := b.result(a); kind != 0 {
		t.Errorf("not made: %s", a.body)
	}
	contains(t, a.body, `"messageType":1`, `"mailNickname":"mike"`)
}

func TestFaultExpireToken(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	const user = "/adaxes/restApi/api/directoryObjects?directoryObject=CN%3DMichael%20Smith%2COU%3DMy%20Organizational%20Unit%2CDC%3Dexample%2CDC%3Dcom"
	session, _ := b.send("POST", "/adaxes/restApi/api/authSessions/create", `{"username":"svc-mailwright@example.com","password":"adaxes-sandbox-password"}`, "Content-Type", jsonType).object(t)["sessionId"].(string)
	signedIn, _ := b.send("POST", "/adaxes/restApi/api/auth", fmt.Sprintf(`{"sessionId":%q,"type":1}`, session), "Content-Type", jsonType).object(t)["token"].(string)
	exchange, power := b.exchangeToken(), b.powerToken()
	for name, c := range map[string]struct {
		vendor string
		call   func() answer
		after  int // what the same token gets from then on
	}{
		"Exchange Online": {"exchangeonline", func() answer {
			return b.exchange(exchange, mailboxPath, `{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"Identity":"alex"}}}`)
		}, 401},
		"EnPower": {"enpower", func() answer {
			return b.send("GET", "/enpower/smp/exchange/mailboxes", "", "Authorization", "Bearer "+power)
		}, 401},
		"Adaxes":               {"adaxes", func() answer { return b.send("GET", user, "", "Adm-Authorization", signedIn) }, 401},
		"Adaxes account token": {"adaxes", func() answer { return b.send("GET", user, "", "Adm-Authorization", adaxesToken) }, 200},
	} {
		before := c.call()
		b.control("POST", "faults", `{"vendor":"`+c.vendor+`","kind":"expire-token","count":1}`)
		struck, after := c.call(), c.call()
		if before.status != 200 || struck.status != 401 || after.status != c.after {
			t.Errorf("%s: %d, struck %d, then %d: %s", name, before.status, struck.status, after.status, before.body)
		}
	}
}

func TestFaultRules(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	for _, wrong := range []string{
		`{"kind":"explode"}`, `{"kind":"status"}`, `{"kind":"latency"}`, `{"kind":"reset","vendor":"nobody"}`,
		`{"kind":"reset","probability":2}`, `{"kind":"reset","params":{"when":"later"}}`, `{"kind":"reset","colour":"red"}`,
		`{"kind":"suspend","vendor":"hostedexchange"}`, `{"kind":"suspend","vendor":"adaxes","call":"get-object"}`, `{"kind":"partial","vendor":"ldap"}`, `{"kind":"partial","call":"DeleteBusinessUser"}`,
	} {
		if a := b.send("POST", "/control/faults", wrong); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d", wrong, a.status)
		}
	}
	b.control("POST", "faults", `{"kind":"status","probability":0,"params":{"status":500}}`)
	b.control("POST", "faults", `{"kind":"status","match":"someone else","params":{"status":500}}`)
	if kind, _, _ := b.result(b.adaxes("POST", "directoryObjects", sample(t, "adaxes-create-1.json"))); kind != 0 {
		t.Error("a rule that does not fit struck")
	}
	contains(t, b.control("GET", "faults", "").body, `"id":1`, `"id":2`)
	b.control("DELETE", "faults/1", "")
	b.control("DELETE", "faults", "")
	if left := b.control("GET", "faults", "").body; strings.Contains(left, `"id"`) {
		t.Errorf("left: %s", left)
	}
}
