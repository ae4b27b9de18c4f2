package adaxes

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// typeCodes are objectTypeCode: OU 0, user 2, group 3, computer 4 in the samples, the others
// inferred.
var typeCodes = map[string]int{
	"organizationalUnit": 0, "contact": 1, "user": 2, "group": 3, "computer": 4, "container": 5,
	"printQueue": 6, "volume": 7, "domainDNS": 8,
}

// directoryObject is REST_DirectoryObject.
type directoryObject struct {
	GUID           string           `json:"guid"`
	DN             string           `json:"dn"`
	DisplayName    string           `json:"displayName"`
	ObjectType     string           `json:"objectType"`
	ObjectTypeCode int              `json:"objectTypeCode"`
	DomainName     string           `json:"domainName"`
	DirectoryType  int              `json:"directoryType"`
	Properties     map[string][]any `json:"properties"`
	AccountStatus  *accountStatus   `json:"accountStatus,omitempty"`
	PasswordStatus *passwordStatus  `json:"passwordStatus,omitempty"`
}

type accountStatus struct {
	IsDisabled     bool    `json:"isDisabled"`
	IsLocked       bool    `json:"isLocked"`
	ExpirationDate *string `json:"expirationDate"`
}

type passwordStatus struct {
	WhenChanged      *string `json:"whenChanged"`
	ExpirationStatus int     `json:"expirationStatus"`
	ExpirationDate   *string `json:"expirationDate"`
}

// hidden reports whether a new object has not reached the instance that answers.
func (a *API) hidden(tx *state.Tx, o *state.Object) bool {
	lag := tx.Switches().Span(switches.AdaxesReadLag)
	return lag > 0 && tx.Now().Before(o.Created.Add(lag))
}

// getObject is GET ~/api/directoryObjects?directoryObject=<id>[&properties=a,b].
func (a *API) getObject(r *http.Request, _ []byte) call.Operation {
	id := query(r, "directoryObject")
	return call.Operation{Target: id, Run: func(call.Run) call.Answer {
		if id == "" {
			return invalid(modelState{"directoryObject": {"The field is required."}})
		}
		var found *directoryObject
		a.world.View(func(tx *state.Tx) {
			if o := tx.Object(id); o != nil && !a.hidden(tx, o) {
				rendered := a.render(tx, o, query(r, "properties"))
				found = &rendered
			}
		})
		if found == nil {
			return problem(http.StatusNotFound, "notFound", "There is no such object.")
		}
		return answer(http.StatusOK, "found", found)
	}}
}

// render shows an object with the chosen properties, a comma-separated list.
func (a *API) render(tx *state.Tx, o *state.Object, properties string) directoryObject {
	shown := directoryObject{
		GUID: o.GUID, DN: o.DN, DisplayName: o.Text("displayName"), ObjectType: o.Class, ObjectTypeCode: typeCodes[o.Class],
		DomainName: o.Domain, DirectoryType: 1, Properties: map[string][]any{},
	}
	if shown.DisplayName == "" {
		shown.DisplayName = directory.Name(o.DN)
	}
	if domain := tx.Seed().Domain(o.Domain); domain != nil && domain.Azure {
		shown.DirectoryType = 2
	}
	for name := range strings.SplitSeq(properties, ",") {
		attribute, ok := directory.FindAttribute(name)
		if !ok {
			attribute.Name = name
		}
		values := o.Properties[attribute.Name]
		if computed := computedProperty(o, attribute.Name); computed != "" {
			values = []any{computed}
		}
		if form := timeForms[tx.Switches().Text(switches.AdaxesTimeForm)]; form != "" {
			switch attribute.Name {
			case "whenCreated":
				values = []any{o.Created.UTC().Format(form)}
			case "whenChanged":
				values = []any{o.Changed.UTC().Format(form)}
			}
		}
		if len(values) == 0 {
			continue
		}
		if tx.Switches().On(switches.AdaxesLowerCase) {
			attribute.Name = strings.ToLower(attribute.Name)
		}
		shown.Properties[attribute.Name] = values
	}
	if o.Class == "user" || o.Class == "computer" {
		shown.AccountStatus = &accountStatus{IsDisabled: o.Disabled()}
		if at := o.Text("accountExpires"); at != "" {
			shown.AccountStatus.ExpirationDate = &at
		}
		shown.PasswordStatus = &passwordStatus{}
		if o.PasswordSet && !o.PasswordAt.IsZero() {
			changed := o.PasswordAt.UTC().Format(timeForm)
			shown.PasswordStatus.WhenChanged = &changed
		}
	}
	return shown
}

// timeForms are the other forms in which .NET and directories write a time.
var timeForms = map[string]string{"no-zone": "2006-01-02T15:04:05.0000000", "generalized": "20060102150405.0Z", "date": time.DateOnly}

// computedProperty is the value of those properties that follow from the object itself.
func computedProperty(o *state.Object, name string) string {
	switch name {
	case "distinguishedName":
		return o.DN
	case "name":
		return directory.Name(o.DN)
	case "objectGUID":
		return binaryGUID(o.GUID)
	case "objectSid":
		return o.SID
	case "whenCreated":
		return o.Created.Format(timeForm)
	case "whenChanged":
		return o.Changed.Format(timeForm)
	}
	return ""
}

// defaultSize is sizeLimit where none is given (REST_SearchDirectory2021).
const defaultSize = 1000

// search is POST ~/api/directoryObjects/search.
func (a *API) search(_ *http.Request, body []byte) call.Operation {
	p := a.parse(body, "baseObject", "oneLevel", "criteria", "select", "scope", "sizeLimit")
	base, oneLevel := p.text("baseObject", false), p.flag("oneLevel", false)
	size := p.number("sizeLimit")
	if size <= 0 {
		size = defaultSize
	}
	var properties string
	if chosen := p.child("select", false, "properties", "thumbnailPhoto"); chosen != nil {
		properties = chosen.text("properties", false)
		chosen.text("thumbnailPhoto", false)
	}
	if scope := p.text("scope", false); scope != "" && scope != "All" && scope != "TotpEnrolledAccounts" {
		p.faults.add("scope", "The scope is not known.")
	}
	wanted := readCriteria(p)
	return call.Operation{Target: strings.Trim(base+" "+p.criteriaText(), " "), Run: func(call.Run) call.Answer {
		if p.failed() {
			return invalid(p.faults)
		}
		found := []directoryObject{}
		missing := false
		a.world.View(func(tx *state.Tx) {
			root := tx.Object(base)
			if missing = base != "" && root == nil; missing {
				return
			}
			wanted.candidates(tx, func(o *state.Object) bool {
				if wanted.matches(o) && within(root, oneLevel, o) && !a.hidden(tx, o) {
					found = append(found, a.render(tx, o, properties))
				}
				return int64(len(found)) < size
			})
		})
		if missing {
			return problem(http.StatusNotFound, "notFound", "The base object does not exist.")
		}
		envelope := a.world.Switches.Text(switches.AdaxesSearchEnvelope)
		if envelope == "array" {
			return answer(http.StatusOK, "searched", found)
		}
		return answer(http.StatusOK, "searched", map[string]any{envelope: found})
	}}
}

// criteriaText is the criteria as sent, for the journal.
func (o *object) criteriaText() string {
	raw := o.fields["criteria"]
	return string(raw[:min(len(raw), 300)])
}

// within reports whether an object lies below the base of a search, or directly below it.
func within(root *state.Object, oneLevel bool, o *state.Object) bool {
	switch {
	case root == nil:
		return true
	case oneLevel:
		return directory.Fold(directory.Parent(o.DN)) == directory.Fold(root.DN)
	default:
		return directory.Within(o.DN, root.DN)
	}
}

// criterion is what a search asks for.
type criterion struct {
	matches func(*state.Object) bool
	// name and value, where set: only objects with that property can match.
	name, value string
}

var everything = criterion{matches: func(*state.Object) bool { return true }}

// candidates walks the objects that may match, by the directory's index where it has one.
func (c criterion) candidates(tx *state.Tx, visit func(*state.Object) bool) {
	if state.Indexed(c.name) {
		tx.EachObjectWith(c.name, c.value, visit)
		return
	}
	tx.EachObject(visit)
}

// readCriteria reads REST_CriteriaJson: any of objectTypes may match.
func readCriteria(p *object) criterion {
	criteria := p.child("criteria", false, "objectTypes")
	if criteria == nil {
		return everything
	}
	var types []criterion
	for _, entry := range criteria.children("objectTypes", true, "type", "items") {
		class := entry.text("type", false)
		items := everything
		if block := entry.child("items", false, itemFields...); block != nil && len(block.fields) > 0 {
			items = readItem(block)
		}
		ofClass := items
		ofClass.matches = func(o *state.Object) bool {
			return (class == "" || strings.EqualFold(class, o.Class)) && items.matches(o)
		}
		types = append(types, ofClass)
	}
	if len(types) == 1 {
		return types[0]
	}
	return criterion{matches: func(o *state.Object) bool {
		return len(types) == 0 || slices.ContainsFunc(types, func(c criterion) bool { return c.matches(o) })
	}}
}

var itemFields = []string{"type", "items", "logicalOperator", "property", "operator", "values", "valueLogicalOperator"}

// readItem reads a Simple or Compound item. Enumerations may be names or the numbers seen in the
// field.
func readItem(o *object) criterion {
	switch o.choice("type", map[string]string{"0": "simple", "1": "compound", "simple": "simple", "compound": "compound"}) {
	case "compound":
		var parts []criterion
		for _, item := range o.children("items", true, itemFields...) {
			parts = append(parts, readItem(item))
		}
		or := o.has("logicalOperator") && o.choice("logicalOperator", map[string]string{"1": "and", "2": "or", "and": "and", "or": "or"}) == "or"
		c := criterion{matches: func(obj *state.Object) bool {
			for _, part := range parts {
				if part.matches(obj) == or {
					return or
				}
			}
			return !or
		}}
		if len(parts) > 0 && (!or || len(parts) == 1) {
			c.name, c.value = parts[0].name, parts[0].value
		}
		return c
	case "simple":
		return readSimple(o)
	}
	return everything
}

func readSimple(o *object) criterion {
	name := o.text("property", true)
	if attribute, ok := directory.FindAttribute(name); ok {
		name = attribute.Name
	} else if o.schema && !strings.EqualFold(name, "name") {
		o.faults.add(o.at("property"), fmt.Sprintf("The property '%s' does not exist in the schema.", name))
	}
	operator := strings.ToLower(o.text("operator", true))
	compare, ok := map[string]func(have, want string) bool{
		"eq": func(have, want string) bool { return have == want }, "equal": func(have, want string) bool { return have == want },
		"ne": func(have, want string) bool { return have != want }, "contains": strings.Contains,
		"startswith": strings.HasPrefix, "endswith": strings.HasSuffix, "empty": func(string, string) bool { return true },
	}[operator]
	if !ok {
		o.faults.add(o.at("operator"), "The operator is not known.")
		return everything
	}
	var wanted []string
	for _, value := range o.children("values", true, "type", "value") {
		wanted = append(wanted, strings.ToLower(strings.Trim(string(value.fields["value"]), `"`)))
		var text string
		if json.Unmarshal(value.fields["value"], &text) == nil {
			wanted[len(wanted)-1] = strings.ToLower(text)
		}
	}
	if operator == "empty" {
		empty := len(wanted) == 0 || wanted[0] == "true"
		return criterion{matches: func(obj *state.Object) bool { return (len(obj.Properties[name]) == 0) == empty }}
	}
	c := criterion{matches: func(obj *state.Object) bool {
		values := obj.Properties[name]
		if computed := computedProperty(obj, name); computed != "" {
			values = []any{computed}
		}
		return slices.ContainsFunc(values, func(value any) bool {
			text, ok := value.(string)
			if !ok {
				raw, _ := json.Marshal(value)
				text = string(raw)
			}
			text = strings.ToLower(text)
			return slices.ContainsFunc(wanted, func(want string) bool { return compare(text, want) })
		})
	}}
	if len(wanted) == 1 && (operator == "eq" || operator == "equal") {
		c.name, c.value = name, wanted[0]
	}
	return c
}

// choice reads an enumeration given as a name or a number.
func (o *object) choice(name string, names map[string]string) string {
	raw := strings.ToLower(strings.Trim(string(o.fields[strings.ToLower(name)]), `"`))
	chosen, ok := names[raw]
	if !ok {
		o.faults.add(o.at(name), "The value is not known.")
	}
	return chosen
}
