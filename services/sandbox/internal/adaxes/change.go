package adaxes

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
)

// Operations of a property in an update; the numbers are inferred from ADS_PROPERTY_OPERATION_ENUM.
var operations = map[string]int{"1": 1, "2": 2, "3": 3, "4": 4, "clear": 1, "update": 2, "append": 3, "delete": 4}

// updateObject is PATCH ~/api/directoryObjects.
func (a *API) updateObject(_ *http.Request, body []byte) call.Operation {
	p := a.parse(body, "directoryObject", "properties")
	id := p.text("directoryObject", true)
	var properties []property
	for _, item := range p.children("properties", true, "propertyName", "propertyType", "values", "operation", "mask") {
		read := a.readProperty(item)
		if item.has("operation") {
			raw := strings.ToLower(strings.Trim(string(item.fields["operation"]), `"`))
			if read.operation = operations[raw]; read.operation == 0 {
				item.faults.add(item.at("operation"), "The operation is not known.")
			}
		}
		if item.has("mask") {
			mask := item.number("mask")
			read.mask = &mask
		}
		properties = append(properties, read)
	}
	return call.Operation{Target: id, Run: func(run call.Run) call.Answer {
		if p.failed() {
			return invalid(p.faults)
		}
		var dn string
		err := a.world.Update(run.Origin, func(tx *state.Tx) error {
			o := tx.Object(id)
			if o == nil || a.hidden(tx, o) {
				return refuse(http.StatusNotFound, fmt.Sprintf("The object '%s' does not exist.", id))
			}
			changed, err := change(tx, o.Clone(), properties)
			if err != nil {
				return err
			}
			changed.Changed = tx.Now()
			tx.PutObject(changed)
			tx.MoveMailbox(changed)
			dn = changed.DN
			return nil
		})
		if err != nil {
			return a.declined(err)
		}
		return success(dn, nil, nil)
	}}
}

func change(tx *state.Tx, o *state.Object, properties []property) (*state.Object, error) {
	if err := checkLinks(tx, properties); err != nil {
		return nil, err
	}
	for _, p := range properties {
		attribute, err := checkProperty(tx, p)
		if err != nil {
			return nil, err
		}
		switch attribute.Name {
		case "cn", "ou", "objectSid", "objectGUID", "distinguishedName":
			return nil, refuse(http.StatusBadRequest, fmt.Sprintf("The property '%s' cannot be updated.", attribute.Name))
		case "unicodePwd":
			domain := tx.Seed().Domain(o.Domain)
			password, _ := append(p.values, "")[0].(string)
			if err := domain.Password.Check(password, o.Text("sAMAccountName"), o.Text("displayName")); err != nil {
				return nil, refuse(http.StatusBadRequest, "The password does not meet the password policy requirements.")
			}
			o.PasswordSet, o.PasswordAt = true, tx.Now()
			continue
		case "sAMAccountName":
			if other := tx.ObjectBySAM(o.Domain, fmt.Sprint(append(p.values, "")[0])); other != nil && other.GUID != o.GUID {
				return nil, refuse(http.StatusConflict, "The specified sAMAccountName is already in use in the domain.")
			}
		case "userPrincipalName":
			if other := tx.ObjectByUPN(fmt.Sprint(append(p.values, "")[0])); other != nil && other.GUID != o.GUID {
				return nil, refuse(http.StatusConflict, "The specified userPrincipalName is already in use in the forest.")
			}
		}
		o.Properties[attribute.Name] = apply(o.Properties[attribute.Name], p)
		if len(o.Properties[attribute.Name]) == 0 {
			delete(o.Properties, attribute.Name)
		}
	}
	return o, nil
}

// apply gives a property's new values. With a mask only its bits change (page "Setting property
// values").
func apply(old []any, p property) []any {
	same := func(value any) func(any) bool {
		return func(other any) bool { return fmt.Sprint(other) == fmt.Sprint(value) }
	}
	switch p.operation {
	case 1:
		return nil
	case 3:
		kept := slices.Clone(old)
		for _, value := range p.values {
			if !slices.ContainsFunc(kept, same(value)) {
				kept = append(kept, value)
			}
		}
		return kept
	case 4:
		kept := slices.Clone(old)
		for _, value := range p.values {
			kept = slices.DeleteFunc(kept, same(value))
		}
		return kept
	}
	if p.mask == nil || p.syntax != directory.Integer || len(p.values) != 1 {
		return p.values
	}
	var before int64
	if len(old) == 1 {
		before, _ = json.Number(fmt.Sprint(old[0])).Int64()
	}
	value, _ := json.Number(fmt.Sprint(p.values[0])).Int64()
	return []any{json.Number(strconv.FormatInt(before&^*p.mask|value&*p.mask, 10))}
}

// deleteObject is DELETE ~/api/directoryObjects?directoryObject=<id>.
func (a *API) deleteObject(r *http.Request, _ []byte) call.Operation {
	id := query(r, "directoryObject")
	return call.Operation{Target: id, Run: func(run call.Run) call.Answer {
		if id == "" {
			return invalid(modelState{"directoryObject": {"The field is required."}})
		}
		var dn string
		err := a.world.Update(run.Origin, func(tx *state.Tx) error {
			o := tx.Object(id)
			switch {
			case o == nil || a.hidden(tx, o):
				return refuse(http.StatusNotFound, fmt.Sprintf("The object '%s' does not exist.", id))
			case o.Flag("adm-ProtectedFromDeletion"):
				return refuse(http.StatusBadRequest, "The object is protected from accidental deletion.")
			case tx.HasChildren(o.DN):
				return refuse(http.StatusBadRequest, "The object cannot be deleted, because it is not empty.")
			}
			if m := tx.MailboxOf(o.GUID); m != nil {
				tx.DeleteMailbox(m.GUID)
			}
			tx.DeleteObject(o.GUID)
			dn = o.DN
			return nil
		})
		if err != nil {
			return a.declined(err)
		}
		return success(dn, nil, nil)
	}}
}
