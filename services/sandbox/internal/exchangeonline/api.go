// Package exchangeonline simulates the Exchange Online Admin API, v2.0: the Mailbox endpoint
// whole, and its read-mostly siblings. Source: the page "Mailbox endpoint in the Exchange Online
// Admin API", and the notes on authentication, errors and paging.
package exchangeonline

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/identity"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// role is the application permission that app-only callers need (Get started, API permissions).
const role = "Exchange.ManageAsAppV2"

// API is the service. Paths are /adminapi/v2.0/<TenantID>/<Endpoint>.
type API struct {
	world     *state.World
	endpoints map[string]map[string]cmdlet // by endpoint, then cmdlet
}

// New makes the service.
func New(w *state.World) *API {
	a := &API{world: w}
	a.endpoints = map[string]map[string]cmdlet{
		"Mailbox": {"Get-Mailbox": a.getMailbox, "Set-Mailbox": a.setMailbox},
		"MailboxFolderPermission": {
			"Get-MailboxFolderPermission": a.getFolderPermission, "Add-MailboxFolderPermission": a.changeFolderPermission("add"),
			"Set-MailboxFolderPermission": a.changeFolderPermission("set"), "Remove-MailboxFolderPermission": a.changeFolderPermission("remove"),
		},
		"AcceptedDomain":                 {"Get-AcceptedDomain": a.getAcceptedDomain},
		"OrganizationConfig":             {"Get-OrganizationConfig": a.getOrganizationConfig},
		"DistributionGroupMember":        {"Get-DistributionGroupMember": a.getGroupMember(false)},
		"DynamicDistributionGroupMember": {"Get-DynamicDistributionGroupMember": a.getGroupMember(true)},
	}
	return a
}

// Vendor implements [call.API].
func (a *API) Vendor() string { return "exchangeonline" }

// request is one cmdlet call, read and checked as far as all cmdlets are alike.
type request struct {
	http       *http.Request
	body       []byte
	parameters parameters
	selected   []string // of $select
	anchor     string
	run        call.Run
}

// cmdlet runs one cmdlet.
type cmdlet func(*request) call.Answer

// Open implements [call.API].
func (a *API) Open(r *http.Request, body []byte) call.Operation {
	tenant, endpoint, ok := splitPath(r.URL.Path)
	cmdlets := a.endpoints[endpoint]
	if !ok || cmdlets == nil {
		return call.Refuse("unknown", r.URL.Path, fail(http.StatusNotFound, "NotFound", "Resource not found.", "", "No endpoint has this name."))
	}
	if r.Method != http.MethodPost {
		refused := fail(http.StatusMethodNotAllowed, "MethodNotAllowed", "Method not allowed.", "", "Every operation is a POST.")
		refused.Header.Set("Allow", http.MethodPost)
		return call.Refuse("unknown", r.URL.Path, refused)
	}
	name, params, wrong := a.readInput(body)
	q := &request{http: r, body: body, parameters: params, anchor: r.Header.Get("X-AnchorMailbox")}
	if selected := r.URL.Query().Get("$select"); selected != "" {
		q.selected = strings.Split(selected, ",")
	}
	return call.Operation{Name: orUnknown(name), Target: params.peek("Identity"), Detail: string(params["grantsendonbehalfto"].raw), Run: func(run call.Run) call.Answer {
		if denied := a.authorize(r, tenant); denied != nil {
			return *denied
		}
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
			return fail(http.StatusUnsupportedMediaType, "UnsupportedMediaType", "Unsupported media type.", "", "Content-Type must be application/json.")
		}
		if wrong != nil {
			return *wrong
		}
		if misrouted := a.checkAnchor(q.anchor); misrouted != nil {
			return *misrouted
		}
		execute := cmdlets[name]
		if execute == nil {
			return a.wrongCmdlet(name, endpoint)
		}
		if len(q.selected) > 0 && !slices.Contains(selectable, endpoint) {
			return invalidOperation("Microsoft.OData.ODataException", "The endpoint "+endpoint+" does not support $select.")
		}
		q.run = run
		return execute(q)
	}}
}

// selectable are the endpoints whose pages have $select ("Property selection").
var selectable = []string{"Mailbox", "AcceptedDomain", "DistributionGroupMember", "DynamicDistributionGroupMember"}

func orUnknown(name string) string {
	if name == "" {
		return "unknown"
	}
	return name
}

func splitPath(path string) (tenant, endpoint string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/adminapi/v2.0/")
	tenant, endpoint, found := strings.Cut(rest, "/")
	return tenant, endpoint, ok && found
}

// authorize wants a token for Exchange, of this tenant, with the permission, and an Exchange
// role for the application. Seen on the sibling transport: no permission 401, no role 403 with
// a body that is not JSON.
func (a *API) authorize(r *http.Request, tenant string) *call.Answer {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	grant := identity.Check(a.world, text, identity.ExchangeAudience)
	if !ok || grant == nil || !strings.EqualFold(grant.Tenant, tenant) || !slices.Contains(grant.Roles, role) {
		refused := fail(http.StatusUnauthorized, "Unauthorized", "Unauthorized", "", "The access token is missing, invalid, expired or lacks "+role+".")
		refused.Header.Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		return &refused
	}
	if !grant.RBAC {
		return &call.Answer{Status: http.StatusForbidden, Type: "application/json", Body: make([]byte, 512), Outcome: "no Exchange role"}
	}
	return nil
}

// anchorForms are the known values of X-AnchorMailbox.
var anchorForms = regexp.MustCompile(`(?i)^((AAD-UPN:|AAD-SMTP:|UPN:|SMTP:)?[^@\s:]+@[^@\s:]+|(OID|MBX):[0-9a-f-]{36}@[^@\s]+|APP:SystemMailbox\{[0-9a-f-]{36}\}@[^@\s]+)$`)

func (a *API) checkAnchor(anchor string) *call.Answer {
	mode := a.world.Switches.Text(switches.ExchangeAnchor)
	if mode == "accept" || anchor != "" && (mode == "require" || anchorForms.MatchString(anchor)) {
		return nil
	}
	refused := fail(http.StatusBadRequest, "ErrorIncorrectRoutingHint", "Incorrect routing hint.", "", "X-AnchorMailbox is missing or not a routing hint.")
	return &refused
}

func (a *API) wrongCmdlet(name, endpoint string) call.Answer {
	switch a.world.Switches.Text(switches.ExchangeWrongCmdlet) {
	case "401":
		return fail(http.StatusUnauthorized, "Unauthorized", "User is not allowed to call "+name, "", "User is not allowed to call "+name)
	case "403":
		return call.Answer{Status: http.StatusForbidden, Type: "application/json", Body: make([]byte, 512), Outcome: "cmdlet not served"}
	}
	return invalidOperation("Microsoft.Exchange.Admin.OData.Core.ODataServiceException", "The cmdlet "+name+" is not supported by the endpoint "+endpoint+".")
}

// readInput reads the envelope {"CmdletInput":{"CmdletName","Parameters"}}, names in exact case.
func (a *API) readInput(body []byte) (string, parameters, *call.Answer) {
	malformed := func(text string) *call.Answer {
		refused := invalidOperation("Microsoft.OData.ODataException", text)
		return &refused
	}
	var envelope map[string]json.RawMessage
	if json.Unmarshal(body, &envelope) != nil {
		return "", nil, malformed("The body is not a JSON object.")
	}
	var input map[string]json.RawMessage
	if len(envelope) != 1 || json.Unmarshal(envelope["CmdletInput"], &input) != nil || input == nil {
		return "", nil, malformed("The body must hold CmdletInput and nothing else.")
	}
	var name string
	if json.Unmarshal(input["CmdletName"], &name) != nil || name == "" {
		return "", nil, malformed("CmdletInput must hold CmdletName.")
	}
	for field := range input {
		if field != "CmdletName" && field != "Parameters" {
			return name, nil, malformed("CmdletInput has the unknown field " + field + ".")
		}
	}
	raw, given := input["Parameters"]
	if !given {
		return name, parameters{}, nil
	}
	if string(raw) == "null" {
		if a.world.Switches.Text(switches.ExchangeNullParameters) == "reject" {
			return name, nil, malformed("Parameters must not be null.")
		}
		return name, parameters{}, nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return name, nil, malformed("Parameters must be a JSON object.")
	}
	read := make(parameters, len(fields))
	for field, value := range fields {
		read[strings.ToLower(field)] = parameter{field, value}
	}
	return name, read, nil
}

// parameters are a cmdlet's, by lower-case name: PowerShell's names have no case.
type parameters map[string]parameter

type parameter struct {
	name string
	raw  json.RawMessage
}

// peek reads a text parameter if it is one.
func (p parameters) peek(name string) (s string) {
	_ = json.Unmarshal(p[strings.ToLower(name)].raw, &s)
	return s
}

func (p parameters) has(name string) bool {
	_, ok := p[strings.ToLower(name)]
	return ok
}

// only refuses parameters that the endpoint does not expose. An annotation of a parameter that
// is there, such as GrantSendOnBehalfTo@odata.type, is no parameter.
func (p parameters) only(known ...string) *call.Answer {
	for key, given := range p {
		base, _, annotated := strings.Cut(key, "@odata.")
		if annotated && p.has(base) {
			key = base
		}
		if !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, key) }) {
			refused := invalidOperation("System.Management.Automation.AmbiguousParameterSetException",
				"A parameter cannot be found that matches parameter name '"+given.name+"'.")
			return &refused
		}
	}
	return nil
}

// text reads a string parameter; an empty one is refused as PowerShell's binder does.
func (p parameters) text(name string) (string, *call.Answer) {
	given, ok := p[strings.ToLower(name)]
	if !ok {
		return "", nil
	}
	var s string
	if string(given.raw) == "null" || json.Unmarshal(given.raw, &s) != nil || s == "" {
		return "", wrongType(name, "a non-empty string")
	}
	return s, nil
}

func (p parameters) flag(name string) (bool, *call.Answer) {
	given, ok := p[strings.ToLower(name)]
	if !ok {
		return false, nil
	}
	var b bool
	if string(given.raw) == "null" || json.Unmarshal(given.raw, &b) != nil {
		return false, wrongType(name, "a boolean")
	}
	return b, nil
}

// unlimited is ResultSize "Unlimited".
const unlimited = -1

// resultSize reads ResultSize: an integer or "Unlimited"; 1,000 where it is absent.
func (p parameters) resultSize() (int, *call.Answer) {
	given, ok := p["resultsize"]
	if !ok {
		return 1000, nil
	}
	var s string
	if json.Unmarshal(given.raw, &s) == nil && strings.EqualFold(s, "Unlimited") {
		return unlimited, nil
	}
	n, err := strconv.Atoi(string(given.raw))
	if err != nil || n < 1 {
		return 0, wrongType("ResultSize", "a positive integer or \"Unlimited\"")
	}
	return n, nil
}

func wrongType(name, want string) *call.Answer {
	refused := invalidOperation("System.Management.Automation.ParameterTransformationException",
		"Cannot process argument transformation on parameter '"+name+"'. The value must be "+want+".")
	return &refused
}

// Errors, in the shape that live answers of the sibling transport had.

func invalidOperation(kind, text string) call.Answer {
	return fail(http.StatusBadRequest, "BadRequest", "Invalid Operation", kind, text)
}

func (a *API) notFound(identity string) call.Answer {
	text := "The operation couldn't be performed because object '" + identity + "' couldn't be found on 'AM0PR01A001DC01.EURPR01A001.PROD.OUTLOOK.COM'."
	const kind = "Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException"
	if a.world.Switches.Text(switches.ExchangeNotFound) == "500" {
		return fail(http.StatusInternalServerError, "InternalServerError", "Error executing cmdlet", kind, text)
	}
	return fail(http.StatusNotFound, "NotFound", "Error executing request", kind, text)
}

func fail(status int, code, literal, kind, text string) call.Answer {
	if kind == "" {
		kind = "Microsoft.Exchange.Admin.OData.Core.ODataServiceException"
	}
	a := write(status, map[string]any{"error": map[string]any{
		"code": code, "message": literal,
		"details": []any{map[string]any{"code": "Client", "target": "", "message": "Ex6F9304|" + kind + "|" + text}},
		"innererror": map[string]any{
			"message": literal, "type": "Microsoft.Exchange.Admin.OData.Core.ODataServiceException", "stacktrace": "",
			"internalexception": map[string]any{"message": text, "type": kind, "stacktrace": ""},
		},
		"adminapi.warnings@odata.type": "#Collection(String)", "@adminapi.warnings": []string{},
	}})
	a.Outcome = code + ": " + text
	return a
}

func write(status int, body any) call.Answer {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // maps and the package's own types
	return call.Answer{Status: status, Header: http.Header{}, Type: "application/json; odata.metadata=minimal; charset=utf-8", Body: text.Bytes(), Outcome: "answered"}
}
