package event

import (
	"encoding/json"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// Excerpt is the data of a command with its secrets replaced, for dead letters and people. It is
// nil where the data does not fit the schema of its type: only there is it known what is secret.
func Excerpt(d Document) json.RawMessage {
	// nil: the envelope has a fault, so that the data was not read
	if len(d.faults) > 0 || d.data == nil {
		return nil
	}
	out, err := json.Marshal(d.data)
	if err != nil {
		return nil
	}
	return out
}

// Shape tells of a body what can be told without a value of it.
type Shape struct {
	// Kind is the type of the JSON value: object, array, string, number, boolean or null. "" where
	// the body is not JSON.
	Kind string `json:"kind,omitempty"`
	// Size in bytes.
	Size int `json:"size"`
	// Members are the names of an object's members, in alphabetical order: at most 50, and of those
	// names only that look like one.
	Members []string `json:"members,omitempty"`
}

const maxShapeMembers = 50

// plainName is what a member's name looks like. What does not may be a value in the wrong place.
var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,63}$`)

// ShapeOf looks at a body of which nothing is known.
func ShapeOf(body []byte) Shape {
	s := Shape{Size: len(body)}
	v, faults := parse(withoutMark(body), maxValues)
	if len(faults) > 0 {
		return s
	}
	switch v := v.(type) {
	case map[string]any:
		s.Kind, s.Members = "object", memberNames(v)
	case []any:
		s.Kind = "array"
	case string:
		s.Kind = "string"
	case json.Number:
		s.Kind = "number"
	case bool:
		s.Kind = "boolean"
	case nil:
		s.Kind = "null"
	}
	return s
}

// Redact returns a JSON object with what may be a secret replaced: a member whose name contains
// "password" or "pwd", what an object says of a directory property with such a name, and text that
// is JSON itself. Anything but an object becomes nil. It knows no schema; where that matters,
// [Excerpt] does. The result has its members in alphabetical order.
func Redact(data []byte) []byte {
	v, faults := parse(data, math.MaxInt)
	if _, isObject := v.(map[string]any); !isObject || len(faults) > 0 {
		return nil
	}
	out, err := json.Marshal(hideEncoded(hide(v, nil)))
	if err != nil {
		return nil
	}
	return out
}

// hideEncoded hides texts that are JSON: data that a publisher encoded twice.
func hideEncoded(v any) any {
	switch v := v.(type) {
	case string:
		if strings.ContainsAny(v, "{[") && json.Valid([]byte(v)) {
			return hidden{v}
		}
	case []any:
		for i := range v {
			v[i] = hideEncoded(v[i])
		}
	case map[string]any:
		for name, member := range v {
			v[name] = hideEncoded(member)
		}
	}
	return v
}

// Secrets lists the secret texts in JSON data: what Redact would replace.
func Secrets(data []byte) []string {
	v, _ := parse(data, math.MaxInt)
	return collect(hide(v, nil), false, nil)
}

func memberNames(object map[string]any) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if plainName.MatchString(name) && len(names) < maxShapeMembers {
			names = append(names, name)
		}
	}
	return names
}
