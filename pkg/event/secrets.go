package event

import (
	"encoding/json"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mailwright/mailwright/pkg/secret"
)

// hidden stands in the place of a secret value. Whoever marshals it gets a mark.
type hidden struct{ value any }

// MarshalJSON implements json.Marshaler.
func (hidden) MarshalJSON() ([]byte, error) { return json.Marshal(secret.Redacted) }

// hide puts a [hidden] in the place of each secret, in the value itself: of what the schema marks
// writeOnly, and of what has the name of a secret, which is the second net where data does not fit
// its schema or no schema is known.
func (s *typeSchema) hide(v any) any {
	if s == nil || !s.hasSecrets {
		return hide(v, nil)
	}
	return hide(v, []*jsonschema.Schema{s.schema})
}

func hide(v any, schemas []*jsonschema.Schema) any {
	schemas = applying(schemas, v)
	for _, s := range schemas {
		if s.WriteOnly {
			return hidden{v}
		}
	}
	switch v := v.(type) {
	case []any:
		items := itemSchemas(schemas)
		for i := range v {
			v[i] = hide(v[i], items)
		}
	case map[string]any:
		property := secretProperty(v)
		for name, member := range v {
			if isSecret(name, property) {
				v[name] = hidden{member}
			} else {
				v[name] = hide(member, memberSchemas(schemas, name))
			}
		}
	}
	return v
}

// applying lists the schemas that hold for a value: those given, and what they refer to by $ref,
// allOf and if.
func applying(schemas []*jsonschema.Schema, v any) (all []*jsonschema.Schema) {
	for _, s := range schemas {
		if s == nil {
			continue
		}
		further := append([]*jsonschema.Schema{s.Ref}, s.AllOf...)
		if s.If != nil {
			if s.If.Validate(v) == nil {
				further = append(further, s.Then)
			} else {
				further = append(further, s.Else)
			}
		}
		all = append(append(all, s), applying(further, v)...)
	}
	return all
}

func itemSchemas(schemas []*jsonschema.Schema) (items []*jsonschema.Schema) {
	for _, s := range schemas {
		if s.Items2020 != nil {
			items = append(items, s.Items2020)
		}
	}
	return items
}

func memberSchemas(schemas []*jsonschema.Schema, name string) (members []*jsonschema.Schema) {
	for _, s := range schemas {
		if m := s.Properties[name]; m != nil {
			members = append(members, m)
		}
	}
	return members
}

// secretProperty recognises {"propertyName": "unicodePwd", "values": […]} and {"name": …}.
func secretProperty(m map[string]any) bool {
	for name, v := range m {
		text, _ := v.(string)
		if namesProperty(name) && secretName(text) {
			return true
		}
	}
	return false
}

func namesProperty(member string) bool {
	return strings.EqualFold(member, "propertyName") || strings.EqualFold(member, "name")
}

// isSecret reports whether a member is one by its name, or is what an object says of a secret
// property.
func isSecret(name string, property bool) bool {
	return secretName(name) || (property && !namesProperty(name) && !strings.EqualFold(name, "propertyType"))
}

func secretName(name string) bool {
	n := strings.ToLower(name)
	// data_base64 is a structured event's data in disguise.
	return strings.Contains(n, "password") || strings.Contains(n, "pwd") || n == base64Member
}

// collect lists the texts in what is hidden.
func collect(v any, within bool, found []string) []string {
	switch v := v.(type) {
	case hidden:
		found = collect(v.value, true, found)
	case string:
		if within && v != "" {
			found = append(found, v)
		}
	case []any:
		for _, item := range v {
			found = collect(item, within, found)
		}
	case map[string]any:
		for _, member := range v {
			found = collect(member, within, found)
		}
	}
	return found
}

// MayHoldSecrets reports whether the schema of a type's data marks something as secret.
func MayHoldSecrets(eventType string) bool {
	s := compiled().types[eventType]
	return s != nil && s.hasSecrets
}

// sealedHead begins every sealed value, and nothing else: see common.json.
const sealedHead = "-----BEGIN AGE ENCRYPTED FILE-----"

// IsSealed reports whether a text has the form of a sealed value: see package sealed.
func IsSealed(text string) bool { return strings.HasPrefix(text, sealedHead) }
