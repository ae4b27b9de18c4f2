package event_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/schemas"
)

// TestEverySchemaIsBounded: whoever reads a message knows beforehand how much there can be of it.
func TestEverySchemaIsBounded(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(schemas.FS, "*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		raw, err := schemas.FS.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, lack := range unbounded(file, decode(t, raw)) {
			t.Error(lack)
		}
	}
}

// maxPatternLength is the longest text that a pattern may be tried on, in characters.
const maxPatternLength = 4096

// unbounded lists what a schema, or one that it contains, lacks.
func unbounded(at string, schema any) (lacks []string) {
	switch s := schema.(type) {
	case []any:
		for i, item := range s {
			lacks = append(lacks, unbounded(fmt.Sprintf("%s/%d", at, i), item)...)
		}
	case map[string]any:
		for name, member := range s {
			if name != "enum" && name != "const" {
				lacks = append(lacks, unbounded(at+"/"+name, member)...)
			}
		}
		for _, bound := range bounds(s) {
			if _, ok := s[bound].(float64); !ok {
				lacks = append(lacks, at+" lacks "+bound)
			}
		}
		if longest, _ := s["maxLength"].(float64); s["pattern"] != nil && longest > maxPatternLength {
			lacks = append(lacks, fmt.Sprintf("%s has a pattern on texts of up to %v characters", at, longest))
		}
	}
	return lacks
}

// bounds names what a schema of this type must have.
func bounds(schema map[string]any) (names []string) {
	if schema["enum"] != nil || schema["const"] != nil {
		return nil
	}
	kinds := fmt.Sprint(schema["type"])
	for kind, bound := range map[string][]string{"string": {"maxLength"}, "array": {"maxItems"}, "integer": {"minimum", "maximum"}, "number": {"minimum", "maximum"}} {
		if slices.Contains(strings.Fields(strings.Trim(kinds, "[]")), kind) {
			names = append(names, bound...)
		}
	}
	return names
}
