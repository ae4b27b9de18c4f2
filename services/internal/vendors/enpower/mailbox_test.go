package enpower_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mailwright/mailwright/schemas"
	"github.com/mailwright/mailwright/services/internal/vendors/enpower"
)

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func utc(t testing.TB, s string) *time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return &v
}

func decode(t testing.TB, text string) enpower.Mailbox {
	t.Helper()
	var m enpower.Mailbox
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// sample is what the vendor's sample says, field by field; what it leaves empty is absent.
func sample(t testing.TB) enpower.Mailbox {
	t.Helper()
	return enpower.Mailbox{
		ID:                             "f78625f8-3ec3-4665-835a-3502484af738",
		DisplayName:                    "Sample mailbox",
		RecipientType:                  "User mailbox",
		Status:                         "Archived",
		HiddenFromAddressListsEnabled:  new(false),
		CreateTime:                     utc(t, "2024-10-02T06:27:18Z"),
		ModifiedTime:                   utc(t, "2024-12-08T17:25:26Z"),
		Container:                      "Default Exchange mailbox container",
		ItemCount:                      new(int64(56)),
		StorageUsed:                    new(int64(1)),
		IssueWarningQuota:              new(int64(100352)),
		ProhibitSendQuota:              new(int64(101376)),
		ProhibitSendReceiveQuota:       new(int64(102400)),
		DeletedItemCount:               new(int64(2)),
		DeletedItemSize:                new(int64(0)),
		FirstScanTime:                  utc(t, "2025-01-02T04:25:37Z"),
		Alias:                          "Sample alias",
		AutoReplyEnabled:               new(false),
		LitigationHoldEnabled:          new(true),
		EmailForwardingEnabled:         new(false),
		ArchiveStatus:                  "Active",
		ExternalEmailForwardingEnabled: new(false),
		RecipientLimits:                "500",
		MailboxPolicies: &enpower.Policies{
			RetentionPolicy:      "Default MRM Policy",
			RoleAssignmentPolicy: "Default Role Assignment Policy",
			SharingPolicy:        "Default Sharing Policy",
		},
		IsRegistered: new(false),
	}
}

func TestDocumentedSample(t *testing.T) {
	t.Parallel()
	var page struct{ Mailboxes []enpower.Mailbox }
	if err := json.Unmarshal(file(t, "sample.json"), &page); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]enpower.Mailbox{sample(t)}, page.Mailboxes); d != "" {
		t.Error(d)
	}
}

func TestNormalisedSample(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"id":"f78625f8-3ec3-4665-835a-3502484af738","displayName":"Sample mailbox","recipientType":"User mailbox","status":"Archived",` +
		`"hiddenFromAddressListsEnabled":false,"createTime":"2024-10-02T06:27:18Z","modifiedTime":"2024-12-08T17:25:26Z",` +
		`"container":"Default Exchange mailbox container","itemCount":56,"storageUsed":1,"issueWarningQuota":100352,"prohibitSendQuota":101376,` +
		`"prohibitSendReceiveQuota":102400,"deletedItemCount":2,"deletedItemSize":0,"firstScanTime":"2025-01-02T04:25:37Z","alias":"Sample alias",` +
		`"autoReplyEnabled":false,"litigationHoldEnabled":true,"emailForwardingEnabled":false,"archiveStatus":"Active",` +
		`"externalEmailForwardingEnabled":false,"recipientLimits":"500","mailboxPolicies":{"retentionPolicy":"Default MRM Policy",` +
		`"roleAssignmentPolicy":"Default Role Assignment Policy","sharingPolicy":"Default Sharing Policy"},"isRegistered":false}`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
}

// TestEveryDocumentedFieldIsTyped fills in every field of the page and finds none of it in Extra,
// none empty, and the names the same as in the contract's schema.
func TestEveryDocumentedFieldIsTyped(t *testing.T) {
	t.Parallel()
	m := decode(t, string(file(t, "governed.json")))
	complete(t, reflect.ValueOf(m))

	common, err := schemas.FS.ReadFile("common.json")
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties map[string]struct {
			Properties map[string]any
			Items      struct{ Properties map[string]any }
		}
	}
	var doc struct {
		Defs map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal(common, &doc); err != nil {
		t.Fatal(err)
	}
	facts := doc.Defs["mailboxFacts"].Properties
	for name, names := range map[string][2][]string{
		"Mailbox":  {keys(facts), tags(enpower.Mailbox{})},
		"Policies": {keys(facts["mailboxPolicies"].Properties), tags(enpower.Policies{})},
		"Metadata": {keys(facts["metadata"].Items.Properties), tags(enpower.Metadata{})},
		"Person":   {keys(doc.Defs["governanceUser"].Properties), tags(enpower.Person{})},
		"Profile":  {keys(doc.Defs["governanceProfile"].Properties), tags(enpower.Profile{})},
	} {
		if d := cmp.Diff(without(names[0], "extra"), without(names[1], "extra")); d != "" {
			t.Errorf("%s, schema against type: %s", name, d)
		}
	}
}

// complete fails where a field is empty, save Extra, which has to be.
func complete(t *testing.T, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		name, f := v.Type().Field(i).Name, v.Field(i)
		if f.IsZero() != (name == "Extra") {
			t.Errorf("%s.%s = %v", v.Type().Name(), name, f)
		}
	}
	for i := range v.NumField() {
		switch f := v.Field(i).Interface().(type) {
		case *enpower.Policies:
			complete(t, reflect.ValueOf(*f))
		case *enpower.Profile:
			complete(t, reflect.ValueOf(*f))
		case []enpower.Metadata:
			complete(t, reflect.ValueOf(f[0]))
		case *enpower.Person:
			if v.Type().Field(i).Name == "PrimaryContact" {
				complete(t, reflect.ValueOf(*f))
			}
		}
	}
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func tags(v any) []string {
	var names []string
	for f := range reflect.TypeOf(v).Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func without(names []string, name string) []string {
	return slices.DeleteFunc(names, func(s string) bool { return s == name })
}

func TestNormalisedFormKeepsTheContract(t *testing.T) {
	t.Parallel()
	common, err := schemas.FS.ReadFile("common.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(common))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(schemas.BaseURI+"common.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(schemas.BaseURI + "common.json#/$defs/mailboxFacts")
	if err != nil {
		t.Fatal(err)
	}
	odd := decode(t, `{"id":"x","createTime":"2024-10-02 06:27:18.5","itemCount":"many","phase":["a"],"new":1,"metadata":[{"value":null,"kind":1}]}`)
	for _, m := range []enpower.Mailbox{sample(t), decode(t, string(file(t, "governed.json"))), odd} {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	}
}

func TestShapes(t *testing.T) {
	t.Parallel()
	type mailbox = enpower.Mailbox
	misfit := func(name, value string) mailbox {
		return mailbox{Extra: enpower.Extra{name: json.RawMessage(value)}}
	}
	noon := utc(t, "2025-06-01T12:00:00Z")
	for _, tc := range []struct {
		json string
		want mailbox
	}{
		// Text.
		{`"phase":null`, mailbox{}},
		{`"phase":""`, mailbox{}},
		{`"phase":"N/A"`, mailbox{}},
		{`"phase":" n/a "`, mailbox{}},
		{`"phase":"RenewalExpired"`, mailbox{Phase: "RenewalExpired"}},
		{`"alias":" a "`, mailbox{Alias: " a "}},
		{`"alias":7`, mailbox{Alias: "7"}},
		{`"alias":true`, mailbox{Alias: "true"}},
		{`"alias":{"a": 1}`, misfit("alias", `{"a":1}`)},
		{`"alias":[]`, misfit("alias", `[]`)},
		{`"recipientLimits":"500"`, mailbox{RecipientLimits: "500"}},
		{`"recipientLimits":500`, mailbox{RecipientLimits: "500"}},
		{`"recipientLimits":"Unlimited"`, mailbox{RecipientLimits: "Unlimited"}},
		{`"recipientLimits":null`, mailbox{}},
		// Names in another case.
		{`"Id":"x"`, mailbox{ID: "x"}},
		{`"ID":"x"`, mailbox{ID: "x"}},
		{`"DISPLAYNAME":"x"`, mailbox{DisplayName: "x"}},
		// Booleans.
		{`"isRegistered":true`, mailbox{IsRegistered: new(true)}},
		{`"isRegistered":false`, mailbox{IsRegistered: new(false)}},
		{`"isRegistered":"True"`, mailbox{IsRegistered: new(true)}},
		{`"isRegistered":"false"`, mailbox{IsRegistered: new(false)}},
		{`"isRegistered":null`, mailbox{}},
		{`"isRegistered":""`, mailbox{}},
		{`"isRegistered":"N/A"`, mailbox{}},
		{`"isRegistered":1`, misfit("isRegistered", "1")},
		{`"isRegistered":"maybe"`, misfit("isRegistered", `"maybe"`)},
		{`"isRegistered":{}`, misfit("isRegistered", `{}`)},
		// Integers.
		{`"itemCount":0`, mailbox{ItemCount: new(int64(0))}},
		{`"itemCount":-1`, mailbox{ItemCount: new(int64(-1))}},
		{`"itemCount":9223372036854775807`, mailbox{ItemCount: new(int64(9223372036854775807))}},
		{`"itemCount":"56"`, mailbox{ItemCount: new(int64(56))}},
		{`"itemCount":56.0`, mailbox{ItemCount: new(int64(56))}},
		{`"itemCount":1e3`, mailbox{ItemCount: new(int64(1000))}},
		{`"itemCount":null`, mailbox{}},
		{`"itemCount":""`, mailbox{}},
		{`"itemCount":"N/A"`, mailbox{}},
		{`"itemCount":5.5`, misfit("itemCount", "5.5")},
		{`"itemCount":1e300`, misfit("itemCount", "1e300")},
		{`"itemCount":9007199254740993.0`, mailbox{ItemCount: new(int64(9007199254740993))}},
		{`"itemCount":4503599627370497.5`, misfit("itemCount", "4503599627370497.5")},
		{`"itemCount":9223372036854775808`, misfit("itemCount", "9223372036854775808")},
		{`"itemCount":"NaN"`, misfit("itemCount", `"NaN"`)},
		{`"itemCount":"Unlimited"`, misfit("itemCount", `"Unlimited"`)},
		{`"itemCount":true`, misfit("itemCount", "true")},
		{`"itemCount":[1]`, misfit("itemCount", "[1]")},
		// Times.
		{`"lastActivityDate":"2025-06-01 12:00:00"`, mailbox{LastActivityDate: noon}},
		{`"lastActivityDate":"2025-06-01T12:00:00"`, mailbox{LastActivityDate: noon}},
		{`"lastActivityDate":"2025-06-01T12:00:00Z"`, mailbox{LastActivityDate: noon}},
		{`"lastActivityDate":"2025-06-01T14:00:00+02:00"`, mailbox{LastActivityDate: noon}},
		{`"lastActivityDate":"2025-06-01 12:00:00.000"`, mailbox{LastActivityDate: noon}},
		{`"renewalDueDate":"2025-06-01"`, mailbox{RenewalDueDate: utc(t, "2025-06-01T00:00:00Z")}},
		{`"lastActivityDate":"0001-01-01 00:00:00"`, mailbox{}},
		{`"lastActivityDate":"0001-01-01T00:00:00Z"`, mailbox{}},
		{`"lastActivityDate":""`, mailbox{}},
		{`"lastActivityDate":"N/A"`, mailbox{}},
		{`"lastActivityDate":null`, mailbox{}},
		{`"lastActivityDate":"01/06/2025"`, misfit("lastActivityDate", `"01/06/2025"`)},
		{`"lastActivityDate":"9999-12-31T23:59:59-01:00"`, misfit("lastActivityDate", `"9999-12-31T23:59:59-01:00"`)},
		{`"lastActivityDate":1748779200`, misfit("lastActivityDate", "1748779200")},
		{`"lastActivityDate":{}`, misfit("lastActivityDate", "{}")},
		// Objects.
		{`"renewProfile":{"name":"Yearly","id":"p"}`, mailbox{RenewProfile: &enpower.Profile{Name: "Yearly", ID: "p"}}},
		{`"renewProfile":{"Name":"Yearly","Id":7}`, mailbox{RenewProfile: &enpower.Profile{Name: "Yearly", ID: "7"}}},
		{`"renewProfile":"N/A"`, mailbox{}},
		{`"renewProfile":""`, mailbox{}},
		{`"renewProfile":null`, mailbox{}},
		{`"renewProfile":{}`, mailbox{}},
		{`"renewProfile":{"name":null,"id":""}`, mailbox{}},
		{`"renewProfile":{"name":"Y","colour":"red"}`, mailbox{RenewProfile: &enpower.Profile{Name: "Y", Extra: enpower.Extra{"colour": json.RawMessage(`"red"`)}}}},
		{`"renewProfile":"Yearly"`, misfit("renewProfile", `"Yearly"`)},
		{`"renewProfile":[]`, misfit("renewProfile", "[]")},
		{`"primaryContact":{"id":"u","email":"u@contoso.com"}`, mailbox{PrimaryContact: &enpower.Person{ID: "u", Email: "u@contoso.com"}}},
		{`"primaryContact":"u@contoso.com"`, misfit("primaryContact", `"u@contoso.com"`)},
		{`"mailboxPolicies":{"sharingPolicy":null}`, mailbox{}},
		{`"mailboxPolicies":"N/A"`, mailbox{}},
		// Lists.
		{`"phaseAssignees":""`, mailbox{}},
		{`"phaseAssignees":null`, mailbox{}},
		{`"phaseAssignees":"N/A"`, mailbox{}},
		{`"phaseAssignees":[]`, mailbox{}},
		{`"phaseAssignees":{}`, mailbox{}},
		{`"phaseAssignees":{"id":"u"}`, mailbox{PhaseAssignees: []enpower.Person{{ID: "u"}}}},
		{`"phaseAssignees":[{"id":"u"},null,"",{},{"id":"v"}]`, mailbox{PhaseAssignees: []enpower.Person{{ID: "u"}, {ID: "v"}}}},
		{`"phaseAssignees":["u"]`, misfit("phaseAssignees", `["u"]`)},
		{`"phaseAssignees":"u"`, misfit("phaseAssignees", `"u"`)},
		{`"metadata":null`, mailbox{}},
		{`"metadata":{"metadataType":0,"value":"N/A"}`, mailbox{Metadata: []enpower.Metadata{{MetadataType: new(int64(0)), Value: json.RawMessage(`"N/A"`)}}}},
		{`"metadata":[{"value":[1, {"a":"<"}],"metadataSetting":null}]`, mailbox{Metadata: []enpower.Metadata{{Value: json.RawMessage(`[1,{"a":"\u003c"}]`)}}}},
		{`"metadata":[{"value":1.50}]`, mailbox{Metadata: []enpower.Metadata{{Value: json.RawMessage(`1.50`)}}}},
		{`"metadata":"x"`, misfit("metadata", `"x"`)},
		// Unknown members.
		{`"sensitivity": {"b": 1, "a": [ ]}`, misfit("sensitivity", `{"a":[],"b":1}`)},
		{`"sensitivity":null`, misfit("sensitivity", "null")},
		{`"extra":{"sensitivity":1}`, misfit("sensitivity", "1")},
		{`"extra":5`, misfit("extra", "5")},
		{`"Extra":"x"`, misfit("Extra", `"x"`)},
	} {
		t.Run(tc.json, func(t *testing.T) {
			t.Parallel()
			got := decode(t, "{"+tc.json+"}")
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			stable(t, got)
		})
	}
}

// stable fails unless a mailbox survives its own JSON.
func stable(t *testing.T, m enpower.Mailbox) {
	t.Helper()
	first, err := json.Marshal(m)
	if err != nil {
		t.Fatalf("%+v: %v", m, err)
	}
	again := decode(t, string(first))
	if d := cmp.Diff(m, again); d != "" {
		t.Fatalf("%s: %s", first, d)
	}
	second, err := json.Marshal(again)
	if err != nil || !bytes.Equal(first, second) {
		t.Fatalf("%s\n%s (%v)", first, second, err)
	}
}

func TestSpellingsOfOneNameDoNotRace(t *testing.T) {
	t.Parallel()
	for range 50 {
		if got := decode(t, `{"ID":"a","Id":"b","id":"c"}`).ID; got != "c" {
			t.Fatalf("ID = %q", got)
		}
	}
}

func TestDecodingReplacesWhatWasThere(t *testing.T) {
	t.Parallel()
	m := enpower.Mailbox{Alias: "old", Extra: enpower.Extra{"old": json.RawMessage("1")}}
	if err := json.Unmarshal([]byte(`{"id":"x"}`), &m); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(enpower.Mailbox{ID: "x"}, m); d != "" {
		t.Error(d)
	}
}

func TestNotAMailbox(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"null", "7", `"x"`, "[]", "true"} {
		var m enpower.Mailbox
		if err := json.Unmarshal([]byte(text), &m); err == nil {
			t.Errorf("%s passed for %+v", text, m)
		}
	}
}

// FuzzMailbox: whatever object comes, it is read, and its normalised form is stable.
func FuzzMailbox(f *testing.F) {
	f.Add(file(f, "governed.json"))
	for _, s := range []string{
		`{}`, `{"extra":{"extra":{}}}`, `{"lastActivityDate":"0001-01-01T00:00:00+23:59"}`, `{"itemCount":"0x10"}`, "{\"alias\":\"\xff\",\"\xff\":\"\xff\"}",
		`{"metadata":[{"value":{"a":1,"a":2},"extra":{"x":null}}]}`, `{"phaseAssignees":[{"extra":{"id":1}}]}`, `{"recipientLimits":1e5}`, `{"itemCount":-0.0}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var object map[string]json.RawMessage
		isObject := json.Unmarshal(b, &object) == nil && object != nil
		var m enpower.Mailbox
		if err := json.Unmarshal(b, &m); (err == nil) != isObject {
			t.Fatalf("%v, object: %v", err, isObject)
		}
		if isObject {
			stable(t, m)
		}
	})
}
