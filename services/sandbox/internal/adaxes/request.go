package adaxes

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// object reads one JSON object field by field and collects what is wrong with it. Names are
// matched in any case, as ASP.NET does.
type object struct {
	path   string
	fields map[string]json.RawMessage // by lower-case name
	faults modelState
	strict bool // fields that the page does not list are faults
	schema bool // so are properties that the schema lacks
}

// parse reads a request's body; known are the fields that the page lists.
func (a *API) parse(body []byte, known ...string) *object {
	o := &object{
		faults: modelState{}, strict: a.world.Switches.Text(switches.AdaxesUnknownFields) == "reject",
		schema: a.world.Switches.Text(switches.AdaxesUnknownProperties) == "reject",
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	var raw json.RawMessage
	err := decoder.Decode(&raw)
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is text after the JSON value")
		}
	}
	if err != nil {
		o.faults.add("", "The body is not valid JSON.")
		return o
	}
	o.read(raw, known)
	return o
}

func (o *object) read(raw json.RawMessage, known []string) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || fields == nil {
		o.faults.add(o.path, "A JSON object is expected.")
		return
	}
	o.fields = make(map[string]json.RawMessage, len(fields))
	for name, value := range fields {
		if !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, name) }) {
			if o.strict {
				o.faults.add(o.at(name), "The field is not known.")
			}
			continue
		}
		o.fields[strings.ToLower(name)] = value
	}
}

func (o *object) failed() bool { return len(o.faults) > 0 }

func (o *object) at(name string) string {
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

func (o *object) has(name string) bool {
	raw, ok := o.fields[strings.ToLower(name)]
	return ok && string(raw) != "null"
}

// get decodes a field into the value and reports whether it was there and of the right type.
func (o *object) get(name, want string, required bool, into any) bool {
	if !o.has(name) {
		if required && o.fields != nil {
			o.faults.add(o.at(name), "The field is required.")
		}
		return false
	}
	if json.Unmarshal(o.fields[strings.ToLower(name)], into) != nil {
		o.faults.add(o.at(name), "The value must be "+want+".")
		return false
	}
	return true
}

func (o *object) text(name string, required bool) (s string) {
	if o.get(name, "a string", required, &s) && required && strings.TrimSpace(s) == "" {
		o.faults.add(o.at(name), "The field is required.")
	}
	return s
}

func (o *object) flag(name string, required bool) (b bool) {
	o.get(name, "a boolean", required, &b)
	return b
}

func (o *object) number(name string) (n int64) {
	o.get(name, "an integer", false, &n)
	return n
}

func (o *object) texts(name string) (list []string) {
	o.get(name, "an array of strings", false, &list)
	return list
}

// child reads a nested object; nil where it is absent.
func (o *object) child(name string, required bool, known ...string) *object {
	var raw json.RawMessage
	if !o.get(name, "an object", required, &raw) {
		return nil
	}
	return o.nested(o.at(name), raw, known)
}

// children reads an array of objects.
func (o *object) children(name string, required bool, known ...string) []*object {
	var raws []json.RawMessage
	if !o.get(name, "an array", required, &raws) {
		return nil
	}
	list := make([]*object, len(raws))
	for i, raw := range raws {
		list[i] = o.nested(fmt.Sprintf("%s[%d]", o.at(name), i), raw, known)
	}
	return list
}

func (o *object) nested(path string, raw json.RawMessage, known []string) *object {
	c := &object{path: path, faults: o.faults, strict: o.strict, schema: o.schema}
	c.read(raw, known)
	return c
}

// property is one item of properties[], its values checked against its type.
type property struct {
	name      string
	syntax    directory.Syntax
	values    []any // string, bool or json.Number
	operation int   // of an update: 1 clear, 2 replace, 3 append, 4 delete
	mask      *int64
}

var syntaxNumbers = map[int64]directory.Syntax{
	1: directory.DNSyntax, 2: directory.String, 6: directory.Boolean, 7: directory.Integer,
	8: directory.Binary, 9: directory.DateTime, 10: directory.LargeInteger, 14: directory.Timestamp,
}

// readProperty reads propertyName, propertyType and values (page, "properties array").
func (a *API) readProperty(o *object) property {
	p := property{name: o.text("propertyName", true), syntax: a.readSyntax(o), operation: 2}
	var raws []json.RawMessage
	if !o.get("values", "an array", true, &raws) {
		return p
	}
	for i, raw := range raws {
		value, fault := readValue(raw, p.syntax)
		if fault != "" {
			o.faults.add(fmt.Sprintf("%s[%d]", o.at("values"), i), fault)
			continue
		}
		p.values = append(p.values, value)
	}
	return p
}

func (a *API) readSyntax(o *object) directory.Syntax {
	const field = "propertyType"
	if !o.has(field) {
		o.get(field, "", true, nil)
		return ""
	}
	raw := o.fields[strings.ToLower(field)]
	var name string
	var number int64
	switch {
	case json.Unmarshal(raw, &name) == nil:
		for _, syntax := range syntaxNumbers {
			if strings.EqualFold(string(syntax), name) {
				return syntax
			}
		}
	case json.Unmarshal(raw, &number) == nil && a.world.Switches.On(switches.AdaxesTypeNumbers):
		if syntax, ok := syntaxNumbers[number]; ok {
			return syntax
		}
	}
	o.faults.add(o.at(field), "The value is not a property type.")
	return ""
}

// readValue checks one value: its JSON type follows the property's type.
func readValue(raw json.RawMessage, syntax directory.Syntax) (value any, fault string) {
	switch syntax {
	case "":
		return nil, "" // the type is at fault, not the value
	case directory.Boolean:
		var b bool
		if string(raw) == "null" || json.Unmarshal(raw, &b) != nil {
			return nil, "The value must be a boolean."
		}
		return b, ""
	case directory.Integer, directory.LargeInteger:
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil || syntax == directory.Integer && (n < math.MinInt32 || n > math.MaxInt32) {
			return nil, "The value must be an integer."
		}
		return json.Number(raw), ""
	}
	var s string
	if string(raw) == "null" || json.Unmarshal(raw, &s) != nil {
		return nil, "The value must be a string."
	}
	switch syntax {
	case directory.DNSyntax:
		if _, err := directory.SplitDN(s); err != nil {
			return nil, "The value must be a distinguished name."
		}
	case directory.Binary:
		if _, err := base64.StdEncoding.DecodeString(s); err != nil {
			return nil, "The value must be a Base64-encoded string."
		}
	case directory.DateTime, directory.Timestamp:
		if _, err := time.Parse(time.RFC3339, s); err != nil {
			return nil, "The value must be an ISO 8601 time with an offset."
		}
	}
	return s, ""
}
