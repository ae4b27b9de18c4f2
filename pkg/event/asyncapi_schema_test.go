//go:build asyncapi

package event_test

import (
	"os"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestAsyncAPIFitsItsOwnSchema validates asyncapi.yaml against AsyncAPI's JSON Schema, which
// scripts/asyncapi has downloaded to the file that ASYNCAPI_SCHEMA names. The schema must refuse
// each broken document, so that a schema that takes anything is found.
func TestAsyncAPIFitsItsOwnSchema(t *testing.T) {
	file, err := os.Open(os.Getenv("ASYNCAPI_SCHEMA"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	schema, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	const at = "http://asyncapi.com/definitions/3.0.0/asyncapi.json"
	c := jsonschema.NewCompiler()
	if err := c.AddResource(at, schema); err != nil {
		t.Fatal(err)
	}
	own := c.MustCompile(at)
	if err := own.Validate(readAsyncAPI(t)); err != nil {
		t.Error(err)
	}
	for name, broken := range brokenDocuments(t) {
		// That headers are an object stands in the specification's text, not in its schema.
		if own.Validate(broken) == nil && name != "headers of no object" {
			t.Errorf("AsyncAPI's schema takes a document with %s", name)
		}
	}
}
