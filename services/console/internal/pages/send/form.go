package send

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/schemas"
)

// schema is what the form needs of a JSON Schema.
type schema struct {
	Title       string             `json:"title"`
	Description string             `json:"description"`
	Type        any                `json:"type"`
	Enum        []any              `json:"enum"`
	Properties  map[string]*schema `json:"properties"`
	Items       *schema            `json:"items"`
	Required    []string           `json:"required"`
	WriteOnly   bool               `json:"writeOnly"`
	MaxLength   int                `json:"maxLength"`
	AllOf       []struct {
		Then *schema `json:"then"`
	} `json:"allOf"`
}

// readSchema reads the schema of a type's data.
func readSchema(eventType string) (*schema, error) {
	raw, err := schemas.FS.ReadFile(eventType + ".json")
	if err != nil {
		return nil, err
	}
	var s schema
	return &s, json.Unmarshal(raw, &s)
}

// Kinds of a [field].
const (
	asText    = "text"
	asSecret  = "secret"
	asNumber  = "number"
	asChoice  = "choice"
	asYesNo   = "yesno"
	asLines   = "lines" // a list of texts, one a line
	asObject  = "object"
	asObjects = "objects" // a list of objects, a fieldset each
)

// field is a field of the form.
type field struct {
	// Path is the JSON Pointer of the value, and the name of the input.
	Path        string
	Label, Hint string
	Kind        string
	Required    bool
	MaxLength   int
	Choices     []string
	Value       string
	Fields      []field // of an object
	// Rows are those of a list of objects.
	Rows []field
}

// secretSuffix follows the path of a list whose value may be a secret that is typed in a field of
// its own.
const secretSuffix = "/secret"

// spareRows is how many empty rows a list of objects has.
const spareRows = 2

// fieldsOf makes the fields of an object with a value; those that must be given come first.
func fieldsOf(s *schema, path string, value map[string]any) []field {
	names := slices.SortedFunc(maps.Keys(s.Properties), func(a, b string) int {
		if x, y := slices.Contains(s.Required, a), slices.Contains(s.Required, b); x != y {
			return map[bool]int{true: -1, false: 1}[x]
		}
		return strings.Compare(a, b)
	})
	var list []field
	for _, name := range names {
		f := fieldOf(s.Properties[name], path+"/"+name, name, value[name])
		f.Required = slices.Contains(s.Required, name)
		list = append(list, f)
		if mayBeSecret(s, name) {
			list = append(list, field{
				Path: path + "/" + name + secretSuffix, Label: name + ", as a secret", Kind: asSecret,
				Hint: "In place of the values, where the name is that of a password.",
			})
		}
	}
	return list
}

// mayBeSecret reports whether a condition of a schema makes a member a secret.
func mayBeSecret(s *schema, name string) bool {
	for _, c := range s.AllOf {
		if c.Then != nil && c.Then.Properties[name] != nil && c.Then.Properties[name].WriteOnly {
			return true
		}
	}
	return false
}

func fieldOf(s *schema, path, name string, value any) field {
	f := field{Path: path, Label: name, Hint: s.Description, MaxLength: s.MaxLength, Kind: asText, Value: textOf(value)}
	switch {
	case s.WriteOnly:
		f.Kind, f.Value = asSecret, ""
	case len(s.Enum) > 0:
		f.Kind = asChoice
		for _, each := range s.Enum {
			if text, ok := each.(string); ok {
				f.Choices = append(f.Choices, text)
			}
		}
	case s.Type == "boolean":
		f.Kind = asYesNo
	case s.Type == "integer":
		f.Kind = asNumber
	case s.Type == "object":
		object, _ := value.(map[string]any)
		f.Kind, f.Fields = asObject, fieldsOf(s, path, object)
	case s.Type == "array" && s.Items != nil && s.Items.Type == "object":
		f.Kind, f.Rows = asObjects, rowsOf(s, path, value)
	case s.Type == "array":
		f.Kind = asLines
	}
	return f
}

// rowsOf makes a row of each object of a list, and a few empty ones.
func rowsOf(s *schema, path string, value any) (rows []field) {
	list, _ := value.([]any)
	for i := range len(list) + spareRows {
		var object map[string]any
		if i < len(list) {
			object, _ = list[i].(map[string]any)
		}
		at := path + "/" + strconv.Itoa(i)
		rows = append(rows, field{Path: at, Label: strconv.Itoa(i + 1), Kind: asObject, Fields: fieldsOf(s.Items, at, object)})
	}
	return rows
}

// textOf is a value as its field shows it. What was redacted is left out: it has to be typed again.
func textOf(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		if v == secret.Redacted {
			return ""
		}
		return v
	case []any:
		var lines []string
		for _, each := range v {
			if text := textOf(each); text != "" {
				lines = append(lines, text)
			}
		}
		return strings.Join(lines, "\n")
	case map[string]any:
		return ""
	default:
		return fmt.Sprint(v)
	}
}

// dataFrom makes the data of a command of a form. Fields that are empty are left out.
func dataFrom(s *schema, form url.Values) map[string]any {
	data, _ := objectFrom(s, "", form)
	return data
}

func objectFrom(s *schema, path string, form url.Values) (object map[string]any, given bool) {
	object = map[string]any{}
	for name, member := range s.Properties {
		at := path + "/" + name
		if v, ok := valueFrom(member, at, form); ok {
			object[name] = v
		}
		if hidden := form.Get(at + secretSuffix); hidden != "" && mayBeSecret(s, name) {
			object[name] = []any{hidden}
		}
	}
	return object, len(object) > 0
}

func valueFrom(s *schema, path string, form url.Values) (any, bool) {
	switch {
	case s.Type == "object":
		return objectFrom(s, path, form)
	case s.Type == "array" && s.Items != nil && s.Items.Type == "object":
		var list []any
		for i := range maxRows {
			if object, given := objectFrom(s.Items, path+"/"+strconv.Itoa(i), form); given {
				list = append(list, object)
			}
		}
		return list, len(list) > 0
	case s.Type == "array":
		return linesFrom(s, form.Get(path), form.Get(strings.TrimSuffix(path, "/values")+"/propertyType"))
	}
	text := form.Get(path)
	if !s.WriteOnly {
		text = strings.TrimSpace(text)
	}
	if text == "" {
		return nil, false
	}
	return scalar(s.Type, text), true
}

// maxRows bounds the rows of a list of objects.
const maxRows = 200

// linesFrom makes a list of lines. Adaxes' type of a property says whether its values are numbers
// or booleans.
func linesFrom(s *schema, text, propertyType string) (any, bool) {
	of := any("string")
	if _, single := s.Items.Type.(string); s.Items != nil && single {
		of = s.Items.Type
	} else if t, ok := map[string]string{"Boolean": "boolean", "Integer": "integer"}[propertyType]; ok {
		of = t
	}
	var list []any
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, scalar(of, line))
		}
	}
	return list, len(list) > 0
}

// scalar is a text as a value of a type; as text if it is none, so that the check can say so.
func scalar(of any, text string) any {
	switch of {
	case "boolean":
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	case "integer", "number":
		if _, err := strconv.ParseInt(text, 10, 64); err == nil {
			return json.Number(text)
		}
	}
	return text
}

// example is the data of the example of a command type.
func example(eventType string) map[string]any {
	raw, err := schemas.FS.ReadFile("examples/" + eventType + ".json")
	if err != nil {
		return nil
	}
	e, err := event.Decode(nil, raw)
	if err != nil {
		return nil
	}
	var data map[string]any
	_ = json.Unmarshal(event.Redact(e.Data()), &data) // of a schema's example: it is an object
	return data
}
