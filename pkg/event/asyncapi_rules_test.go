package event_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/schemas"
)

// readAsyncAPI reads asyncapi.yaml as JSON values.
func readAsyncAPI(t *testing.T) map[string]any {
	t.Helper()
	raw, err := schemas.FS.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestAsyncAPIKeepsTheRulesOfAsyncAPI holds asyncapi.yaml against the rules of AsyncAPI 3.0.0: its
// structure by testdata/asyncapi-3.0.json, which says where it comes from, and below what a schema
// cannot say.
func TestAsyncAPIKeepsTheRulesOfAsyncAPI(t *testing.T) {
	t.Parallel()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	rules := c.MustCompile("testdata/asyncapi-3.0.json")
	doc := readAsyncAPI(t)
	if err := rules.Validate(doc); err != nil {
		t.Error(err)
	}
	for name, broken := range brokenDocuments(t) {
		if rules.Validate(broken) == nil {
			t.Errorf("the rules take a document with %s", name)
		}
	}
	eachReference(doc, "#", func(at, ref string) {
		if _, err := resolve(doc, ref); err != nil {
			t.Errorf("%s: $ref %s: %v", at, ref, err)
		}
	})
	for name, channel := range member(doc, "channels") {
		checkParameters(t, name, channel.(map[string]any))
	}
}

// brokenDocuments are documents with one fault each.
func brokenDocuments(t *testing.T) map[string]any {
	return map[string]any{
		"another version":      changed(readAsyncAPI(t), "asyncapi", "2.6.0"),
		"an unknown field":     changed(readAsyncAPI(t), "topics", map[string]any{}),
		"no info":              changed(readAsyncAPI(t), "info", nil),
		"an unknown action":    changed(readAsyncAPI(t), "operations/publishDeadLetter/action", "publish"),
		"a channel as a text":  changed(readAsyncAPI(t), "operations/publishDeadLetter/channel", "deadLetters"),
		"headers of no object": changed(readAsyncAPI(t), "components/messageTraits/command/headers/schema/type", "string"),
	}
}

// changed sets what stands at a path; nil takes it out.
func changed(doc map[string]any, path string, value any) any {
	at := doc
	names := strings.Split(path, "/")
	for _, name := range names[:len(names)-1] {
		at = at[name].(map[string]any)
	}
	if last := names[len(names)-1]; value == nil {
		delete(at, last)
	} else {
		at[last] = value
	}
	return doc
}

func member(doc map[string]any, name string) map[string]any {
	m, _ := doc[name].(map[string]any)
	return m
}

// eachReference calls a function for every $ref below a value.
func eachReference(v any, at string, found func(at, ref string)) {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			found(at, ref)
		}
		for name, below := range v {
			eachReference(below, at+"/"+name, found)
		}
	case []any:
		for i, below := range v {
			eachReference(below, fmt.Sprintf("%s/%d", at, i), found)
		}
	}
}

// resolve finds what a $ref refers to, in the document or in one of the schemas beside it.
func resolve(doc map[string]any, ref string) (any, error) {
	file, pointer, _ := strings.Cut(ref, "#")
	var at any = doc
	if file != "" {
		raw, err := schemas.FS.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &at); err != nil {
			return nil, err
		}
	}
	for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if name == "" {
			continue
		}
		m, _ := at.(map[string]any)
		if at = m[name]; at == nil {
			return nil, fmt.Errorf("there is no %s", name)
		}
	}
	return at, nil
}

var placeholder = regexp.MustCompile(`\{([^}]+)\}`)

// checkParameters compares the expressions in a channel's address with its parameters.
func checkParameters(t *testing.T, name string, channel map[string]any) {
	t.Helper()
	var used []string
	for _, m := range placeholder.FindAllStringSubmatch(channel["address"].(string), -1) {
		used = append(used, m[1])
	}
	slices.Sort(used)
	if diff := cmp.Diff(used, slices.Sorted(maps.Keys(member(channel, "parameters")))); diff != "" {
		t.Errorf("channel %s: address (-) and parameters (+):\n%s", name, diff)
	}
}

// TestAsyncAPIHasEveryStreamThatOthersMayRead: PARKED is the services' own, and RECIPIENTS holds no
// events.
func TestAsyncAPIHasEveryStreamThatOthersMayRead(t *testing.T) {
	t.Parallel()
	doc := readAsyncAPI(t)
	var streams []string
	for _, channel := range member(doc, "channels") {
		streams = append(streams, channel.(map[string]any)["x-jetstream-stream"].(string))
	}
	slices.Sort(streams)
	want := slices.Sorted(slices.Values([]string{topology.StreamCommands, topology.StreamEvents, topology.StreamMailboxes, topology.StreamDrift, topology.StreamDead, topology.StreamAudit}))
	if diff := cmp.Diff(want, slices.Compact(streams)); diff != "" {
		t.Errorf("(-want +channels):\n%s", diff)
	}
	used := map[string]bool{}
	for _, operation := range member(doc, "operations") {
		used[operation.(map[string]any)["channel"].(map[string]any)["$ref"].(string)] = true
	}
	for name := range member(doc, "channels") {
		if !used["#/channels/"+name] {
			t.Errorf("no operation has the channel %s", name)
		}
	}
}

// TestAsyncAPIHeadersAreTheEnvelopes: every attribute of cloudevent.json but the data is a header
// of some message.
func TestAsyncAPIHeadersAreTheEnvelopes(t *testing.T) {
	t.Parallel()
	raw, err := schemas.FS.ReadFile("cloudevent.json")
	if err != nil {
		t.Fatal(err)
	}
	var envelope struct{ Properties map[string]any }
	if err := json.Unmarshal(raw, &envelope); err != nil {
		t.Fatal(err)
	}
	delete(envelope.Properties, "data")
	delete(envelope.Properties, "data_base64")
	got := map[string]any{}
	for _, trait := range member(member(readAsyncAPI(t), "components"), "messageTraits") {
		schema := member(member(trait.(map[string]any), "headers"), "schema")
		for name, property := range member(schema, "properties") {
			attribute := strings.TrimPrefix(name, "ce-")
			got[attribute] = true
			if ref := property.(map[string]any)["$ref"]; ref != "cloudevent.json#/properties/"+attribute {
				t.Errorf("%s refers to %v", name, ref)
			}
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(envelope.Properties)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("(-cloudevent.json +headers):\n%s", diff)
	}
}
