package sandbox_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/sandbox/internal/sandbox"
)

// FuzzRequests sends bodies to every call that reads one: each is answered, and a refusal changes
// nothing.
func FuzzRequests(f *testing.F) {
	s, err := sandbox.Open(sandbox.Options{})
	if err != nil {
		f.Fatal(err)
	}
	handler := s.Handler()
	b := &env{t: &testing.T{}, sandbox: s}
	server := httptest.NewServer(handler)
	f.Cleanup(server.Close)
	b.server = server
	exchange := "Bearer " + b.exchangeToken()
	type call struct{ method, path, header, value, kind string }
	calls := []call{
		{"POST", "/adaxes/restApi/api/directoryObjects", "Adm-Authorization", adaxesToken, jsonType},
		{"POST", "/adaxes/restApi/api/directoryObjects/exchange/mailbox", "Adm-Authorization", adaxesToken, jsonType},
		{"POST", "/adaxes/restApi/api/directoryObjects/search", "Adm-Authorization", adaxesToken, jsonType},
		{"PATCH", "/adaxes/restApi/api/directoryObjects", "Adm-Authorization", adaxesToken, jsonType},
		{"POST", mailboxPath, "Authorization", exchange, jsonType},
		{"POST", strings.Replace(mailboxPath, "Mailbox", "MailboxFolderPermission", 1), "Authorization", exchange, jsonType},
		{"POST", "/hosted/mpf/request", "Authorization", basic(hostedUser, hostedSecret), "text/xml"},
		{"POST", "/hosted/mpf/soapisapi.dll", "Authorization", basic(hostedUser, hostedSecret), "text/xml"},
		{"POST", "/control/faults", "", "", jsonType},
		{"PUT", "/control/switches", "", "", jsonType},
		{"POST", "/control/seed", "", "", "text/plain"},
	}
	for i, body := range []string{
		`{"createIn":"` + myUnit + `","objectType":"user","properties":[{"propertyName":"cn","propertyType":2,"values":["x"]}]}`,
		`{"directoryObject":"CN=x","mailboxParameters":{"aliasTemplate":"%a:lower,3,#%"}}`,
		`{"criteria":{"objectTypes":[{"type":"","items":{"type":1,"items":[{"type":0,"property":"cn","operator":"eq","values":[{"type":2,"value":"x"}]}],"logicalOperator":2}}]}}`,
		`{"directoryObject":"CN=x","properties":[{"propertyName":"description","propertyType":"String","values":[],"operation":1}]}`,
		`{"CmdletInput":{"CmdletName":"Set-Mailbox","Parameters":{"Identity":"alex","GrantSendOnBehalfTo":{"@odata.type":"#Exchange.GenericHashTable","add":"x"}}}}`,
		`{"CmdletInput":{"CmdletName":"Add-MailboxFolderPermission","Parameters":{"Identity":"alex:\\Calendar","User":"delegate1","AccessRights":["Editor"]}}}`,
		create("a@alpineskihouse.com", "<planName>BaseMail</planName>"), "<a/>", `{"kind":"latency","params":{"delay":"1ms"},"count":1}`, `{"adaxes.read-lag":"1s"}`, "domains: []",
	} {
		f.Add(i, []byte(body))
	}
	f.Fuzz(func(t *testing.T, i int, body []byte) {
		if i < 0 || i >= len(calls) || i >= 8 && strings.Contains(string(body), "delay") {
			t.Skip()
		}
		c := calls[i]
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(string(body)))
		r.Header.Set("Content-Type", c.kind)
		r.Header.Set("X-AnchorMailbox", "AAD-UPN:alex@contoso.com")
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code < 200 || w.Code > 599 || w.Code == http.StatusNotImplemented {
			t.Fatalf("%s %s: status %d", c.method, c.path, w.Code)
		}
	})
}
