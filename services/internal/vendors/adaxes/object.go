package adaxes

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mailwright/mailwright/pkg/integer"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/dn"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// Object is a directory object to be created (page "Create directory object").
type Object struct {
	// CreateIn is the organizational unit or container: DN or GUID.
	CreateIn string
	// ObjectType is the object's class: organizationalUnit, container, user, contact, group,
	// computer, printQueue, volume, ...
	ObjectType string
	Properties []Property
	// Microsoft365 assigns licences to a new user; nil for none. Users only.
	Microsoft365 *Microsoft365
	// Photo is the picture itself, not its base64. Users and contacts only.
	Photo []byte
	// IsPreWindows2000Computer is nil where it is left to the vendor. Computers only.
	IsPreWindows2000Computer *bool
}

// Property is one property of a new object and its values.
type Property struct {
	// Name is a schema name or a virtual "adm-..." one.
	Name string
	Type PropertyType
	// Values are, by Type: string or secret.String (String, DN); string or []byte (Binary; a string
	// is base64 already); string or time.Time (DateTime, Timestamp; a string is ISO 8601 with an
	// offset); bool (Boolean); an integer of any kind (Integer, LargeInteger; the latter also as a
	// string of digits). Those of a property that holds a password must be secret.String: see
	// [NewProperty].
	Values []any
}

// NewProperty returns a Property; strings of a property that holds a password become secrets.
func NewProperty(name string, typ PropertyType, values ...any) Property {
	p := Property{Name: name, Type: typ, Values: make([]any, len(values))}
	for i, v := range values {
		if s, ok := v.(string); ok && HoldsPassword(name) {
			v = secret.New(s)
		}
		p.Values[i] = v
	}
	return p
}

// HoldsPassword reports whether a property's name says that its values are passwords: unicodePwd,
// userPassword, ...
func HoldsPassword(property string) bool {
	name := strings.ToLower(property)
	return name != "pwdlastset" && (strings.Contains(name, "pwd") || strings.Contains(name, "password"))
}

// PropertyType is the syntax of a property, by the name that the page's samples send.
type PropertyType string

// The property types of the page.
const (
	DN           PropertyType = "DN"
	String       PropertyType = "String"
	Boolean      PropertyType = "Boolean"
	Integer      PropertyType = "Integer"
	Binary       PropertyType = "Binary"
	DateTime     PropertyType = "DateTime"
	LargeInteger PropertyType = "LargeInteger"
	Timestamp    PropertyType = "Timestamp"
)

// typeNumbers are the numbers that the page gives beside the names.
var typeNumbers = map[string]PropertyType{
	"1": DN, "2": String, "6": Boolean, "7": Integer, "8": Binary, "9": DateTime, "10": LargeInteger, "14": Timestamp,
}

// UnmarshalJSON accepts a type by name or by number.
func (t *PropertyType) UnmarshalJSON(b []byte) error {
	if named, ok := typeNumbers[string(b)]; ok {
		*t = named
		return nil
	}
	return json.Unmarshal(b, (*string)(t))
}

// Microsoft365 is the Microsoft 365 side of a new user (page "Microsoft 365 account properties").
type Microsoft365 struct {
	// LocationName is the country of use, ISO 3166-1 alpha-2.
	LocationName string `json:"locationName"`
	// SignInBlocked is nil where it is left to the vendor.
	SignInBlocked        *bool                 `json:"signInBlocked,omitempty"`
	LicenseModifications []LicenseModification `json:"licenseModifications,omitempty"`
}

// LicenseModification assigns a licence, or revokes it.
type LicenseModification struct {
	SKUPartNumber string `json:"skuPartNumber"`
	Assigned      bool   `json:"assigned"`
	// EnabledServices and DisabledServices are identifiers of service plans; in a new assignment
	// the first excludes the second.
	EnabledServices  []string `json:"enabledServices,omitempty"`
	DisabledServices []string `json:"disabledServices,omitempty"`
}

// CreateObject creates a directory object. The result holds its DN only; [Client.GetObject] tells
// its GUID.
//
// Errors as [decodeResult] has them, and Invalid with every fault of the object where nothing was
// sent. The call is not repeatable: after Unknown the caller must look for the object before trying
// again.
func (c *Client) CreateObject(ctx context.Context, o Object) (OperationResult, error) {
	body, secrets, err := o.wire(c.cfg.Microsoft365Field)
	if err != nil {
		return OperationResult{}, err
	}
	answer, err := c.do(ctx, transport.Write, http.MethodPost, "/api/directoryObjects", body, secrets...)
	if err != nil {
		return OperationResult{}, err
	}
	result, err := decodeResult(answer, c.redactor(secrets...))
	if err == nil && result.ObjectDN == "" {
		return result, notUnderstood(transport.Write) // which object was created?
	}
	return result, err
}

// wireObject is the request's body.
type wireObject struct {
	CreateIn                 string         `json:"createIn"`
	ObjectType               string         `json:"objectType"`
	Properties               []wireProperty `json:"properties"`
	O365                     *Microsoft365  `json:"o365,omitempty"`
	M365                     *Microsoft365  `json:"m365,omitempty"`
	Photo                    []byte         `json:"photo,omitempty"`
	IsPreWindows2000Computer *bool          `json:"isPreWindows2000Computer,omitempty"`
}

type wireProperty struct {
	PropertyName string       `json:"propertyName"`
	PropertyType PropertyType `json:"propertyType"`
	Values       []any        `json:"values"`
}

// wire checks the object and returns the request's body with the secrets that it holds.
func (o Object) wire(microsoft365Field string) (wireObject, []secret.String, error) {
	w := wireObject{
		CreateIn: o.CreateIn, ObjectType: o.ObjectType, Properties: make([]wireProperty, 0, len(o.Properties)),
		Photo: o.Photo, IsPreWindows2000Computer: o.IsPreWindows2000Computer,
	}
	if microsoft365Field == "m365" {
		w.M365 = o.Microsoft365
	} else {
		w.O365 = o.Microsoft365
	}
	faults := o.faults()
	var secrets []secret.String
	for i, p := range o.Properties {
		values := make([]any, len(p.Values))
		for j, v := range p.Values {
			if s, ok := v.(secret.String); ok {
				secrets = append(secrets, s)
			}
			value, fault := p.value(v)
			if fault != "" {
				faults = append(faults, fmt.Sprintf("properties[%d].values[%d] (%s) %s", i, j, p.Name, fault))
			}
			values[j] = value
		}
		w.Properties = append(w.Properties, wireProperty{p.Name, p.Type, values})
	}
	return w, secrets, invalid(faults)
}

// faults names what is wrong with the object, its properties' values apart.
func (o Object) faults() []string {
	var faults []string
	if !isGUID(o.CreateIn) && !dn.Valid(o.CreateIn) {
		faults = append(faults, "createIn must be a DN or a GUID")
	}
	if o.ObjectType == "" {
		faults = append(faults, "objectType is required")
	}
	for i, p := range o.Properties {
		if p.Name == "" {
			faults = append(faults, fmt.Sprintf("properties[%d].propertyName is required", i))
		}
	}
	isUser, isContact := strings.EqualFold(o.ObjectType, "user"), strings.EqualFold(o.ObjectType, "contact")
	if m := o.Microsoft365; m != nil {
		if !isUser {
			faults = append(faults, "Microsoft 365 properties belong to users")
		}
		if !country.MatchString(m.LocationName) {
			faults = append(faults, "locationName must be a country of two letters")
		}
		for i, l := range m.LicenseModifications {
			if l.SKUPartNumber == "" {
				faults = append(faults, fmt.Sprintf("licenseModifications[%d].skuPartNumber is required", i))
			}
		}
	}
	if len(o.Photo) > 0 && !isUser && !isContact {
		faults = append(faults, "photo belongs to users and contacts")
	}
	if o.IsPreWindows2000Computer != nil && !strings.EqualFold(o.ObjectType, "computer") {
		faults = append(faults, "isPreWindows2000Computer belongs to computers")
	}
	return faults
}

// value returns v as it goes onto the wire, or what is wrong with it.
func (p Property) value(v any) (wire any, fault string) {
	s, isString := v.(string)
	if isString && HoldsPassword(p.Name) {
		return nil, "must be a secret"
	}
	if hidden, ok := v.(secret.String); ok {
		s, isString = hidden.Reveal(), true
	}
	if !utf8.ValidString(s) {
		return nil, "must be valid UTF-8"
	}
	form, known := forms[p.Type]
	if !known {
		return nil, "has an unknown propertyType"
	}
	if isString {
		v = s
	}
	if wire, ok := form.wire(v); ok {
		return wire, ""
	}
	return nil, "must be " + form.name
}

// form is how the values of a type go onto the wire.
type form struct {
	name string
	wire func(v any) (wire any, ok bool)
}

var forms = map[PropertyType]form{
	String:       {"a string", textValue},
	DN:           {"a string", textValue},
	DateTime:     {"a time in ISO 8601 with an offset", timeValue},
	Timestamp:    {"a time in ISO 8601 with an offset", timeValue},
	Binary:       {"base64", binaryValue},
	Boolean:      {"true or false", booleanValue},
	Integer:      {"an integer of 32 bits", integerValue},
	LargeInteger: {"an integer of 64 bits", largeIntegerValue},
}

func textValue(v any) (any, bool) {
	s, ok := v.(string)
	return s, ok
}

func timeValue(v any) (any, bool) {
	if t, ok := v.(time.Time); ok {
		return t.Format(time.RFC3339Nano), true
	}
	s, ok := v.(string)
	_, err := time.Parse(time.RFC3339, s)
	return s, ok && err == nil
}

func binaryValue(v any) (any, bool) {
	if b, ok := v.([]byte); ok {
		return b, true // encoding/json writes base64
	}
	s, ok := v.(string)
	_, err := base64.StdEncoding.DecodeString(s)
	return s, ok && err == nil
}

func booleanValue(v any) (any, bool) {
	b, ok := v.(bool)
	return b, ok
}

func integerValue(v any) (any, bool) {
	n, ok := exact(v)
	return n, ok && n >= math.MinInt32 && n <= math.MaxInt32
}

func largeIntegerValue(v any) (any, bool) {
	if s, ok := v.(string); ok {
		n, err := strconv.ParseInt(s, 10, 64)
		return n, err == nil
	}
	n, ok := exact(v)
	return n, ok
}

// exact reads the kinds of number that Go and its JSON decoder make, where no digit is lost.
func exact(v any) (int64, bool) {
	switch n := v.(type) {
	case int:
		return int64(n), true
	case int32:
		return int64(n), true
	case int64:
		return n, true
	case float64:
		// from there on a float64 may have lost digits
		return int64(n), n == math.Trunc(n) && math.Abs(n) < 1<<53
	case json.Number:
		i, err := integer.Parse(n.String())
		return i, err == nil
	default:
		return 0, false
	}
}

var (
	country = regexp.MustCompile(`^[A-Z]{2}$`)
	guid    = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
	sid     = regexp.MustCompile(`^[Ss]-1-\d+(-\d+)+$`)
)

func isGUID(s string) bool { return guid.MatchString(s) }

// isIdentifier reports whether s names an object as the calls want it: DN, GUID or SID. A logon
// name has to be searched for first.
func isIdentifier(s string) bool { return isGUID(s) || sid.MatchString(s) || dn.Valid(s) }

// invalid is the failure that lists faults; nil for none.
func invalid(faults []string) error {
	if len(faults) == 0 {
		return nil
	}
	return &failure.Error{Kind: failure.Invalid, Vendor: Vendor, Text: strings.Join(faults, "; ")}
}
