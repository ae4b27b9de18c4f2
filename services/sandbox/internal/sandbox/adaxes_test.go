package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/sandbox/internal/sandbox"
)

// user is a create of a user in My Organizational Unit with string properties, and more fields.
func user(properties string, more string) string {
	var items []string
	for pair := range strings.SplitSeq(properties, ";") {
		name, value, _ := strings.Cut(pair, "=")
		items = append(items, fmt.Sprintf(`{"propertyName":%q,"propertyType":"String","values":[%q]}`, name, value))
	}
	return fmt.Sprintf(`{"createIn":%q,"objectType":"user","properties":[%s]%s}`, myUnit, strings.Join(items, ","), more)
}

func TestAdaxesDocumentedExamples(t *testing.T) {
	t.Parallel()
	const john = "CN=John Smith," + myUnit
	tests := []struct {
		name, first, body string
		want              string // the page's response; a pattern where it shows something random
	}{
		{"1 a user", "", "adaxes-create-1.json", regexp.QuoteMeta(`{"resultType":0,"innerMessages":[],"exception":null,"actualObjectDN":"` + john + `","extraInfo":{}}`)},
		{"2 with licences", "", "adaxes-create-2.json", `\{"resultType":0,"innerMessages":\[\{"source":null,"text":"A temporary password has been assigned to the user's Microsoft 365 account. The temporary password is .{8}\.","messageType":2,"innerMessages":\[\]\}\],"exception":null,"actualObjectDN":"` + john + `","extraInfo":\{\}\}`},
		{"3 an on-premises group", "adaxes-create-1.json", "adaxes-create-3.json", regexp.QuoteMeta(`{"resultType":0,"innerMessages":[],"exception":null,"actualObjectDN":"CN=New Group,` + myUnit + `","extraInfo":{}}`)},
		{"4 an Azure AD group", "", "adaxes-create-4.json", `\{"resultType":0,"innerMessages":\[\],"exception":null,"actualObjectDN":"CN=New Group\\\\0AUID:[0-9a-f]{32},OU=Groups,DC=example,DC=onmicrosoft,DC=com","extraInfo":\{\}\}`},
		{"5 an organizational unit", "", "adaxes-create-5.json", regexp.QuoteMeta(`{"resultType":0,"innerMessages":[],"exception":null,"actualObjectDN":"OU=New Organizational Unit,` + myUnit + `","extraInfo":{}}`)},
		{"6 a computer", "", "adaxes-create-6.json", regexp.QuoteMeta(`{"resultType":0,"innerMessages":[],"exception":null,"actualObjectDN":"CN=NEWCOMPUTER,` + myUnit + `","extraInfo":{}}`)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := open(t, sandbox.Options{})
			if test.first != "" {
				b.adaxes("POST", "directoryObjects", sample(t, test.first))
			}
			a := b.adaxes("POST", "directoryObjects", sample(t, test.body))
			if a.status != http.StatusOK || !regexp.MustCompile("^"+test.want+"\n$").MatchString(a.body) {
				t.Errorf("status %d: %s", a.status, a.body)
			}
		})
	}
}

func TestAdaxesMailboxExamples(t *testing.T) {
	t.Parallel()
	for body, alias := range map[string]string{"adaxes-mailbox-1.json": "jsmith", "adaxes-mailbox-2.json": "john.smith"} {
		t.Run(alias, func(t *testing.T) {
			t.Parallel()
			b := open(t, sandbox.Options{})
			b.adaxes("POST", "directoryObjects", strings.Replace(sample(t, "adaxes-create-1.json"), myUnit, "CN=Users,DC=example,DC=com", 1))
			a := b.adaxes("POST", "directoryObjects/exchange/mailbox", sample(t, body))
			want := `{"resultType":0,"innerMessages":[],"exception":null,"actualObjectDN":"CN=John Smith,CN=Users,DC=example,DC=com",` +
				`"extraInfo":{"mailNickname":"` + alias + `","mail":"` + alias + `@example.com","homeMDB":"Mailbox Database 3"}}` + "\n"
			if a.status != http.StatusOK || a.body != want {
				t.Errorf("status %d: %s", a.status, a.body)
			}
			if got := b.getMailbox(alias + "@example.com")["Alias"]; got != alias {
				t.Errorf("Get-Mailbox shows alias %v", got)
			}
			again := b.adaxes("POST", "directoryObjects/exchange/mailbox", sample(t, body))
			if kind, _, text := b.result(again); kind != 1 || !strings.Contains(text, "already has a mailbox") {
				t.Errorf("a second mailbox: %s", again.body)
			}
		})
	}
}

func TestAdaxesStrictness(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	valid := user("cn=Never Made", "")
	typed := func(kind, values string) string {
		return fmt.Sprintf(`{"createIn":%q,"objectType":"user","properties":[{"propertyName":"cn","propertyType":%s,"values":%s}]}`, myUnit, kind, values)
	}
	tests := []struct {
		name, method, path, body string
		header                   []string
		status                   int
		fault                    string // a field that modelState names
	}{
		{"no token", "POST", "directoryObjects", valid, []string{"Adm-Authorization", ""}, 401, ""},
		{"wrong token", "POST", "directoryObjects", valid, []string{"Adm-Authorization", "nonsense"}, 401, ""},
		{"expired token", "POST", "directoryObjects", valid, []string{"Adm-Authorization", "adaxes-expired-token"}, 401, ""},
		{"token in the wrong header", "POST", "directoryObjects", valid, []string{"Adm-Authorization", "", "Authorization", "Bearer " + adaxesToken}, 401, ""},
		{"wrong verb", "PUT", "directoryObjects", valid, nil, 405, ""},
		{"wrong verb of mailbox", "GET", "directoryObjects/exchange/mailbox", "", nil, 405, ""},
		{"unknown path", "POST", "directoryObject", valid, nil, 404, ""},
		{"wrong content type", "POST", "directoryObjects", valid, []string{"Content-Type", "text/plain"}, 415, ""},
		{"not JSON", "POST", "directoryObjects", `{'createIn':1}`, nil, 400, ""},
		{"trailing text", "POST", "directoryObjects", valid + "{}", nil, 400, ""},
		{"unknown field", "POST", "directoryObjects", user("cn=X", `,"owner":"me"`), nil, 400, "owner"},
		{"no container", "POST", "directoryObjects", `{"objectType":"user","properties":[]}`, nil, 400, "createIn"},
		{"no properties", "POST", "directoryObjects", `{"createIn":"OU=x","objectType":"user"}`, nil, 400, "properties"},
		{"unknown type of object", "POST", "directoryObjects", strings.Replace(valid, `"user"`, `"robot"`, 1), nil, 400, "objectType"},
		{"unknown type of property", "POST", "directoryObjects", typed(`"Text"`, `["x"]`), nil, 400, "properties[0].propertyType"},
		{"values not an array", "POST", "directoryObjects", typed(`"String"`, `"x"`), nil, 400, "properties[0].values"},
		{"number for a string", "POST", "directoryObjects", typed(`"String"`, `[1]`), nil, 400, "properties[0].values[0]"},
		{"string for an integer", "POST", "directoryObjects", typed(`"Integer"`, `["1"]`), nil, 400, "properties[0].values[0]"},
		{"integer beyond 32 bits", "POST", "directoryObjects", typed(`"Integer"`, `[2147483648]`), nil, 400, "properties[0].values[0]"},
		{"string for a boolean", "POST", "directoryObjects", typed(`"Boolean"`, `["true"]`), nil, 400, "properties[0].values[0]"},
		{"time without offset", "POST", "directoryObjects", typed(`"Timestamp"`, `["2020-12-15T18:00:00"]`), nil, 400, "properties[0].values[0]"},
		{"binary that is not Base64", "POST", "directoryObjects", typed(`"Binary"`, `["*"]`), nil, 400, "properties[0].values[0]"},
		{"o365 on a group", "POST", "directoryObjects", strings.Replace(user("cn=X", `,"o365":{"locationName":"US"}`), `"user"`, `"group"`, 1), nil, 400, "o365"},
		{"o365 without location", "POST", "directoryObjects", user("cn=X", `,"o365":{}`), nil, 400, "o365.locationName"},
		{"computer flag on a user", "POST", "directoryObjects", user("cn=X", `,"isPreWindows2000Computer":true`), nil, 400, "isPreWindows2000Computer"},
		{"mailbox without parameters", "POST", "directoryObjects/exchange/mailbox", `{"directoryObject":"CN=x,DC=y"}`, nil, 400, "mailboxParameters"},
		{"mailbox without alias", "POST", "directoryObjects/exchange/mailbox", `{"directoryObject":"CN=x,DC=y","mailboxParameters":{}}`, nil, 400, "mailboxParameters.alias"},
		{"get without identifier", "GET", "directoryObjects", "", nil, 400, "directoryObject"},
		{"get of nothing", "GET", "directoryObjects?directoryObject=CN=No,DC=example,DC=com", "", nil, 404, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			header := append([]string{"Adm-Authorization", adaxesToken, "Content-Type", jsonType}, test.header...)
			a := b.send(test.method, "/adaxes/restApi/api/"+test.path, test.body, header...)
			var problem struct {
				Message, Code string
				ModelState    map[string][]string
			}
			if err := json.Unmarshal([]byte(a.body), &problem); err != nil || a.status != test.status || problem.Message == "" || problem.Code == "" {
				t.Fatalf("status %d, not %d: %s", a.status, test.status, a.body)
			}
			if test.fault != "" && len(problem.ModelState[test.fault]) == 0 {
				t.Errorf("modelState does not name %s: %s", test.fault, a.body)
			}
			if test.status != 400 && problem.ModelState != nil {
				t.Errorf("modelState on %d", a.status)
			}
		})
	}
	if made := b.journal("committed=true"); len(made) != 0 {
		t.Errorf("something was committed: %v", made)
	}
}

func TestAdaxesRefusals(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	b.result(b.adaxes("POST", "directoryObjects", user("cn=Ann Lee;givenName=Ann;sn=Lee;userPrincipalName=alee", "")))
	tests := []struct{ name, body, want string }{
		{"same name, other case", user("cn=ANN LEE;sAMAccountName=other;userPrincipalName=other", ""), "already exists"},
		{"same sAMAccountName", user("cn=Other;sAMAccountName=ALEE;userPrincipalName=other", ""), "sAMAccountName"},
		{"same userPrincipalName", user("cn=Other;sAMAccountName=other;userPrincipalName=alee@EXAMPLE.com", ""), "userPrincipalName"},
		{"no such container", strings.Replace(user("cn=Other", ""), "My Organizational", "No", 1), "container"},
		{"property the schema lacks", user("cn=Other;favouriteColour=red", ""), "favouriteColour"},
		{"nothing to make a name of", user("description=x", ""), "required"},
		{"manager who is not there", strings.Replace(user("cn=Other;sAMAccountName=other;manager=CN=No,DC=example,DC=com", ""), `"manager","propertyType":"String"`, `"manager","propertyType":"DN"`, 1), "does not exist"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := b.adaxes("POST", "directoryObjects", test.body)
			if kind, dn, text := b.result(a); kind != 1 || dn != "" || !strings.Contains(text, test.want) {
				t.Errorf("%s", a.body)
			}
		})
	}
	b.set("adaxes.refusals", "http")
	if a := b.adaxes("POST", "directoryObjects", tests[0].body); a.status != http.StatusConflict {
		t.Errorf("status %d: %s", a.status, a.body)
	}
}

func TestAdaxesPasswordPolicy(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	a := b.adaxes("POST", "directoryObjects", strings.Replace(sample(t, "adaxes-create-1.json"), "MyPassword1!", "short", 1))
	kind, dn, _ := b.result(a)
	if kind != 0 || dn == "" || strings.Count(a.body, `"messageType":1`) != 2 {
		t.Fatalf("not a success with two warnings: %s", a.body)
	}
	shown := b.adaxes("GET", "directoryObjects?directoryObject=CN=John%20Smith,OU=My%20Organizational%20Unit,DC=example,DC=com&properties=userAccountControl,accountExpires,unicodePwd", "")
	contains(t, shown.body, `"isDisabled":true`, `"userAccountControl":[514]`, `"accountExpires":["2020-12-15T15:00:00.0000000Z"]`)
	if strings.Contains(shown.body, "short") || strings.Contains(a.body, "short") {
		t.Error("the password comes back")
	}
}

func TestAdaxesLegacySignIn(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	const base = "/adaxes/restApi/api/"
	session := b.send("POST", base+"authSessions/create", `{"username":"EXAMPLE\\svc-mailwright","password":"adaxes-sandbox-password"}`, "Content-Type", jsonType)
	id, _ := session.object(t)["sessionId"].(string)
	created := b.send("POST", base+"auth", fmt.Sprintf(`{"sessionId":%q,"type":1}`, id), "Content-Type", jsonType)
	token, _ := created.object(t)["token"].(string)
	if id == "" || token == "" {
		t.Fatalf("%s %s", session.body, created.body)
	}
	get := func() int {
		return b.send("GET", base+"directoryObjects?directoryObject="+strings.ReplaceAll(myUnit, " ", "%20"), "", "Adm-Authorization", token).status
	}
	if got := get(); got != http.StatusOK {
		t.Errorf("with a token: %d", got)
	}
	b.control("POST", "clock", `{"advance":"31m"}`)
	if got := get(); got != http.StatusUnauthorized {
		t.Errorf("with an expired token: %d", got)
	}
	for range 5 {
		wrong := b.send("POST", base+"authSessions/create", `{"username":"svc-mailwright@example.com","password":"no"}`, "Content-Type", jsonType)
		if wrong.status != http.StatusForbidden || !strings.Contains(wrong.body, "invalidCredentials") {
			t.Fatalf("a bad login: %d %s", wrong.status, wrong.body)
		}
	}
	locked := b.send("POST", base+"authSessions/create", `{"username":"svc-mailwright@example.com","password":"adaxes-sandbox-password"}`, "Content-Type", jsonType)
	contains(t, locked.body, "accountLockedOut")
}

func TestAdaxesSearchUpdateDelete(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	b.result(b.adaxes("POST", "directoryObjects", user("cn=Ann Lee;userPrincipalName=alee;employeeID=E-7", "")))
	find := func() string {
		return b.adaxes("POST", "directoryObjects/search", `{"baseObject":"DC=example,DC=com","criteria":{"objectTypes":[{"type":"user","items":{"type":"Compound","logicalOperator":"AND","items":[
			{"type":"Simple","property":"employeeID","operator":"eq","values":[{"type":2,"value":"e-7"}]}]}}]},"select":{"properties":"title,employeeID"}}`).body
	}
	contains(t, find(), `"objects":[{`, `"employeeID":["E-7"]`)
	dn := "CN=Ann Lee," + myUnit
	update := `{"directoryObject":"` + dn + `","properties":[{"propertyName":"title","propertyType":"String","values":["Clerk"]}]}`
	if kind, _, _ := b.result(b.adaxes("PATCH", "directoryObjects", update)); kind != 0 {
		t.Error("update failed")
	}
	contains(t, find(), `"title":["Clerk"]`)
	gone := "directoryObjects?directoryObject=" + strings.ReplaceAll(dn, " ", "%20")
	if kind, _, _ := b.result(b.adaxes("DELETE", gone, "")); kind != 0 {
		t.Error("delete failed")
	}
	if kind, _, _ := b.result(b.adaxes("DELETE", gone, "")); kind != 1 {
		t.Error("a second delete succeeds")
	}
	b.adaxes("POST", "directoryObjects", sample(t, "adaxes-create-5.json"))
	kept := b.adaxes("DELETE", "directoryObjects?directoryObject=OU=New%20Organizational%20Unit,"+strings.ReplaceAll(myUnit, " ", "%20"), "")
	if kind, _, text := b.result(kept); kind != 1 || !strings.Contains(text, "protected") {
		t.Errorf("a protected object: %s", kept.body)
	}
}

func TestAdaxesApproval(t *testing.T) {
	t.Parallel()
	b := open(t, sandbox.Options{})
	b.control("POST", "faults", `{"vendor":"adaxes","call":"create-object","match":"John Smith","kind":"suspend","count":1}`)
	a := b.adaxes("POST", "directoryObjects", sample(t, "adaxes-create-1.json"))
	if kind, _, _ := b.result(a); kind != 2 {
		t.Fatalf("not suspended: %s", a.body)
	}
	contains(t, a.body, `"text":"Request submitted for approval.","messageType":4`)
	get := "directoryObjects?directoryObject=CN=John%20Smith," + strings.ReplaceAll(myUnit, " ", "%20")
	if got := b.adaxes("GET", get, "").status; got != http.StatusNotFound {
		t.Errorf("made before the approval: %d", got)
	}
	pending := b.control("GET", "approvals", "").body
	if strings.Contains(pending, "MyPassword1!") {
		t.Error("the approval keeps the password")
	}
	b.control("POST", "approvals/all", `{"decision":"approve"}`)
	if got := b.adaxes("GET", get, "").status; got != http.StatusOK {
		t.Errorf("not made by the approval: %d", got)
	}
}
