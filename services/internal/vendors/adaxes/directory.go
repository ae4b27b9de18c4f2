package adaxes

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// DirectoryObject is an object as it stands in the directory (page "Directory object").
type DirectoryObject struct {
	GUID        string
	DN          string
	DisplayName string
	ObjectType  string
	DomainName  string
	// DirectoryType is 1 in Active Directory, and another in Azure AD; 0 where the vendor does not
	// tell.
	DirectoryType int
	// Properties holds those that were asked for, as text. The vendor may answer in another case:
	// see [DirectoryObject.Values].
	Properties map[string][]string
}

// Values returns the values of a property, whatever the case of its name; nil where the object has
// none.
func (o DirectoryObject) Values(property string) []string {
	values, _ := o.lookup(property)
	return values
}

// Value returns the first value of a property, or "".
func (o DirectoryObject) Value(property string) string {
	if values := o.Values(property); len(values) > 0 {
		return values[0]
	}
	return ""
}

func (o DirectoryObject) lookup(property string) (values []string, present bool) {
	for name, values := range o.Properties {
		if strings.EqualFold(name, property) {
			return values, true
		}
	}
	return nil, false
}

// GetObject reads one object by DN, GUID or SID, with the named properties.
//
// NotFound only where the API itself says that there is no such object; directories lag behind a
// create, so that is no proof against one that was just sent.
func (c *Client) GetObject(ctx context.Context, id string, properties ...string) (DirectoryObject, error) {
	if !isIdentifier(id) {
		return DirectoryObject{}, invalid([]string{"the object must be named by a DN, a GUID or a SID"})
	}
	path := "/api/directoryObjects?directoryObject=" + queryEscape(id)
	if len(properties) > 0 {
		path += "&properties=" + queryList(properties)
	}
	body, err := c.do(ctx, transport.Read, http.MethodGet, path, nil)
	if err != nil {
		return DirectoryObject{}, err
	}
	var wire wireDirectoryObject
	if json.Unmarshal(body, &wire) != nil || wire.GUID == "" && wire.DN == "" {
		return DirectoryObject{}, notUnderstood(transport.Read)
	}
	return wire.object(), nil
}

// Query looks objects up by one property.
type Query struct {
	// Base is the container to search, DN or GUID; empty for everything that Adaxes manages.
	Base string
	// ObjectType restricts the class; empty for all.
	ObjectType string
	// Property must equal Value, as the directory compares.
	Property, Value string
	// Select names further properties to be returned.
	Select []string
	// Limit is the largest number of objects that may be found; more is an error. Default 100.
	Limit int
}

// Search returns the objects whose property has the value, none being no error.
//
// A full page fails with Internal: the vendor documents no way to the next one, and "not among the
// first hundred" must not be taken for "not there". So does an answer in which the property is
// missing, since then nothing shows that the vendor searched by it.
func (c *Client) Search(ctx context.Context, q Query) ([]DirectoryObject, error) {
	if q.Property == "" || q.Value == "" {
		return nil, invalid([]string{"a search needs a property and a value"})
	}
	if q.Limit <= 0 {
		q.Limit = 100
	}
	body, err := c.do(ctx, transport.Read, http.MethodPost, "/api/directoryObjects/search", q.wire())
	if err != nil {
		return nil, err
	}
	found, ok := decodeSearch(body)
	if !ok {
		return nil, notUnderstood(transport.Read)
	}
	if len(found) >= q.Limit {
		return nil, &failure.Error{Kind: failure.Internal, Vendor: Vendor, Text: "the search found more objects than it may return"}
	}
	var objects []DirectoryObject
	for _, wire := range found {
		o := wire.object()
		values, present := o.lookup(q.Property)
		if !present {
			return nil, &failure.Error{Kind: failure.Internal, Vendor: Vendor, Text: "the search's answer lacks the property that was searched for"}
		}
		if slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, q.Value) }) {
			objects = append(objects, o)
		}
	}
	return objects, nil
}

// The request's body (pages "Search directory", "Criteria JSON"); a criterion is one simple item
// within a compound one.
type (
	wireQuery struct {
		BaseObject string       `json:"baseObject,omitempty"`
		Criteria   wireCriteria `json:"criteria"`
		Select     wireSelect   `json:"select"`
		SizeLimit  int          `json:"sizeLimit"`
	}
	wireCriteria struct {
		ObjectTypes []wireObjectType `json:"objectTypes"`
	}
	wireObjectType struct {
		Type  string       `json:"type"`
		Items wireCompound `json:"items"`
	}
	wireCompound struct {
		Type            string       `json:"type"`
		Items           []wireSimple `json:"items"`
		LogicalOperator int          `json:"logicalOperator"`
	}
	wireSimple struct {
		Type     string      `json:"type"`
		Property string      `json:"property"`
		Operator string      `json:"operator"`
		Values   []wireValue `json:"values"`
	}
	wireValue struct {
		Type  int    `json:"type"`
		Value string `json:"value"`
	}
	wireSelect struct {
		Properties string `json:"properties"`
	}
)

func (q Query) wire() wireQuery {
	const stringValue, and = 2, 1
	equals := wireSimple{Type: "Simple", Property: q.Property, Operator: "eq", Values: []wireValue{{stringValue, q.Value}}}
	compound := wireCompound{Type: "Compound", Items: []wireSimple{equals}, LogicalOperator: and}
	return wireQuery{
		BaseObject: q.Base,
		Criteria:   wireCriteria{[]wireObjectType{{q.ObjectType, compound}}},
		Select:     wireSelect{strings.Join(append([]string{q.Property}, q.Select...), ",")},
		SizeLimit:  q.Limit,
	}
}

// wireDirectoryObject is an object in an answer.
type wireDirectoryObject struct {
	GUID, DN, DisplayName, ObjectType, DomainName string
	DirectoryType                                 directoryType
	Properties                                    map[string]values
}

func (w wireDirectoryObject) object() DirectoryObject {
	o := DirectoryObject{
		GUID: w.GUID, DN: w.DN, DisplayName: w.DisplayName, ObjectType: w.ObjectType, DomainName: w.DomainName,
		DirectoryType: int(w.DirectoryType), Properties: map[string][]string{},
	}
	for name, v := range w.Properties {
		if !HoldsPassword(name) {
			o.Properties[name] = v
		}
	}
	return o
}

// directoryType reads a number, and nothing else: an object is good without it.
type directoryType int

func (t *directoryType) UnmarshalJSON(b []byte) error {
	if n, err := strconv.Atoi(string(b)); err == nil {
		*t = directoryType(n)
	}
	return nil
}

// values reads a property's values as text: an array of scalars as documented, or a scalar alone.
type values []string

func (v *values) UnmarshalJSON(b []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber() // a large integer keeps its digits
	var decoded any
	if err := decoder.Decode(&decoded); err != nil {
		return err
	}
	list, ok := decoded.([]any)
	if !ok {
		list = []any{decoded}
	}
	for _, item := range list {
		switch item := item.(type) {
		case string:
			*v = append(*v, item)
		case json.Number:
			*v = append(*v, item.String())
		case bool:
			*v = append(*v, map[bool]string{true: "true", false: "false"}[item])
		}
	}
	return nil
}

// decodeSearch reads the found objects. The page's envelope is not known, so an array is taken
// alone or under any of the names seen in use; anything else is not an empty result but no result.
func decodeSearch(body []byte) ([]wireDirectoryObject, bool) {
	var list []wireDirectoryObject
	if json.Unmarshal(body, &list) == nil && list != nil {
		return list, true
	}
	var envelope map[string]json.RawMessage
	if json.Unmarshal(body, &envelope) != nil {
		return nil, false
	}
	for name, raw := range envelope {
		switch strings.ToLower(name) {
		case "objects", "value", "items", "results":
			var list []wireDirectoryObject
			if json.Unmarshal(raw, &list) == nil && list != nil {
				return list, true
			}
		}
	}
	return nil, false
}

// queryEscape escapes a value for a query. A space becomes %20, which cannot be mistaken for a plus
// sign.
func queryEscape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// queryList joins names by commas without spaces, as the page wants them.
func queryList(names []string) string {
	escaped := make([]string, len(names))
	for i, name := range names {
		escaped[i] = queryEscape(name)
	}
	return strings.Join(escaped, ",")
}
