package adaxes_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
)

func TestResultOutcomes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body string
		kind failure.Kind // "" for success
		code string
	}{
		"succeeded":             {`{"resultType": 0, "exception": null, "actualObjectDN": "CN=a,DC=x", "extraInfo": {}}`, "", ""},
		"other case":            {`{"ResultType": 0, "ActualObjectDN": "CN=a,DC=x", "unknown": {"a": [1]}}`, "", ""},
		"nulls":                 {`{"resultType": 0, "innerMessages": null, "actualObjectDN": "CN=a,DC=x", "extraInfo": null, "noChanges": null}`, "", ""},
		"no DN":                 {`{"resultType": 0}`, failure.Unknown, "HTTP 200"},
		"contradiction":         {`{"resultType": 0, "actualObjectDN": "CN=a,DC=x", "exception": {"message": "no"}}`, failure.Unknown, "HTTP 200"},
		"failed":                {`{"resultType": 1, "exception": {"message": "The user has no mailbox.", "stack": []}}`, failure.Refused, "resultType 1"},
		"failed without reason": {`{"resultType": 1}`, failure.Refused, "resultType 1"},
		"failed, text alone":    {`{"resultType": 1, "exception": "no"}`, failure.Refused, "resultType 1"},
		"exists":                {`{"resultType": 1, "exception": {"message": "The object already exists. (Exception from HRESULT: 0x80071392)"}}`, failure.Refused, "0x80071392"},
		"no such object":        {`{"resultType": 1, "exception": {"message": "There is no such object on the server. (0x80072030)"}}`, failure.NotFound, "0x80072030"},
		"bad DN":                {`{"resultType": 1, "exception": {"message": "An invalid dn syntax. (0x80072032)"}}`, failure.Invalid, "0x80072032"},
		"bad attribute":         {`{"resultType": 1, "exception": {"message": "0x8007200a"}}`, failure.Invalid, "0x8007200A"},
		"server lost":           {`{"resultType": 1, "exception": {"message": "The server is not operational. (0x8007203A)"}}`, failure.Unknown, "0x8007203A"},
		"suspended":             {`{"resultType": 2, "extraInfo": {}}`, failure.Suspended, "resultType 2"},
		"new outcome":           {`{"resultType": 3}`, failure.Unknown, "HTTP 200"},
		"no outcome":            {`{"actualObjectDN": "CN=a,DC=x"}`, failure.Unknown, "HTTP 200"},
		"null outcome":          {`{"resultType": null}`, failure.Unknown, "HTTP 200"},
		"text outcome":          {`{"resultType": "succeeded"}`, failure.Unknown, "HTTP 200"},
		"no object":             {`[]`, failure.Unknown, "HTTP 200"},
		"empty":                 {``, failure.Unknown, "HTTP 200"},
		"cut off":               {`{"resultType": 0, "actualObjectDN": "CN=a`, failure.Unknown, "HTTP 200"},
		"a page":                {`<html>Welcome</html>`, failure.Unknown, "HTTP 200"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, err := answering(t, 200, []byte(tt.body)).CreateObject(t.Context(), pageObjects[2].object)
			if tt.kind == "" {
				if err != nil || result.ObjectDN != "CN=a,DC=x" {
					t.Errorf("%+v, %v", result, err)
				}
				return
			}
			e := failure.Of(err)
			if e.Kind != tt.kind || e.Code != tt.code || e.Vendor != adaxes.Vendor || e.Text == "" {
				t.Errorf("%v, want %s %s", err, tt.code, tt.kind)
			}
		})
	}
}

// TestResultWarnings reads a tree of messages: what was not done is found at any depth.
func TestResultWarnings(t *testing.T) {
	t.Parallel()
	c := answering(t, 200, []byte(`{"resultType": 0, "actualObjectDN": "CN=a,DC=x", "innerMessages": [
		{"source": null, "text": "Failed to set the password. The value Xy7!kk-w was refused.", "messageType": 1, "innerMessages": null},
		{"source": "Business Rules", "text": "", "messageType": 2, "innerMessages": [
			{"source": "'Business Rule R1'", "text": "Ran.", "messageType": 3, "innerMessages": [
				{"source": "dc1.corp.example.com", "text": "The mailbox was not created on dc1.corp.example.com.\r\n  at Adaxes.Inner()", "messageType": 0}]},
			{"text": "Of no type."}]}]}`))
	result, err := c.CreateObject(t.Context(), pageObjects[2].object)
	if err != nil {
		t.Fatal(err)
	}
	warnings := []adaxes.Message{
		{Type: adaxes.MessageWarning, SafeText: "Failed to set the password. The value [redacted] was refused."},
		{Type: adaxes.MessageError, Source: "[host]", SafeText: "The mailbox was not created on [host]"},
		{Type: adaxes.MessageWarning, SafeText: "Of no type."},
	}
	want := adaxes.OperationResult{
		ObjectDN: "CN=a,DC=x", Warnings: warnings,
		Messages: []adaxes.Message{warnings[0], {
			Type: adaxes.MessageInformation, Source: "Business Rules", Messages: []adaxes.Message{
				{Type: adaxes.MessageTriggeredOperation, Source: "'Business Rule R1'", SafeText: "Ran.", Messages: []adaxes.Message{warnings[1]}},
				warnings[2],
			},
		}},
	}
	if diff := cmp.Diff(want, result, cmpopts.IgnoreUnexported(adaxes.OperationResult{})); diff != "" {
		t.Error(diff)
	}
}

func TestResultBesideAnError(t *testing.T) {
	t.Parallel()
	c := answering(t, 200, []byte(`{"resultType": 2, "actualObjectDN": "CN=a,DC=x", "innerMessages": [
		{"source": "Business Rules", "text": "", "messageType": 2, "innerMessages": [
			{"text": "Request submitted for approval.", "messageType": 4}]}]}`))
	result, err := c.CreateMailbox(t.Context(), adaxes.Mailbox{DirectoryObject: john, Alias: "a"})
	if !failure.Is(err, failure.Suspended) {
		t.Fatal(err)
	}
	if result.ObjectDN != "CN=a,DC=x" || result.Messages[0].Messages[0].Type != adaxes.MessageApprovalRequired {
		t.Errorf("%+v", result)
	}
	c = answering(t, 200, []byte(`{"resultType": 1, "innerMessages": [{"text": "The alias is taken.", "messageType": 0}]}`))
	if _, err = c.CreateMailbox(t.Context(), adaxes.Mailbox{DirectoryObject: john, Alias: "a"}); !strings.HasSuffix(err.Error(), ": The alias is taken.") {
		t.Errorf("the reason is missing: %v", err)
	}
}

// TestNoAnswerShowsAPassword hides known passwords in every text that an answer can hold.
func TestNoAnswerShowsAPassword(t *testing.T) {
	t.Parallel()
	secrets := []string{"MyPassword1!", "Rg8^6H#c", "allsmallletters", token}
	object := pageObjects[0].object // sends MyPassword1!
	bodies := []string{
		`{"resultType": 1, "exception": {"message": "%"}, "innerMessages": [{"source": "%", "text": "%", "messageType": 0}]}`,
		`{"resultType": 0, "actualObjectDN": "CN=a,DC=x", "innerMessages": [{"source": "%", "text": "%", "messageType": 1, "innerMessages": [{"text": "%"}]}]}`,
		`{"resultType": 2, "innerMessages": [{"source": "%", "text": "%", "messageType": 4}]}`,
		`{"message": "%", "code": "%", "modelState": {"%": ["%"]}, "innerError": {"message": "%", "code": "invalidCredentials"}}`,
		`{"resultType": "%"}`, `%`, `<html>%</html>`,
	}
	texts := []string{
		"The password MyPassword1! is too weak.", "Rejected MyPassword1!", "MyPassword1!",
		"The temporary password is Rg8^6H#c.", "The temporary password is: Rg8^6H#c. Change it.", "Das Kennwort lautet Rg8^6H#c", "Neues Passwort: allsmallletters.",
		"Assigned Rg8^6H#c to the user", "The temporary password is allsmallletters.", "Password set to allsmallletters", "Password = allsmallletters",
		"Token " + token + " for password",
	}
	for _, status := range []int{200, 400, 401, 403, 404, 500, 503} {
		for _, body := range bodies {
			for _, text := range texts {
				c := answering(t, status, []byte(strings.ReplaceAll(body, "%", text)))
				result, err := c.CreateObject(t.Context(), object)
				if err == nil {
					wantHidden(t, secrets, result, &result, c, *c, result.Messages, result.Warnings)
					continue
				}
				wantHidden(t, secrets, result, err, *failure.Of(err))
				for cause := failure.Of(err).Cause; cause != nil; cause = nil {
					wantHidden(t, secrets, cause)
				}
			}
		}
	}
	wantHidden(t, []string{"MyPassword1!"}, object, object.Properties, secret.New("MyPassword1!"))
}

// FuzzDecodeResult: whatever the vendor answers, a create ends in a named object or in a failure
// with a decision.
func FuzzDecodeResult(f *testing.F) {
	for i := range pageObjects {
		f.Add([]byte(testdata(f, "create-object-"+string(rune('1'+i))+".response.json")))
	}
	for _, seed := range []string{
		`{"resultType": 1, "exception": {"message": "no (0x80072030)"}}`, `{"resultType": 2}`, `[]`, `null`, ``,
		`{"resultType": 0, "innerMessages": [{"innerMessages": [{"text": "password is x", "messageType": 9}]}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		result, err := answering(t, 200, body).CreateObject(t.Context(), pageObjects[2].object)
		if err == nil {
			if result.ObjectDN == "" {
				t.Fatal("success without an object")
			}
			return
		}
		switch e := failure.Of(err); e.Kind {
		case failure.Refused, failure.NotFound, failure.Invalid, failure.Suspended, failure.Unknown:
			if e.Text == "" || e.Vendor != adaxes.Vendor || strings.ContainsAny(e.Text, "\r\n") {
				t.Fatalf("not fit to be published: %q", e.Text)
			}
		default:
			t.Fatalf("%v is no answer to a write that arrived", err)
		}
	})
}

// FuzzDecodeObject: whatever the vendor answers, a look-up ends in an object or in Internal.
func FuzzDecodeObject(f *testing.F) {
	for _, seed := range []string{johnObject, "[" + johnObject + "]", `{"objects": []}`, `{"dn": "x", "properties": {"a": {"b": 1}}}`, "null", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c := answering(t, 200, body)
		if o, err := c.GetObject(t.Context(), john); err == nil && o.GUID == "" && o.DN == "" || err != nil && !failure.Is(err, failure.Internal) {
			t.Fatalf("%+v, %v", o, err)
		}
		objects, err := c.Search(t.Context(), adaxes.Query{Property: "cn", Value: "x"})
		if err != nil && !failure.Is(err, failure.Internal) {
			t.Fatal(err)
		}
		for _, o := range objects {
			if !strings.EqualFold(o.Value("cn"), "x") && len(o.Values("cn")) < 2 {
				t.Fatalf("not what was searched for: %+v", o)
			}
		}
	})
}
