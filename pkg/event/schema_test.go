package event_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/schemas"
)

// dataTypes gives the Go type of every event type's data.
func dataTypes() map[string]any {
	types := map[string]any{
		event.TypeObjectCreate: event.ObjectCreateData{}, event.TypeBusinessUserCreate: event.BusinessUserCreateData{},
		event.TypeMailboxCreate: event.MailboxCreateData{}, event.TypeDelegationSet: event.DelegationSetData{},
		event.TypeDelegationChange: event.DelegationChangeData{}, event.TypeDelegationRead: event.DelegationReadData{},
		event.TypeFolderGrant: event.FolderGrantData{}, event.TypeFolderRevoke: event.FolderRevokeData{}, event.TypeFolderChanged: event.FolderChangedData{},
		event.TypeFolderRead: event.FolderReadData{}, event.TypeFolderObserved: event.FolderObservedData{},
		event.TypeInventorySync: event.InventorySyncData{}, event.TypeOperationCancel: event.OperationCancelData{}, event.TypeCancelCompleted: event.CancelCompletedData{},
		event.TypeObjectCreated: event.ObjectCreatedData{}, event.TypeBusinessUserCreated: event.BusinessUserCreatedData{},
		event.TypeMailboxCreated: event.MailboxCreatedData{}, event.TypeDelegationChanged: event.DelegationChangedData{},
		event.TypeDelegationObserved: event.DelegationObservedData{}, event.TypeSyncCompleted: event.SyncCompletedData{}, event.TypeSyncProgress: event.SyncProgressData{},
		event.TypeMailboxObserved: event.MailboxObservedData{}, event.TypeMailboxMissing: event.MailboxMissingData{}, event.TypeDelegationDrift: event.DelegationDriftData{}, event.TypeDeadLetter: event.DeadLetter{},
		event.TypeAuditIntended: event.AuditIntendedData{}, event.TypeAuditCompleted: event.AuditCompletedData{},
	}
	for _, d := range event.Domains() {
		types[event.StartedType(d)] = event.StartedData{}
		types[event.CancelledType(d)] = event.CancelledData{}
		types[event.PlannedType(d)] = event.PlannedData{}
		types[event.WaitingType(d)] = event.WaitingData{}
		types[event.UnknownType(d)] = event.UnknownData{}
		types[event.FailedType(d)] = event.FailedData{}
		types[event.RejectedType(d)] = event.RejectedData{}
	}
	return types
}

func TestEveryTypeHasSchemaExampleAndGoType(t *testing.T) {
	t.Parallel()
	want := slices.Sorted(slices.Values(event.Types()))
	var goTypes []string
	for name := range dataTypes() {
		goTypes = append(goTypes, name)
	}
	slices.Sort(goTypes)
	if diff := cmp.Diff(want, goTypes); diff != "" {
		t.Errorf("types without a Go type (-) or unknown (+):\n%s", diff)
	}
	for _, dir := range []string{".", "examples"} {
		var got []string
		entries, err := fs.ReadDir(schemas.FS, dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && strings.HasPrefix(name, event.Prefix) {
				got = append(got, name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: types without a file (-) or files without a type (+):\n%s", dir, diff)
		}
	}
}

func TestExamplesAreValidAndSurviveGo(t *testing.T) {
	t.Parallel()
	envelope := compileEnvelope(t)
	for name, zero := range dataTypes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := example(t, name)
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			if err := envelope.Validate(doc); err != nil {
				t.Errorf("envelope: %v", err)
			}
			e, err := event.Decode(nil, raw)
			if err != nil {
				t.Fatal(err)
			}
			if faults := event.Check(e); len(faults) > 0 {
				t.Errorf("data: %v", faults)
			}
			if e.Type() != name || e.DataSchema() != event.SchemaURI(name) {
				t.Errorf("type %q, dataschema %q", e.Type(), e.DataSchema())
			}
			v := reflect.New(reflect.TypeOf(zero)).Interface()
			d := json.NewDecoder(bytes.NewReader(e.Data()))
			d.DisallowUnknownFields()
			if err := d.Decode(v); err != nil {
				t.Fatalf("the Go type does not know a member: %v", err)
			}
			again, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decode(t, e.Data()), decode(t, again)); diff != "" {
				t.Errorf("lost or changed by the Go type (-example +Go):\n%s", diff)
			}
		})
	}
}

// TestEveryExampleOfACommandHasARecommendedKey: without one nobody can send the type without a key
// of their own, and the services take any key without the promised warning.
func TestEveryExampleOfACommandHasARecommendedKey(t *testing.T) {
	t.Parallel()
	for _, name := range event.CommandTypes() {
		e, err := event.Decode(nil, example(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if event.Key(e) == "" {
			t.Errorf("%s: Key (key.go) does not know the type", name)
		}
	}
}

// TestGoTypesAgreeWithSchemas walks each schema beside its Go type: the same members, the same
// JSON types, and optional members exactly where Go omits the zero value.
func TestGoTypesAgreeWithSchemas(t *testing.T) {
	t.Parallel()
	for name, zero := range dataTypes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := walker{t: t, docs: map[string]map[string]any{}}
			w.agree(name, reflect.TypeOf(zero), name+".json", w.doc(name+".json"))
		})
	}
}

type walker struct {
	t    *testing.T
	docs map[string]map[string]any
}

func (w walker) doc(file string) map[string]any {
	if d, ok := w.docs[file]; ok {
		return d
	}
	raw, err := schemas.FS.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	var d map[string]any
	if err := json.Unmarshal(raw, &d); err != nil {
		w.t.Fatal(err)
	}
	w.docs[file] = d
	return d
}

func (w walker) resolve(file string, s map[string]any) (string, map[string]any) {
	ref, ok := s["$ref"].(string)
	if !ok {
		return file, s
	}
	other, path, _ := strings.Cut(ref, "#")
	if other == "" {
		other = file
	}
	target := w.doc(other)
	for p := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		target = target[p].(map[string]any)
	}
	return w.resolve(other, target)
}

func (w walker) agree(at string, goType reflect.Type, file string, s map[string]any) {
	file, s = w.resolve(file, s)
	if goType.Kind() == reflect.Pointer {
		goType = goType.Elem()
	}
	if goType == reflect.TypeFor[json.RawMessage]() {
		return // any JSON: the schema alone speaks
	}
	want, _ := s["type"].(string)
	if _, isEnum := s["enum"]; want == "" && isEnum {
		want = "string"
	}
	if got := jsonType(goType); got != want {
		w.t.Errorf("%s: Go has %s, schema has %s", at, got, want)
		return
	}
	switch want {
	case "array":
		w.agree(at+"[]", goType.Elem(), file, s["items"].(map[string]any))
	case "object":
		if goType.Kind() == reflect.Struct {
			w.members(at, goType, file, s)
		}
	}
}

func (w walker) members(at string, goType reflect.Type, file string, s map[string]any) {
	props, _ := s["properties"].(map[string]any)
	required, _ := s["required"].([]any)
	seen := map[string]bool{}
	for _, f := range reflect.VisibleFields(goType) {
		if f.Anonymous {
			continue // its fields come on their own
		}
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		seen[name] = true
		prop, ok := props[name].(map[string]any)
		if !ok {
			w.t.Errorf("%s: the schema lacks %q", at, name)
			continue
		}
		if optional := strings.Contains(opts, "omitempty"); optional == slices.Contains(required, any(name)) {
			w.t.Errorf("%s.%s: omitempty %v, required %v", at, name, optional, !optional)
		}
		w.agree(at+"."+name, f.Type, file, prop)
	}
	for name := range props {
		if !seen[name] {
			w.t.Errorf("%s: the Go type lacks %q", at, name)
		}
	}
}

func jsonType(t reflect.Type) string {
	if t.PkgPath() == "time" {
		return "string"
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return "integer"
	case reflect.Slice:
		return "array"
	case reflect.Struct, reflect.Map:
		return "object"
	default:
		return fmt.Sprintf("unsupported %s", t)
	}
}

// TestSecretsOfTheSchemasAreRedacted holds the one rule of Redact against every writeOnly in the
// schemas.
func TestSecretsOfTheSchemasAreRedacted(t *testing.T) {
	t.Parallel()
	for _, name := range event.CommandTypes() {
		w := walker{t: t, docs: map[string]map[string]any{}}
		for _, member := range writeOnly(w.doc(name + ".json")["properties"]) {
			in := fmt.Sprintf(`{%q: "hunter2"}`, member)
			if out := string(event.Redact([]byte(in))); strings.Contains(out, "hunter2") {
				t.Errorf("%s: %s is writeOnly but stays: %s", name, member, out)
			}
		}
	}
	for _, in := range []string{
		`{"properties":[{"propertyName":"unicodePwd","propertyType":"String","values":["hunter2"]}]}`,
		`{"properties":[{"name":"userPassword","values":["hunter2","hunter2"]}]}`,
		`{"specversion":"1.0","data_base64":"hunter2"}`,
		`{"a":{"b":[{"NEWPASSWORD":{"deep":"hunter2"}}]}}`,
	} {
		if out := string(event.Redact([]byte(in))); strings.Contains(out, "hunter2") || !json.Valid([]byte(out)) {
			t.Errorf("%s -> %s", in, out)
		}
	}
}

// writeOnly names the members that a schema marks writeOnly.
func writeOnly(v any) (names []string) {
	props, _ := v.(map[string]any)
	for name, p := range props {
		m, _ := p.(map[string]any)
		if m["writeOnly"] == true {
			names = append(names, name)
		}
		names = append(names, writeOnly(m["properties"])...)
	}
	return names
}

func compileEnvelope(t *testing.T) *jsonschema.Schema {
	t.Helper()
	raw, err := schemas.FS.ReadFile("cloudevent.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("cloudevent.json", doc); err != nil {
		t.Fatal(err)
	}
	return c.MustCompile("cloudevent.json")
}

func example(t *testing.T, eventType string) []byte {
	t.Helper()
	raw, err := schemas.FS.ReadFile("examples/" + eventType + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func decode(t *testing.T, raw []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
