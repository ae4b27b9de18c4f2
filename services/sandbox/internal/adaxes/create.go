package adaxes

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
	"github.com/mailwright/mailwright/services/sandbox/internal/fault"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// createRequest is the body of Create directory object, checked.
type createRequest struct {
	createIn   string
	objectType string
	properties []property
	m365       *m365
	photo      string
}

// m365 is the Microsoft365AccountProperties object.
type m365 struct {
	location      string
	signInBlocked bool
	licences      []licenceChange
}

type licenceChange struct {
	sku               string
	assigned          bool
	enabled, disabled []string // service plans
}

var objectTypes = []string{"organizationalUnit", "container", "user", "contact", "group", "computer", "printQueue", "volume"}

// createObject is POST ~/api/directoryObjects.
func (a *API) createObject(_ *http.Request, body []byte) call.Operation {
	q, faults := a.readCreate(body)
	op := call.Operation{Target: q.name() + "," + q.createIn}
	op.Run = func(run call.Run) call.Answer {
		if len(faults) > 0 {
			return invalid(faults)
		}
		rule := a.world.Switches.Text(switches.AdaxesBusinessRule)
		if run.Twist == fault.Suspend || rule == "suspend" {
			return a.suspend("create-object", op.Target, body)
		}
		return a.create(run.Origin, q, run.Twist == fault.Partial, rule)
	}
	return op
}

// Approve carries out what was suspended. A password was not kept.
func (a *API) Approve(run call.Run, approval *state.Approval) call.Answer {
	if approval.Call == "create-mailbox" {
		return a.createMailbox(nil, approval.Body).Run(run)
	}
	q, faults := a.readCreate(approval.Body)
	if len(faults) > 0 {
		return invalid(faults)
	}
	return a.create(run.Origin, q, false, "none")
}

// readCreate checks a body: the common attributes and those of the type.
func (a *API) readCreate(body []byte) (createRequest, modelState) {
	m365Fields := []string{a.world.Switches.Text(switches.AdaxesM365Field)}
	if m365Fields[0] == "both" {
		m365Fields = []string{"o365", "m365"}
	}
	p := a.parse(body, append(m365Fields, "createIn", "objectType", "properties", "photo", "isPreWindows2000Computer")...)
	q := createRequest{createIn: p.text("createIn", true), objectType: p.text("objectType", true)}
	if q.objectType != "" && !slices.Contains(objectTypes, q.objectType) {
		p.faults.add("objectType", "The object type is not known.")
	}
	for _, item := range p.children("properties", true, "propertyName", "propertyType", "values") {
		q.properties = append(q.properties, a.readProperty(item))
	}
	for _, field := range m365Fields {
		if p.has(field) {
			if q.objectType != "user" {
				p.faults.add(field, "The field is for users only.")
			}
			q.m365 = readM365(p, field)
		}
	}
	if p.has("photo") {
		q.photo = p.text("photo", false)
		if _, err := base64.StdEncoding.DecodeString(q.photo); err != nil || q.photo == "" {
			p.faults.add("photo", "The value must be a Base64-encoded string.")
		}
		if q.objectType != "user" && q.objectType != "contact" {
			p.faults.add("photo", "The field is for users and contacts only.")
		}
	}
	if p.has("isPreWindows2000Computer") {
		p.flag("isPreWindows2000Computer", false)
		if q.objectType != "computer" {
			p.faults.add("isPreWindows2000Computer", "The field is for computers only.")
		}
	}
	return q, p.faults
}

func readM365(p *object, field string) *m365 {
	block := p.child(field, false, "locationName", "signInBlocked", "licenseModifications")
	if block == nil {
		return nil
	}
	m := &m365{location: block.text("locationName", true), signInBlocked: block.flag("signInBlocked", false)}
	if m.location != "" && len(m.location) != 2 {
		p.faults.add(block.at("locationName"), "The value must be an ISO 3166-1 alpha-2 country code.")
	}
	for _, item := range block.children("licenseModifications", false, "skuPartNumber", "assigned", "enabledServices", "disabledServices") {
		m.licences = append(m.licences, licenceChange{item.text("skuPartNumber", true), item.flag("assigned", true), item.texts("enabledServices"), item.texts("disabledServices")})
	}
	return m
}

// name is the intended RDN as far as the request says it, for the journal.
func (q createRequest) name() string {
	for _, p := range q.properties {
		for _, naming := range []string{"cn", "ou", "userPrincipalName", "sAMAccountName"} {
			if strings.EqualFold(p.name, naming) && len(p.values) > 0 {
				if s, ok := p.values[0].(string); ok {
					return naming + "=" + s
				}
			}
		}
	}
	return q.objectType
}

// create makes the object; rule is what a business rule does after it.
func (a *API) create(origin state.Origin, q createRequest, partial bool, rule string) call.Answer {
	var made *state.Object
	var messages []message
	err := a.world.Update(origin, func(tx *state.Tx) error {
		b := &builder{tx: tx, q: q, partial: partial}
		var err error
		if made, err = b.build(); err != nil {
			return err
		}
		messages = b.messages
		if made, err = relocate(tx, made, rule); err != nil {
			return err
		}
		if done := ruleMessages[rule]; done != "" {
			messages = append(messages, from("Business Rules", information, "",
				from("'Business Rule After Create'", triggered, "The rule was executed.", note(information, done))))
		}
		return nil
	})
	if err != nil {
		return a.declined(err)
	}
	return success(made.DN, messages, nil)
}

// ruleMessages are what the business rule after a create says, by what it does.
var ruleMessages = map[string]string{"message": "A welcome message has been sent.", "rename": "The object has been renamed.", "move": "The object has been moved."}

// relocate does what a business rule does to a new object: a name of another form, or a place
// beside the one that was asked for. The result tells the DN that came of it (Create directory
// object, actualObjectDN).
func relocate(tx *state.Tx, o *state.Object, rule string) (*state.Object, error) {
	naming, name, parent := "cn", directory.Name(o.DN), directory.Parent(o.DN)
	if o.Class == "organizationalUnit" {
		naming = "ou"
	}
	switch rule {
	case "rename":
		name += " (renamed)"
	case "move":
		// the container of the container: it is there, or the container would not be
		parent = directory.Parent(parent)
	default:
		return o, nil
	}
	c := o.Clone()
	c.DN = strings.ToUpper(naming) + "=" + directory.EscapeValue(name) + "," + parent
	if tx.Object(c.DN) != nil || tx.Object(parent) == nil {
		return nil, refuse(http.StatusConflict, "The business rule could not "+rule+" the object.")
	}
	c.Properties[naming] = []any{name}
	tx.PutObject(c)
	tx.MoveMailbox(c)
	return c, nil
}

// suspend sends a create for approval: nothing is made until a person decides
// (REST_OperationResult, suspended sample).
func (a *API) suspend(name, target string, body []byte) call.Answer {
	kept, err := withoutPassword(body)
	if err == nil {
		// nothing of the directory changes
		err = a.world.Update(state.Origin{}, func(tx *state.Tx) error {
			tx.PutApproval(&state.Approval{
				ID: state.NewGUID(), Call: name, Target: target, State: "Pending", Requested: tx.Now(), Body: kept,
			})
			return nil
		})
	}
	if err != nil {
		return problem(http.StatusInternalServerError, "internalServerError", err.Error())
	}
	return answer(http.StatusOK, "suspended for approval", result{
		ResultType: suspended, ExtraInfo: struct{}{},
		InnerMessages: []message{from("Business Rules", information, "",
			from("'Business Rule Approve New Objects'", triggered, "The operation was sent for approval.",
				note(approvalRequired, "Request submitted for approval.")))},
	})
}

// withoutPassword drops the unicodePwd property from a create's body.
func withoutPassword(body []byte) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, err
	}
	for name, raw := range fields {
		if !strings.EqualFold(name, "properties") {
			continue
		}
		var items []map[string]json.RawMessage
		if err := json.Unmarshal(raw, &items); err != nil {
			return nil, err
		}
		items = slices.DeleteFunc(items, func(item map[string]json.RawMessage) bool {
			for key, value := range item {
				if strings.EqualFold(key, "propertyName") && strings.EqualFold(strings.Trim(string(value), `"`), "unicodePwd") {
					return true
				}
			}
			return false
		})
		kept, err := json.Marshal(items)
		if err != nil {
			return nil, err
		}
		fields[name] = kept
	}
	return json.Marshal(fields)
}
