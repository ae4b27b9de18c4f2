package event

import (
	"bytes"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/mailwright/mailwright/schemas"
)

// SchemaURI is the $id of the schema of a type's data, and the dataschema of its events.
func SchemaURI(eventType string) string { return schemas.BaseURI + eventType + ".json" }

// contract is the compiled schemas.
type contract struct {
	envelope *jsonschema.Schema
	types    map[string]*typeSchema
}

// typeSchema is the schema of one type's data.
type typeSchema struct {
	schema     *jsonschema.Schema
	hasSecrets bool // something in it is writeOnly
}

// compiled holds the schemas. They are part of the program, so one that does not compile is a
// programming error.
var compiled = sync.OnceValue(func() contract {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	c.UseRegexpEngine(boundedRegexp)
	files, err := fs.Glob(schemas.FS, "*.json")
	if err != nil {
		panic(err)
	}
	for _, name := range files {
		addSchema(c, name)
	}
	out := contract{envelope: c.MustCompile(schemas.BaseURI + "cloudevent.json"), types: map[string]*typeSchema{}}
	for _, t := range Types() {
		s := c.MustCompile(SchemaURI(t))
		out.types[t] = &typeSchema{schema: s, hasSecrets: marksSecrets(s, map[*jsonschema.Schema]bool{})}
	}
	return out
})

func addSchema(c *jsonschema.Compiler, name string) {
	raw, err := schemas.FS.ReadFile(name)
	if err != nil {
		panic(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err == nil {
		err = c.AddResource(schemas.BaseURI+name, doc)
	}
	if err != nil {
		panic(fmt.Sprintf("schema %s: %v", name, err))
	}
}

// maxPatternText is the longest text that is matched with a pattern, in bytes. A schema that has a
// pattern has a maxLength below; the library tries both.
const maxPatternText = 16 << 10

// shortRegexp matches no text that is longer than maxPatternText.
type shortRegexp struct{ pattern *regexp.Regexp }

func (r shortRegexp) String() string { return r.pattern.String() }

func (r shortRegexp) MatchString(s string) bool {
	return len(s) <= maxPatternText && r.pattern.MatchString(s)
}

func boundedRegexp(pattern string) (jsonschema.Regexp, error) {
	r, err := regexp.Compile(pattern)
	return shortRegexp{r}, err
}

// marksSecrets looks for writeOnly in a schema and in what it refers to.
func marksSecrets(s *jsonschema.Schema, seen map[*jsonschema.Schema]bool) bool {
	if s == nil || seen[s] {
		return false
	}
	seen[s] = true
	below := append([]*jsonschema.Schema{s.Ref, s.If, s.Then, s.Else, s.Items2020}, s.AllOf...)
	for _, member := range s.Properties {
		below = append(below, member)
	}
	return s.WriteOnly || slices.ContainsFunc(below, func(b *jsonschema.Schema) bool { return marksSecrets(b, seen) })
}

// check holds data against the schema. panicked is what the library panicked with; "" as a rule.
func (s *typeSchema) check(data any) (list []Fault, panicked string) {
	defer func() {
		if p := recover(); p != nil {
			list, panicked = []Fault{{Field: "data", Problem: "cannot be checked"}}, fmt.Sprint(p)
		}
	}()
	if list := tooLong(nil, data, s.schema, nil); len(list) > 0 {
		return list, ""
	}
	return faults(s.schema.Validate(data)), ""
}

// tooLong finds the arrays that have more items than their schemas allow. The library would look at
// each of the items first, however many they are.
func tooLong(path []string, v any, s *jsonschema.Schema, found []Fault) []Fault {
	for s != nil && s.Ref != nil {
		s = s.Ref
	}
	if s == nil {
		return found
	}
	switch v := v.(type) {
	case []any:
		if s.MaxItems != nil && len(v) > *s.MaxItems {
			return append(found, Fault{Field: pointer(path), Problem: problem(&kind.MaxItems{Got: len(v), Want: *s.MaxItems})})
		}
		for i, item := range v {
			found = tooLong(append(path, strconv.Itoa(i)), item, s.Items2020, found)
		}
	case map[string]any:
		for name, member := range v {
			found = tooLong(append(path, name), member, s.Properties[name], found)
		}
	}
	return found
}

// envelopeFaults holds attributes against cloudevent.json. The fields are their names behind a
// slash.
func envelopeFaults(attributes map[string]any) []Fault {
	return faults(compiled().envelope.Validate(attributes))
}

// Check holds an event's data against the schema of its type and returns every fault, in the order
// of their fields; none means valid.
func Check(e Event) []Fault { return Read(e).Check() }
