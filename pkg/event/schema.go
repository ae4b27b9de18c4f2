package event

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/mailwright/mailwright/schemas"
)

// SchemaURI is the $id of the schema of a type's data, and the dataschema of its events.
func SchemaURI(eventType string) string { return schemas.BaseURI + eventType + ".json" }

// compiled holds the schema of every type. The schemas are part of the program, so one that
// does not compile is a programming error.
var compiled = sync.OnceValue(func() map[string]*jsonschema.Schema {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	files, err := fs.Glob(schemas.FS, "*.json")
	if err != nil {
		panic(err)
	}
	for _, name := range files {
		raw, err := schemas.FS.ReadFile(name)
		if err != nil {
			panic(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			panic(fmt.Sprintf("schema %s: %v", name, err))
		}
		if err := c.AddResource(schemas.BaseURI+name, doc); err != nil {
			panic(fmt.Sprintf("schema %s: %v", name, err))
		}
	}
	out := map[string]*jsonschema.Schema{}
	for _, t := range slices.Concat(CommandTypes(), ResultTypes()) {
		out[t] = c.MustCompile(SchemaURI(t))
	}
	return out
})

// Check holds an event's data against the schema of its type and returns every fault, in the order
// of their fields; none means valid.
func Check(e Event) []Fault { return Read(e).Check() }

// Check is [Check] of an event that has been read.
func (d Document) Check() []Fault {
	e := d.Event
	schema, ok := compiled()[e.Type()]
	if !ok {
		return []Fault{{Field: "type", Problem: fmt.Sprintf("%q is not a type that this system knows; asyncapi.yaml lists them", clip(e.Type()))}}
	}
	if ct := e.DataContentType(); ct != "" && !strings.Contains(ct, "json") {
		return []Fault{{Field: "datacontenttype", Problem: "must be application/json"}}
	}
	if len(e.Data()) == 0 {
		return []Fault{{Field: "data", Problem: "is missing; it is required"}}
	}
	if d.err != nil {
		return []Fault{{Field: "data", Problem: "is not JSON"}}
	}
	return faults(schema.Validate(d.data))
}

func faults(err error) []Fault {
	if err == nil {
		return nil
	}
	v, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return []Fault{{Field: "data", Problem: "can not be held against its schema"}}
	}
	return ArrangeFaults(leaves(v))
}

// mostFaults is how many are told one by one: the answer must fit into a message.
const mostFaults = 100

func bounded(list []Fault) []Fault {
	if len(list) <= mostFaults {
		return list
	}
	return append(list[:mostFaults:mostFaults], Fault{Field: "data", Problem: fmt.Sprintf("has %d faults more", len(list)-mostFaults)})
}

// leaves walks to the errors that name a single field. The alternatives of an anyOf are one fault.
func leaves(v *jsonschema.ValidationError) []Fault {
	field := pointer(v.InstanceLocation)
	switch k := v.ErrorKind.(type) {
	case *kind.AnyOf:
		return []Fault{{Field: field, Problem: "needs one of: " + alternatives(v)}}
	case *kind.Required:
		return each(k.Missing, field, "is missing; it is required")
	case *kind.AdditionalProperties:
		return each(k.Properties, field, "is not known here; remove it or check its spelling")
	case *kind.DependentRequired:
		return each(k.Missing, field, "is missing; it is required together with "+k.Prop)
	}
	if len(v.Causes) > 0 {
		var list []Fault
		for _, c := range v.Causes {
			list = append(list, leaves(c)...)
		}
		return list
	}
	return []Fault{{Field: field, Problem: problem(v.ErrorKind)}}
}

func each(names []string, parent, problem string) []Fault {
	list := make([]Fault, len(names))
	for i, n := range names {
		list[i] = Fault{Field: parent + pointer([]string{n}), Problem: problem}
	}
	return list
}

func alternatives(v *jsonschema.ValidationError) string {
	var names []string
	for _, c := range v.Causes {
		for _, f := range leaves(c) {
			names = append(names, strings.TrimPrefix(f.Field, pointer(v.InstanceLocation)+"/"))
		}
	}
	return strings.Join(names, ", ")
}

// problem words a fault without quoting the value that caused it, which may be a secret.
func problem(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("must be %s, not %s", strings.Join(k.Want, " or "), k.Got)
	case *kind.Enum:
		return "must be one of " + list(k.Want)
	case *kind.Const:
		return fmt.Sprintf("must be %v", k.Want)
	case *kind.Format:
		return "must be a valid " + k.Want
	case *kind.Pattern:
		return "must match the pattern " + k.Want
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %d items", k.Want)
	case *kind.MinProperties:
		return fmt.Sprintf("must have at least %d members", k.Want)
	case *kind.UniqueItems:
		return fmt.Sprintf("items %d and %d are equal; each may stand once", k.Duplicates[0], k.Duplicates[1])
	case *kind.Minimum:
		return "must be at least " + k.Want.RatString()
	case *kind.Maximum:
		return "must be at most " + k.Want.RatString()
	default:
		return "breaks the schema (" + strings.Join(k.KeywordPath(), "/") + ")"
	}
}

func list(values []any) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprint(v)
	}
	return strings.Join(texts, ", ")
}

// pointer joins a path to a JSON Pointer (RFC 6901).
func pointer(path []string) string {
	var b strings.Builder
	for _, p := range path {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(clip(p)))
	}
	return b.String()
}
