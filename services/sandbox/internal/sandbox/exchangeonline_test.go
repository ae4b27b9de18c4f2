package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/sandbox/internal/sandbox"
)

func TestExchangeDocumentedExamples(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	token := b.exchangeToken()

	first := b.exchange(token, mailboxPath, sample(t, "exchangeonline-1.json"))
	page := first.object(t)
	if rows := page["value"].([]any); len(rows) != 10 {
		t.Errorf("ResultSize 10 gives %d", len(rows))
	}
	if page["@odata.nextLink"] == nil || len(page["@adminapi.warnings"].([]any)) == 0 {
		t.Errorf("a cut list has no nextLink or no warning: %s", first.body)
	}

	second := b.exchange(token, mailboxPath, sample(t, "exchangeonline-2.json"))
	row := second.object(t)["value"].([]any)[0].(map[string]any)
	for _, core := range strings.Fields("Identity Id Name DisplayName UserPrincipalName Alias ExternalDirectoryObjectId RecipientType RecipientTypeDetails EmailAddresses PrimarySmtpAddress MaxSendSize GrantSendOnBehalfTo GrantSendOnBehalfToWithDisplayNames") {
		if row[core] == nil {
			t.Errorf("the core property %s is missing", core)
		}
	}
	contains(t, second.body, `{"DisplayName":"Delegate 1","PrimarySmtpAddress":"delegate1@contoso.com"}`, `"SMTP:alex@contoso.com","smtp:alex.wilber@contoso.com"`)

	if a := b.exchange(token, mailboxPath, sample(t, "exchangeonline-3.json")); a.status != http.StatusOK || a.body != "" {
		t.Errorf("Example 3: %d %q", a.status, a.body)
	}
	if got := b.delegates("alex@contoso.com"); got != "[delegate1@contoso.com delegate2@contoso.com]" {
		t.Errorf("after Example 3: %s", got)
	}
	if a := b.exchange(token, mailboxPath, sample(t, "exchangeonline-4.json")); a.status != http.StatusOK || a.body != "" {
		t.Errorf("Example 4: %d %q", a.status, a.body)
	}
	if got := b.delegates("alex@contoso.com"); got != "[delegate1@contoso.com delegate2@contoso.com delegate3@contoso.com delegate4@contoso.com]" {
		t.Errorf("after Example 4: %s", got)
	}
}

func TestExchangePaging(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	token := b.exchangeToken()
	body := sample(t, "exchangeonline-1.json")
	seen := map[string]bool{}
	var links []string
	for link := mailboxPath + "?$select=Alias,PrimarySmtpAddress"; link != ""; {
		page := b.exchange(token, link, body).object(t)
		for _, row := range page["value"].([]any) {
			if len(row.(map[string]any)) != 2 {
				t.Fatalf("$select lets through %v", row)
			}
			seen[row.(map[string]any)["PrimarySmtpAddress"].(string)] = true
		}
		link, _ = page["@odata.nextLink"].(string)
		links = append(links, link)
	}
	if len(seen) != 32 || len(links) != 4 {
		t.Errorf("%d mailboxes in %d pages", len(seen), len(links))
	}
	if a := b.exchange(token, links[0], strings.Replace(body, "10", "11", 1)); a.status != http.StatusBadRequest {
		t.Errorf("nextLink with another body: %d", a.status)
	}
	if a := b.exchange(token, mailboxPath, strings.Replace(body, "10", `"Unlimited"`, 1)); strings.Contains(a.body, "nextLink") {
		t.Error("Unlimited is cut")
	}
	b.control("POST", "clock", `{"advance":"31m"}`)
	if a := b.exchange(b.exchangeToken(), links[0], body); a.status != http.StatusBadRequest || !strings.Contains(a.body, "Expired or Invalid pagination request") {
		t.Errorf("an old nextLink: %d %s", a.status, a.body)
	}
}

func TestExchangeStrictness(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	token := b.exchangeToken()
	get := sample(t, "exchangeonline-2.json")
	input := func(cmdlet, parameters string) string {
		return fmt.Sprintf(`{"CmdletInput":{"CmdletName":%q,"Parameters":%s}}`, cmdlet, parameters)
	}
	set := func(value string) string {
		return input("Set-Mailbox", `{"Identity":"alex@contoso.com","GrantSendOnBehalfTo":`+value+`}`)
	}
	table := func(rest string) string { return set(`{` + rest + `,"@odata.type":"#Exchange.GenericHashTable"}`) }
	graph := b.token("/entra/"+tenantID+"/oauth2/v2.0/token", entraClient, entraSecret, "https://graph.microsoft.com/.default")
	scope := "https://outlook.office365.com/.default"
	noRole := b.token("/entra/"+tenantID+"/oauth2/v2.0/token", "a1b2c3d4-0002-4000-8000-000000000002", "entra-norole-secret", scope)
	tests := []struct {
		name, method, path, body string
		header                   []string
		status                   int
		kind                     string // .NET type
	}{
		{"GET", "GET", mailboxPath, "", nil, 405, ""},
		{"unknown endpoint", "POST", strings.Replace(mailboxPath, "Mailbox", "Mailboxes", 1), get, nil, 404, ""},
		{"no token", "POST", mailboxPath, get, []string{"Authorization", ""}, 401, ""},
		{"token for another resource", "POST", mailboxPath, get, []string{"Authorization", "Bearer " + graph}, 401, ""},
		{"token without the permission", "POST", mailboxPath, get, []string{"Authorization", "Bearer " + noRole}, 401, ""},
		{"another tenant", "POST", strings.Replace(mailboxPath, "3f2c", "4f2c", 1), get, nil, 401, ""},
		{"wrong content type", "POST", mailboxPath, get, []string{"Content-Type", "text/json"}, 415, ""},
		{"no anchor", "POST", mailboxPath, get, []string{"X-AnchorMailbox", ""}, 400, ""},
		{"anchor of no known form", "POST", mailboxPath, get, []string{"X-AnchorMailbox", "alex"}, 400, ""},
		{"no envelope", "POST", mailboxPath, `{"CmdletName":"Get-Mailbox"}`, nil, 400, "ODataException"},
		{"more than the envelope", "POST", mailboxPath, strings.Replace(get, `{`, `{"x":1,`, 1), nil, 400, "ODataException"},
		{"null parameters", "POST", mailboxPath, input("Get-Mailbox", "null"), nil, 400, "ODataException"},
		{"another endpoint's cmdlet", "POST", mailboxPath, input("Get-AcceptedDomain", "{}"), nil, 400, "ODataServiceException"},
		{"unknown parameter", "POST", mailboxPath, input("Get-Mailbox", `{"Filter":"x"}`), nil, 400, "AmbiguousParameterSetException"},
		{"Set-Mailbox parameter that is not exposed", "POST", mailboxPath, strings.Replace(set(`["delegate1@contoso.com"]`), `"Identity"`, `"Alias":"x","Identity"`, 1), nil, 400, "AmbiguousParameterSetException"},
		{"ResultSize as text", "POST", mailboxPath, input("Get-Mailbox", `{"ResultSize":"10"}`), nil, 400, "ParameterTransformationException"},
		{"ResultSize 0", "POST", mailboxPath, input("Get-Mailbox", `{"ResultSize":0}`), nil, 400, "ParameterTransformationException"},
		{"a flag as text", "POST", mailboxPath, input("Get-Mailbox", `{"IncludeGrantSendOnBehalfToWithDisplayNames":"true"}`), nil, 400, "ParameterTransformationException"},
		{"Set-Mailbox without identity", "POST", mailboxPath, input("Set-Mailbox", `{"GrantSendOnBehalfTo":[]}`), nil, 400, "ParameterBindingException"},
		{"Set-Mailbox without the list", "POST", mailboxPath, input("Set-Mailbox", `{"Identity":"alex@contoso.com"}`), nil, 400, "ParameterBindingException"},
		{"the list as one text", "POST", mailboxPath, set(`"delegate1@contoso.com"`), nil, 400, "ParameterTransformationException"},
		{"null for the list", "POST", mailboxPath, set(`null`), nil, 400, "ParameterTransformationException"},
		{"a hash table without its type", "POST", mailboxPath, set(`{"add":["delegate1@contoso.com"]}`), nil, 400, "ParameterTransformationException"},
		{"a hash table with another key", "POST", mailboxPath, table(`"set":["delegate1@contoso.com"]`), nil, 400, "ParameterTransformationException"},
		{"an empty hash table", "POST", mailboxPath, set(`{"@odata.type":"#Exchange.GenericHashTable"}`), nil, 400, "ParameterTransformationException"},
		{"an unknown delegate among known ones", "POST", mailboxPath, table(`"add":["delegate3@contoso.com","nobody@contoso.com"]`), nil, 400, "RecipientNotFoundException"},
		{"an unknown mailbox", "POST", mailboxPath, input("Get-Mailbox", `{"Identity":"nobody@contoso.com"}`), nil, 404, "ManagementObjectNotFoundException"},
		{"$select of an unknown property", "POST", mailboxPath + "?$select=Nonsense", get, nil, 400, "ODataException"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			header := append([]string{"Authorization", "Bearer " + token, "Content-Type", jsonType, "X-AnchorMailbox", "AAD-UPN:alex@contoso.com"}, test.header...)
			a := b.send(test.method, test.path, test.body, header...)
			var problem struct {
				Error struct {
					Code, Message string
					Innererror    struct {
						Internalexception struct{ Type, Message string }
					}
				}
			}
			if err := json.Unmarshal([]byte(a.body), &problem); err != nil || a.status != test.status || problem.Error.Code == "" {
				t.Fatalf("status %d, not %d: %s", a.status, test.status, a.body)
			}
			if !strings.HasSuffix(problem.Error.Innererror.Internalexception.Type, test.kind) {
				t.Errorf("the exception is not %s: %s", test.kind, a.body)
			}
		})
	}
	if got := b.delegates("alex@contoso.com"); got != "[delegate1@contoso.com admin@contoso.com]" {
		t.Errorf("a refused call changed the delegates: %s", got)
	}
}

func TestExchangeNoRoleAssignedIsNotJSON(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	token := b.token("/entra/"+tenantID+"/oauth2/v2.0/token", "a1b2c3d4-0003-4000-8000-000000000003", "entra-norbac-secret", "https://outlook.office365.com/.default")
	a := b.exchange(token, mailboxPath, sample(t, "exchangeonline-1.json"))
	if a.status != http.StatusForbidden || strings.Trim(a.body, "\x00") != "" || a.body == "" {
		t.Errorf("status %d: %q", a.status, a.body)
	}
}

func TestExchangeIdentities(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	alex := b.getMailbox("alex@contoso.com")
	for _, identity := range []string{"Alex Wilber", "ALEX", "alex.wilber@contoso.com", alex["Guid"].(string), alex["ExternalDirectoryObjectId"].(string), alex["DistinguishedName"].(string)} {
		if found := b.getMailbox(identity); found == nil || found["Guid"] != alex["Guid"] {
			t.Errorf("%s does not find the mailbox", identity)
		}
	}
	b.hosted(sample(t, "hostedexchange-1.xml"))
	a := b.exchange(b.exchangeToken(), mailboxPath, `{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"Identity":"admin"}}}`)
	if a.status != http.StatusBadRequest || !strings.Contains(a.body, "ManagementObjectAmbiguousException") {
		t.Errorf("two mailboxes with the alias admin: %d %s", a.status, a.body)
	}
}

func TestExchangeDelegateAlgebra(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	token := b.exchangeToken()
	change := func(value string) {
		t.Helper()
		a := b.exchange(token, mailboxPath, `{"CmdletInput":{"CmdletName":"Set-Mailbox","Parameters":{"Identity":"alex","GrantSendOnBehalfTo":`+value+`}}}`)
		if a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	steps := []struct{ value, want string }{
		{`{"add":["delegate1@contoso.com"],"remove":["delegate3@contoso.com"],"@odata.type":"#Exchange.GenericHashTable"}`, "[delegate1@contoso.com admin@contoso.com]"},
		{`{"@odata.type":"#Exchange.GenericHashTable","remove":["delegate1@contoso.com"],"add":["management@contoso.com"]}`, "[admin@contoso.com management@contoso.com]"},
		{`["delegate2@contoso.com","delegate2@contoso.com"]`, "[delegate2@contoso.com]"},
		{`[]`, "[]"},
	}
	for _, step := range steps {
		change(step.value)
		if got := b.delegates("alex"); got != step.want {
			t.Errorf("after %s: %s", step.value, got)
		}
	}
	b.set("exchangeonline.read-lag", "1m")
	change(`["delegate4@contoso.com"]`)
	if got := b.delegates("alex"); got != "[]" {
		t.Errorf("a change shows at once: %s", got)
	}
	b.control("POST", "clock", `{"advance":"61s"}`)
	if got := b.delegates("alex"); got != "[delegate4@contoso.com]" {
		t.Errorf("a change does not show after the lag: %s", got)
	}
}

func TestExchangeSiblings(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	token := b.exchangeToken()
	ask := func(endpoint, cmdlet, parameters string) string {
		t.Helper()
		a := b.exchange(token, strings.Replace(mailboxPath, "Mailbox", endpoint, 1), fmt.Sprintf(`{"CmdletInput":{"CmdletName":%q,"Parameters":%s}}`, cmdlet, parameters))
		if a.status != http.StatusOK {
			t.Fatalf("%s: %d %s", cmdlet, a.status, a.body)
		}
		return a.body
	}
	contains(t, ask("AcceptedDomain", "Get-AcceptedDomain", "{}"), `"DomainName":"contoso.com"`)
	contains(t, ask("OrganizationConfig", "Get-OrganizationConfig", "{}"), `"MailTipsAllTipsEnabled":true`)
	contains(t, ask("DistributionGroupMember", "Get-DistributionGroupMember", `{"Identity":"Management"}`), "megan.bowen@contoso.com")
	contains(t, ask("DynamicDistributionGroupMember", "Get-DynamicDistributionGroupMember", `{"Identity":"everyone@contoso.com"}`), "diego.siciliani@contoso.com")
	const calendar = `{"Identity":"alex@contoso.com:\\Calendar","User":"delegate1@contoso.com"`
	ask("MailboxFolderPermission", "Add-MailboxFolderPermission", calendar+`,"AccessRights":"Editor"}`)
	contains(t, ask("MailboxFolderPermission", "Get-MailboxFolderPermission", `{"Identity":"alex@contoso.com:\\Calendar"}`), `["Editor"]`, "Delegate 1")
	ask("MailboxFolderPermission", "Remove-MailboxFolderPermission", calendar+`}`)
}
