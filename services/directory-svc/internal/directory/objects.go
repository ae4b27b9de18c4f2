package directory

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/failure"
	"github.com/mailwright/mailwright/pkg/operation"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/pkg/vendors/adaxes"
	"github.com/mailwright/mailwright/pkg/vendors/dn"
	"github.com/mailwright/mailwright/services/internal/worker"
)

// objectCreator creates directory objects at one tenant's Adaxes.
type objectCreator struct {
	client *adaxes.Client
	// marker is the attribute that carries the operation's id; "" where the tenant has set none aside.
	marker string
}

func (c objectCreator) create(ctx context.Context, run *operation.Run) (operation.Result, error) {
	var data event.ObjectCreateData
	if err := run.Decode(&data); err != nil {
		return operation.Result{}, err
	}
	object, rejection := c.object(data, run.ID)
	if rejection != nil {
		return operation.Result{}, rejection
	}
	result, err := c.client.CreateObject(ctx, object)
	if err != nil {
		return operation.Result{}, err
	}
	return created(run, c.readBack(ctx, result.ObjectDN), data.ObjectType, worker.Warnings(result.Warnings)), nil
}

// lookUp finds the object that an earlier attempt of this very operation created.
//
// With a marker that is certain. Without one, an object at the intended DN counts as ours only while settling: this operation
// sent a create, after the name had been free or the vendor would have said otherwise.
func (c objectCreator) lookUp(ctx context.Context, run *operation.Run) (operation.Result, bool, error) {
	var data event.ObjectCreateData
	if err := run.Decode(&data); err != nil {
		return operation.Result{}, false, err
	}
	found, err := c.find(ctx, run, data)
	if err != nil || found == nil {
		return operation.Result{}, false, err
	}
	return created(run, *found, data.ObjectType, nil), true, nil
}

func (c objectCreator) find(ctx context.Context, run *operation.Run, data event.ObjectCreateData) (*adaxes.DirectoryObject, error) {
	if c.marker != "" {
		found, err := c.client.Search(ctx, adaxes.Query{Property: c.marker, Value: run.ID})
		if err != nil || len(found) == 0 {
			return nil, err
		}
		return &found[0], nil
	}
	intended, known := intendedDN(data)
	if !run.Settling || !known {
		return nil, operation.ErrCanNotLookUp
	}
	return c.get(ctx, intended)
}

// get reads an object; nil where there is none.
func (c objectCreator) get(ctx context.Context, dn string) (*adaxes.DirectoryObject, error) {
	object, err := c.client.GetObject(ctx, dn)
	if failure.Is(err, failure.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &object, nil
}

// plan says whether the name is taken. What the vendor's own rules would add can not be told.
func (c objectCreator) plan(ctx context.Context, run *operation.Run) (event.Plan, error) {
	var data event.ObjectCreateData
	if err := run.Decode(&data); err != nil {
		return event.Plan{}, err
	}
	if _, rejection := c.object(data, run.ID); rejection != nil {
		return event.Plan{}, rejection
	}
	target, known := intendedDN(data)
	plan := event.Plan{Target: target}
	if !known {
		plan.Target = data.CreateIn // the vendor's property patterns will choose the name
	} else if found, err := c.get(ctx, target); err != nil {
		return event.Plan{}, err
	} else if found != nil {
		plan.Exists = true
		return plan, nil
	}
	plan.Changes = append(plan.Changes, event.Change{Action: "create", What: data.ObjectType, Value: plan.Target})
	for _, p := range data.Properties {
		plan.Changes = append(plan.Changes, event.Change{Action: "set", What: p.Name, Value: shown(p)})
	}
	return plan, nil
}

// shown gives a property's values for people, unless they are secret.
func shown(p event.Property) string {
	if adaxes.HoldsPassword(p.Name) {
		return secret.Redacted
	}
	raw, _ := json.Marshal(p.Values)
	return string(raw)
}

// readBack adds the GUID, which a create does not return. The object exists whatever comes of the reading.
func (c objectCreator) readBack(ctx context.Context, dn string) adaxes.DirectoryObject {
	object, err := c.client.GetObject(ctx, dn)
	if err != nil {
		return adaxes.DirectoryObject{DN: dn}
	}
	return object
}

func created(run *operation.Run, object adaxes.DirectoryObject, objectType string, warnings []event.Warning) operation.Result {
	return operation.Result{Type: event.ObjectCreated, Data: event.ObjectCreatedData{
		Operation: run.Operation,
		Object:    event.DirectoryObject{DN: object.DN, GUID: object.GUID, ObjectType: objectType},
		Warnings:  warnings,
	}}
}

// object translates the command into the vendor's request.
func (c objectCreator) object(data event.ObjectCreateData, operationID string) (adaxes.Object, *operation.Rejection) {
	o := adaxes.Object{CreateIn: data.CreateIn, ObjectType: data.ObjectType, IsPreWindows2000Computer: data.PreWindows2000Computer}
	for _, p := range data.Properties {
		o.Properties = append(o.Properties, property(p))
	}
	if c.marker != "" {
		o.Properties = append(o.Properties, adaxes.NewProperty(c.marker, adaxes.String, operationID))
	}
	if m := data.Microsoft365; m != nil {
		o.Microsoft365 = &adaxes.Microsoft365{LocationName: m.LocationName, SignInBlocked: m.SignInBlocked}
		for _, l := range m.LicenseModifications {
			o.Microsoft365.LicenseModifications = append(o.Microsoft365.LicenseModifications, adaxes.LicenseModification(l))
		}
	}
	photo, err := base64.StdEncoding.DecodeString(data.Photo)
	if err != nil {
		return o, operation.Reject("/photo", "is not base64")
	}
	o.Photo = photo
	return o, nil
}

// property translates one property; its schema has already held each value against the type.
func property(p event.Property) adaxes.Property {
	var t adaxes.PropertyType
	_ = json.Unmarshal(p.Type, &t)
	values := make([]any, len(p.Values))
	for i, raw := range p.Values {
		values[i] = value(raw)
	}
	return adaxes.NewProperty(p.Name, t, values...)
}

// value reads a JSON string, boolean or integer; integers stay exact.
func value(raw json.RawMessage) any {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	if n, ok := v.(json.Number); ok {
		i, _ := n.Int64()
		return i
	}
	return v
}

// intendedDN is where the object will stand, if the command says so: its cn or ou in a container that is
// named by DN, not by GUID.
func intendedDN(data event.ObjectCreateData) (string, bool) {
	attribute := "CN"
	if data.ObjectType == "organizationalUnit" {
		attribute = "OU"
	}
	for _, p := range data.Properties {
		var name string
		if strings.EqualFold(p.Name, attribute) && len(p.Values) == 1 && json.Unmarshal(p.Values[0], &name) == nil {
			return attribute + "=" + dn.Escape(name) + "," + data.CreateIn, strings.Contains(data.CreateIn, "=")
		}
	}
	return "", false
}
