package directory

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/sealed"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
	"github.com/mailwright/mailwright/services/internal/vendors/dn"
	"github.com/mailwright/mailwright/services/internal/worker"
	"github.com/mailwright/mailwright/services/internal/worker/warnings"
)

// objectCreator creates directory objects at one tenant's Adaxes.
type objectCreator struct {
	client *adaxes.Client
	// marker is the attribute that carries the operation's id; "" where the tenant has set none
	// aside.
	marker string
}

func (c objectCreator) create(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
	var data event.ObjectCreateData
	if err := run.Decode(&data); err != nil {
		return operation.Reply{}, err
	}
	result, err := c.client.CreateObject(ctx, c.object(data, run.ID))
	if err != nil {
		return operation.Reply{}, c.meaning(ctx, run, data, err)
	}
	// The vendor's rules may have renamed and moved the object, and a create does not return the
	// GUID. It exists whatever comes of the reading.
	warned := warnings.OfAdaxes(result.Warnings)
	made, err := worker.ReadBack(ctx, func(ctx context.Context) (adaxes.DirectoryObject, error) {
		return c.client.GetObject(ctx, result.ObjectDN)
	})
	if err != nil {
		made = adaxes.DirectoryObject{DN: result.ObjectDN}
		warned = append(warned, unread("The object was created, but its GUID could not be read", err))
	}
	sealedSecret, warned := c.temporaryPassword(run, data, result, warned)
	return created(run, made, data.ObjectType, sealedSecret, warned), nil
}

// temporaryPassword seals the password that the vendor made up for a Microsoft 365 account to the
// key that the command names. Without a key nobody learns it, which a warning says.
func (c objectCreator) temporaryPassword(run *operation.Attempt, data event.ObjectCreateData, result adaxes.OperationResult, warned []event.Warning) (string, []event.Warning) {
	password, made := result.TemporaryPassword()
	if !made {
		return "", warned
	}
	if data.Microsoft365 == nil || data.Microsoft365.SealTo == "" {
		const text = "The vendor made up a temporary password, which is passed to nobody: o365.sealTo names a key to seal it to"
		return "", append(warned, event.Warning{Source: "mailwright", Text: text})
	}
	text, err := sealed.Sealer{}.SealFor(password.Reveal(), run.ID, data.Microsoft365.SealTo)
	if err != nil { // the key was checked before the create
		return "", append(warned, event.Warning{Source: "mailwright", Text: "The vendor made up a temporary password, which could not be sealed"})
	}
	return text, warned
}

// meaning is what a failed create means for the operation. After an earlier call that is open, a
// taken name is ours, perhaps, but not if it was taken before the command came.
func (c objectCreator) meaning(ctx context.Context, run *operation.Attempt, data event.ObjectCreateData, err error) error {
	if run.Prior == nil || !adaxes.MayExist(err) {
		return err
	}
	if at, e := c.place(ctx, data); e == nil && at.dn != "" {
		if found, e := c.get(ctx, at.dn, whenCreated); e == nil && found != nil && ageOf(run, objectCreatedAt(*found)) == older {
			return err
		}
	}
	return worker.Reopen(run, err)
}

// lookUp finds the object that an earlier attempt of this very operation created.
//
// With a marker that is certain. Without one, an object of the intended name counts as ours only
// while an earlier create is open, and only if it is certainly not older than the command.
func (c objectCreator) lookUp(ctx context.Context, run *operation.Attempt) (operation.Reply, bool, error) {
	var data event.ObjectCreateData
	if err := run.Decode(&data); err != nil {
		return operation.Reply{}, false, err
	}
	found, err := c.find(ctx, run, data)
	if err != nil || found == nil {
		return operation.Reply{}, false, err
	}
	var warned []event.Warning
	if m := data.Microsoft365; m != nil && m.SealTo != "" {
		const text = "The vendor's answer to the create was lost, and with it any temporary password that it made up"
		warned = []event.Warning{{Source: "mailwright", Text: text}}
	}
	return created(run, *found, data.ObjectType, "", warned), true, nil
}

func (c objectCreator) find(ctx context.Context, run *operation.Attempt, data event.ObjectCreateData) (*adaxes.DirectoryObject, error) {
	if c.marker != "" {
		found, err := c.client.Search(ctx, adaxes.Query{Property: c.marker, Value: run.ID})
		if err != nil || len(found) == 0 {
			return nil, err
		}
		return &found[0], nil
	}
	if run.Prior == nil {
		return nil, operation.ErrCannotLookUp
	}
	return c.findByName(ctx, run, data)
}

// findByName looks where the command wants the object, then for its account name and UPN: patterns
// and rules may have renamed or moved it.
//
// Where nothing shows and nothing makes a second create collide with the first, it goes on looking:
// the create is not repeated.
func (c objectCreator) findByName(ctx context.Context, run *operation.Attempt, data event.ObjectCreateData) (*adaxes.DirectoryObject, error) {
	at, err := c.place(ctx, data)
	if err != nil {
		return nil, err
	}
	logons := logonNames(data)
	if at.dn == "" && len(logons) == 0 {
		return nil, operation.ErrCannotLookUp
	}
	if at.dn != "" {
		found, err := c.get(ctx, at.dn, whenCreated)
		if err != nil {
			return nil, err
		}
		if ours, err := isOurs(run, found); err != nil || ours {
			return found, err
		}
	}
	for property, value := range logons {
		found, err := c.client.Search(ctx, adaxes.Query{
			Base: dn.Domain(data.CreateIn), ObjectType: data.ObjectType, Property: property, Value: value,
			Select: []string{whenCreated},
		})
		if err != nil {
			return nil, err
		}
		if len(found) == 1 {
			if ours, err := isOurs(run, &found[0]); err != nil || ours {
				return &found[0], err
			}
		}
	}
	if !at.collides {
		return nil, &failure.Error{Kind: failure.Unknown, Vendor: adaxes.Vendor, Text: "the vendor did not say whether it created the object, and a second create would make a second object; it is looked for, and not created again"}
	}
	return nil, nil
}

// whenCreated is the property that tells an object's age.
const whenCreated = "whenCreated"

// isOurs reports whether an object of the right name was created by an earlier call of this
// operation. Where its age does not tell, a person has to look: a repeated create could only find
// the name taken.
func isOurs(run *operation.Attempt, object *adaxes.DirectoryObject) (bool, error) {
	if object == nil {
		return false, nil
	}
	switch ageOf(run, objectCreatedAt(*object)) {
	case older:
		return false, nil
	case notOlder:
		return true, nil
	default:
		return false, operation.ErrCannotLookUp
	}
}

// objectCreatedAt is when an object was created; zero where that cannot be read.
func objectCreatedAt(object adaxes.DirectoryObject) adaxes.Span {
	span, _ := adaxes.ParseTime(object.Value(whenCreated)) // zero beside an error
	return span
}

// place is where an object is to stand.
type place struct {
	// dn is "" where the command leaves the name to the vendor's property patterns.
	dn string
	// collides: the directory refuses a second object of the name in the container.
	collides bool
}

// place works out where an object will stand. The container is read, since the command may name it
// by GUID, and since in Azure AD many objects of one container may have the same name: their DNs
// hold an id of the vendor's.
func (c objectCreator) place(ctx context.Context, data event.ObjectCreateData) (place, error) {
	name := commonName(data)
	if name == "" {
		return place{}, nil
	}
	container, err := c.get(ctx, data.CreateIn)
	hidden := failure.Is(err, failure.Refused) // our account may see what is in it, and not itself
	if err != nil && !hidden {
		return place{}, err
	}
	at := place{collides: !hidden}
	if intended, known := intendedDN(data); known {
		at.dn = intended
	}
	if container != nil {
		at.collides = container.DirectoryType <= activeDirectory
		if container.DN != "" {
			at.dn = dn.Child(naming(data), name, container.DN)
		}
	}
	return at, nil
}

// activeDirectory is the DirectoryType of an object on premises.
const activeDirectory = 1

// logonNames are the names beside its own by which an object is the only one of its domain, as far
// as the command gives them whole.
func logonNames(data event.ObjectCreateData) map[string]string {
	names := map[string]string{}
	for _, property := range []string{"sAMAccountName", "userPrincipalName"} {
		if name := text(data, property); name != "" && (property == "sAMAccountName" || strings.Contains(name, "@")) {
			names[property] = name
		}
	}
	return names
}

// get reads an object; nil where there is none.
func (c objectCreator) get(ctx context.Context, dn string, properties ...string) (*adaxes.DirectoryObject, error) {
	object, err := c.client.GetObject(ctx, dn, properties...)
	if failure.Is(err, failure.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &object, nil
}

// plan says whether the name is taken. What the vendor's own rules would add cannot be told.
func (c objectCreator) plan(ctx context.Context, run *operation.Attempt) (event.Plan, error) {
	var data event.ObjectCreateData
	if err := run.Decode(&data); err != nil {
		return event.Plan{}, err
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
	values, _ := translate(p, "")
	raw, _ := json.Marshal(values.Values)
	return string(raw)
}

func created(run *operation.Attempt, object adaxes.DirectoryObject, objectType, sealedSecret string, warnings []event.Warning) operation.Reply {
	return operation.Reply{Type: event.TypeObjectCreated, Data: event.ObjectCreatedData{
		Operation:    run.Operation,
		Object:       event.DirectoryObject{DN: object.DN, GUID: object.GUID, ObjectType: objectType},
		SealedSecret: sealedSecret,
		Warnings:     warnings,
	}}
}

// objectFaults names what a command asks for that its tenant does not allow, or that no request can
// say.
func objectFaults(t *tenant.Tenant, data event.ObjectCreateData) []event.Fault {
	faults := t.CheckObject(data)
	for i, p := range data.Properties {
		_, found := translate(p, fmt.Sprintf("/properties/%d", i))
		faults = append(faults, found...)
	}
	if _, err := base64.StdEncoding.DecodeString(data.Photo); err != nil {
		faults = append(faults, event.Fault{Field: "/photo", Problem: "is not base64"})
	}
	if m := data.Microsoft365; m != nil && m.SealTo != "" {
		if _, err := sealed.ParseRecipients(m.SealTo); err != nil {
			faults = append(faults, event.Fault{Field: "/o365/sealTo", Problem: "is no X25519 recipient of age (age1…)"})
		}
	}
	return faults
}

// object translates a command without faults into the vendor's request.
func (c objectCreator) object(data event.ObjectCreateData, operationID string) adaxes.Object {
	o := adaxes.Object{CreateIn: data.CreateIn, ObjectType: data.ObjectType, IsPreWindows2000Computer: data.PreWindows2000Computer}
	for _, p := range data.Properties {
		translated, _ := translate(p, "")
		o.Properties = append(o.Properties, translated)
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
	o.Photo, _ = base64.StdEncoding.DecodeString(data.Photo)
	return o
}

// translate gives a property as the vendor's client takes it, and what is wrong with it. at is
// where it stands in the data.
func translate(p event.Property, at string) (adaxes.Property, []event.Fault) {
	var faults []event.Fault
	propertyType, err := typeOf(p.Type)
	if err != nil {
		faults = append(faults, event.Fault{Field: at + "/propertyType", Problem: err.Error()})
	}
	values := make([]any, len(p.Values))
	for i, raw := range p.Values {
		if values[i], err = value(raw, propertyType); err != nil {
			faults = append(faults, event.Fault{Field: fmt.Sprintf("%s/values/%d", at, i), Problem: err.Error()})
		}
	}
	return adaxes.NewProperty(p.Name, propertyType, values...), faults
}

// typeOf reads a property's type: a name, or a number in any of the forms that JSON has for it.
func typeOf(raw json.RawMessage) (t adaxes.PropertyType, err error) {
	if n, err := event.Integer(json.Number(raw)); err == nil {
		raw = strconv.AppendInt(nil, n, 10)
	}
	if json.Unmarshal(raw, &t) != nil {
		return "", errors.New("must be the name or the number of a property type of Adaxes")
	}
	return t, nil
}

// value reads a JSON text, boolean or integer; of an integer, exactly the number that the command
// gives. The text of a large integer is one too.
func value(raw json.RawMessage, t adaxes.PropertyType) (any, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, errors.New("is not JSON")
	}
	number, isNumber := v.(json.Number)
	if text, isText := v.(string); isText && t == adaxes.LargeInteger {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, errors.New("must be the digits of an integer of 64 bits")
		}
		return n, nil
	}
	if !isNumber {
		return v, nil
	}
	n, err := event.Integer(number)
	if err == nil && t == adaxes.Integer && int64(int32(n)) != n {
		err = errors.New("must fit into 32 bits: from -2147483648 to 2147483647")
	}
	return n, err
}

// intendedDN is where the object will stand, if the command says so: its cn or ou in a container
// that is named by DN, not by GUID.
func intendedDN(data event.ObjectCreateData) (string, bool) {
	name := commonName(data)
	if name == "" {
		return "", false
	}
	return dn.Child(naming(data), name, data.CreateIn), strings.Contains(data.CreateIn, "=")
}

// commonName is the object's name in its container; "" where the command leaves it to the vendor's
// property patterns.
func commonName(data event.ObjectCreateData) string { return text(data, naming(data)) }

// naming is the attribute that names an object.
func naming(data event.ObjectCreateData) string {
	if data.ObjectType == "organizationalUnit" {
		return "OU"
	}
	return "CN"
}

// text is the value of a property that has one alone, a text; "" for anything else.
func text(data event.ObjectCreateData, property string) string {
	for _, p := range data.Properties {
		var value string
		if strings.EqualFold(p.Name, property) && len(p.Values) == 1 && json.Unmarshal(p.Values[0], &value) == nil {
			return value
		}
	}
	return ""
}
