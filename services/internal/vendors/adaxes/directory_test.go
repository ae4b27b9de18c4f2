package adaxes_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
)

const johnObject = `{"guid": "7a4267ce-d354-44e7-8bd6-c681f1284a41", "dn": "CN=John Smith,CN=Users,DC=example,DC=com", "displayName": "John Smith",
	"objectType": "user", "objectTypeCode": 2, "domainName": "example.com", "directoryType": 1, "new": {"field": []},
	"properties": {"mailnickname": ["jsmith"], "proxyAddresses": ["a", "b"], "uSNCreated": [9007199254740993], "adm-Flag": [true],
		"scalar": "alone", "empty": [], "nothing": null, "unicodePwd": ["Plain1!x"]}}`

func TestGetObject(t *testing.T) {
	t.Parallel()
	v := newVendor(t, says(200, johnObject))
	id := "CN=Smith\\, John \\+ Co,OU=R&D 100%,DC=example"
	got, err := newClient(t, v.URL).GetObject(t.Context(), id, "mailNickname", "homeMDB")
	if err != nil {
		t.Fatal(err)
	}
	want := adaxes.DirectoryObject{
		GUID: "7a4267ce-d354-44e7-8bd6-c681f1284a41", DN: john, DisplayName: "John Smith", ObjectType: "user", DomainName: "example.com", DirectoryType: 1,
		Properties: map[string][]string{
			"mailnickname": {"jsmith"}, "proxyAddresses": {"a", "b"}, "uSNCreated": {"9007199254740993"}, "adm-Flag": {"true"},
			"scalar": {"alone"}, "empty": nil, "nothing": nil,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.Value("MAILNICKNAME") != "jsmith" || got.Value("absent") != "" || len(got.Values("proxyaddresses")) != 2 {
		t.Error("property names are not matched whatever their case")
	}
	uri := v.requests()[0].URI
	path, query, _ := strings.Cut(uri, "?")
	values, err := url.ParseQuery(query)
	if err != nil || path != "/restApi/api/directoryObjects" || values.Get("directoryObject") != id || !strings.HasSuffix(query, "&properties=mailNickname,homeMDB") {
		t.Errorf("URI %s: %v", uri, err)
	}
	if strings.Contains(query, "+") {
		t.Errorf("a plus sign in the query may be read as a space: %s", query)
	}
	wantHidden(t, []string{"Plain1!x"}, got)
}

func TestGetObjectFailures(t *testing.T) {
	t.Parallel()
	if _, err := answering(t, 200, []byte(johnObject)).GetObject(t.Context(), "jsmith@example.com"); !failure.Is(err, failure.Invalid) {
		t.Errorf("a logon name as identifier: %v", err)
	}
	for _, body := range []string{"", "null", "{}", "[]", "<html>", `{"guid": 5}`} {
		if _, err := answering(t, 200, []byte(body)).GetObject(t.Context(), john); !failure.Is(err, failure.Internal) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	found := `{"guid": "7a4267ce-d354-44e7-8bd6-c681f1284a41", "dn": "CN=a,DC=x", "properties": {"employeeid": ["E-17"]}}`
	other := `{"guid": "7a4267ce-d354-44e7-8bd6-c681f1284a42", "dn": "CN=b,DC=x", "properties": {"employeeID": ["E-18"]}}`
	without := `{"guid": "7a4267ce-d354-44e7-8bd6-c681f1284a43", "dn": "CN=c,DC=x", "properties": {}}`
	list := func(envelope string, objects ...string) string {
		return fmt.Sprintf(envelope, "["+strings.Join(objects, ",")+"]")
	}
	tests := map[string]struct {
		body string
		want int
		kind failure.Kind
	}{
		"bare":               {list("%s", found), 1, ""},
		"objects":            {list(`{"objects": %s}`, found), 1, ""},
		"value":              {list(`{"count": 1, "Value": %s}`, found), 1, ""},
		"items":              {list(`{"items": %s}`, found), 1, ""},
		"results":            {list(`{"results": %s}`, found), 1, ""},
		"none":               {list(`{"objects": %s}`), 0, ""},
		"others are dropped": {list("%s", found, other), 1, ""},
		"full page":          {list("%s", found, other, other), 0, failure.Internal},
		"not by property":    {list("%s", found, without), 0, failure.Internal},
		"unknown envelope":   {`{"data": []}`, 0, failure.Internal},
		"null list":          {`{"objects": null}`, 0, failure.Internal},
		"no JSON":            {"<html>", 0, failure.Internal},
		"null":               {"null", 0, failure.Internal},
		"wrong elements":     {"[1, 2]", 0, failure.Internal},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := answering(t, 200, []byte(tt.body)).Search(t.Context(), adaxes.Query{Property: "employeeID", Value: "e-17", Limit: 3})
			if tt.kind != "" {
				if !failure.Is(err, tt.kind) || got != nil {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			if err != nil || len(got) != tt.want {
				t.Fatalf("got %v, %v", got, err)
			}
			for _, o := range got {
				if o.DN != "CN=a,DC=x" {
					t.Errorf("found %s", o.DN)
				}
			}
		})
	}
}

func TestSearchRequest(t *testing.T) {
	t.Parallel()
	v := newVendor(t, says(200, "[]"))
	c := newClient(t, v.URL)
	if _, err := c.Search(t.Context(), adaxes.Query{Base: staff, ObjectType: "user", Property: "employeeID", Value: "E-17", Select: []string{"mail"}}); err != nil {
		t.Fatal(err)
	}
	seen := v.requests()[0]
	if seen.Method != "POST" || seen.URI != "/restApi/api/directoryObjects/search" {
		t.Errorf("%s %s", seen.Method, seen.URI)
	}
	wantJSON(t, seen.Body, `{
		"baseObject": "`+staff+`",
		"criteria": {"objectTypes": [{"type": "user", "items": {"type": "Compound", "logicalOperator": 1, "items": [
			{"type": "Simple", "property": "employeeID", "operator": "eq", "values": [{"type": 2, "value": "E-17"}]}
		]}}]},
		"select": {"properties": "employeeID,mail"},
		"sizeLimit": 100
	}`)
	for _, q := range []adaxes.Query{{Property: "cn"}, {Value: "x"}} {
		if _, err := c.Search(t.Context(), q); !failure.Is(err, failure.Invalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}
