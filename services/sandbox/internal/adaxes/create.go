package adaxes

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
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
	sku      string
	assigned bool
}

var objectTypes = []string{"organizationalUnit", "container", "user", "contact", "group", "computer", "printQueue", "volume"}

// createObject is POST ~/api/directoryObjects.
func (a *API) createObject(_ *http.Request, body []byte) call.Operation {
	q, faults := a.readCreate(body)
	return call.Operation{Target: q.name() + "," + q.createIn, Run: func(run call.Run) call.Answer {
		if len(faults) > 0 {
			return invalid(faults)
		}
		rule := a.world.Switches.Text(switches.AdaxesBusinessRule)
		if run.Twist == fault.Suspend || rule == "suspend" {
			return a.suspend(q, body)
		}
		return a.create(run.Origin, q, run.Twist == fault.Partial, rule == "message")
	}}
}

// Approve carries out a create that was suspended. Its password was not kept.
func (a *API) Approve(run call.Run, body []byte) call.Answer {
	q, faults := a.readCreate(body)
	if len(faults) > 0 {
		return invalid(faults)
	}
	return a.create(run.Origin, q, false, false)
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
		m.licences = append(m.licences, licenceChange{item.text("skuPartNumber", true), item.flag("assigned", true)})
		item.texts("enabledServices")
		item.texts("disabledServices")
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

func (a *API) create(origin state.Origin, q createRequest, partial, ruled bool) call.Answer {
	var made *state.Object
	var messages []message
	err := a.world.Update(origin, func(tx *state.Tx) error {
		b := &builder{tx: tx, q: q, partial: partial}
		var err error
		made, err = b.build()
		messages = b.messages
		return err
	})
	if err != nil {
		return a.declined(err)
	}
	if ruled {
		messages = append(messages, from("Business Rules", information, "",
			from("'Business Rule After Create'", triggered, "The rule was executed.", note(information, "A welcome message has been sent."))))
	}
	return success(made.DN, messages, nil)
}

// suspend sends a create for approval: nothing is made until a person decides
// (REST_OperationResult, suspended sample).
func (a *API) suspend(q createRequest, body []byte) call.Answer {
	kept, err := withoutPassword(body)
	if err == nil {
		err = a.world.Update(state.Origin{}, func(tx *state.Tx) error { // nothing of the directory changes
			tx.PutApproval(&state.Approval{
				ID: state.NewGUID(), Call: "create-object", Target: q.name() + "," + q.createIn, State: "Pending", Requested: tx.Now(), Body: kept,
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
