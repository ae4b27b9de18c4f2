package exchangeonline_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// alex is the mailbox of testdata/page.json.
var alex = exchangeonline.Mailbox{
	Identity:                  "alex",
	ID:                        "alex",
	Name:                      "Alex Wilber",
	DisplayName:               "Alex Wilber",
	UserPrincipalName:         "alex@contoso.com",
	Alias:                     "alex",
	ExternalDirectoryObjectID: "0e36c9ae-17a2-4e44-bf2c-1f2a4e3f0c11",
	RecipientType:             "UserMailbox",
	RecipientTypeDetails:      "UserMailbox",
	EmailAddresses:            []string{"SMTP:alex@contoso.com", "smtp:aw@contoso.com", "SIP:alex@contoso.com"},
	PrimarySMTPAddress:        "alex@contoso.com",
	MaxSendSize:               "35 MB (36,700,160 bytes)",
	Delegates: []exchangeonline.Delegate{
		{Address: "delegate1@contoso.com", DisplayName: "Delegate One"},
		{Address: "delegate2@contoso.com", DisplayName: "Delegate Two"},
	},
}

func TestAnswerShapes(t *testing.T) {
	t.Parallel()
	var envelope struct{ Value []json.RawMessage }
	if err := json.Unmarshal([]byte(file(t, page)), &envelope); err != nil {
		t.Fatal(err)
	}
	one := string(envelope.Value[0])
	for name, body := range map[string]string{
		"envelope":             file(t, page),
		"bare array":           "[" + one + "]",
		"single object":        one,
		"value is an object":   `{"value":` + one + `}`,
		"annotations besides":  `{"@odata.context":"x",` + one[1:],
		"blanks and line ends": "\r\n " + one + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := newVendor(t, reply{status: 200, body: body}).client(t).GetMailbox(t.Context(), "alex", exchangeonline.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(alex, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestEmptyAnswers(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"nothing": "", "empty value": `{"value":[]}`, "null value": `{"value":null}`, "empty array": "[]", "empty object": "{}",
		"annotations only": `{"@odata.context":"x","@adminapi.warnings":[],"adminapi.warnings@odata.type":"#Collection(String)"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := newVendor(t, reply{status: 200, body: body}).client(t).ListMailboxes(t.Context(), exchangeonline.ListOptions{}, func(page []exchangeonline.Mailbox) error {
				t.Errorf("a page of %v", page)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestPropertyShapes(t *testing.T) {
	t.Parallel()
	type mailbox = exchangeonline.Mailbox
	type delegates = []exchangeonline.Delegate
	const one, two = `"d1@contoso.com"`, `"d1@contoso.com","d2@contoso.com"`
	for name, tc := range map[string]struct {
		properties string
		want       mailbox
	}{
		"addresses":              {`"GrantSendOnBehalfTo":[` + two + `]`, mailbox{Delegates: delegates{{Address: "d1@contoso.com"}, {Address: "d2@contoso.com"}}}},
		"names":                  {`"GrantSendOnBehalfTo":["Delegate One"]`, mailbox{Delegates: delegates{{Address: "Delegate One"}}}},
		"objects":                {`"GrantSendOnBehalfTo":[{"Name":"d1","Guid":"g"}]`, mailbox{Delegates: delegates{{Address: "g", DisplayName: "d1"}}}},
		"one without its list":   {`"GrantSendOnBehalfTo":` + one, mailbox{Delegates: delegates{{Address: "d1@contoso.com"}}}},
		"none":                   {`"GrantSendOnBehalfTo":[]`, mailbox{Delegates: delegates{}}},
		"null":                   {`"GrantSendOnBehalfTo":null`, mailbox{Delegates: delegates{}}},
		"not said":               {`"Alias":"a"`, mailbox{Alias: "a"}},
		"empty entries":          {`"GrantSendOnBehalfTo":["",null,` + one + `]`, mailbox{Delegates: delegates{{Address: "d1@contoso.com"}}}},
		"named, objects":         {`"GrantSendOnBehalfTo":["d1"],"GrantSendOnBehalfToWithDisplayNames":[{"DisplayName":"One","PrimarySmtpAddress":` + one + `}]`, mailbox{Delegates: delegates{{Address: "d1@contoso.com", DisplayName: "One"}}}},
		"named, by position":     {`"GrantSendOnBehalfTo":[` + two + `],"GrantSendOnBehalfToWithDisplayNames":["One","Two"]`, mailbox{Delegates: delegates{{Address: "d1@contoso.com", DisplayName: "One"}, {Address: "d2@contoso.com", DisplayName: "Two"}}}},
		"named, objects of name": {`"GrantSendOnBehalfTo":[` + one + `],"GrantSendOnBehalfToWithDisplayNames":[{"DisplayName":"One"}]`, mailbox{Delegates: delegates{{Address: "d1@contoso.com", DisplayName: "One"}}}},
		"named, fewer":           {`"GrantSendOnBehalfTo":[` + two + `],"GrantSendOnBehalfToWithDisplayNames":["One"]`, mailbox{Delegates: delegates{{Address: "d1@contoso.com"}, {Address: "d2@contoso.com"}}}},
		"named, fewer addresses": {`"GrantSendOnBehalfTo":[` + two + `],"GrantSendOnBehalfToWithDisplayNames":[` + one + `]`, mailbox{Delegates: delegates{{Address: "d1@contoso.com"}, {Address: "d2@contoso.com"}}}},
		"named, empty":           {`"GrantSendOnBehalfTo":[` + one + `],"GrantSendOnBehalfToWithDisplayNames":[]`, mailbox{Delegates: delegates{{Address: "d1@contoso.com"}}}},
		"named only":             {`"GrantSendOnBehalfToWithDisplayNames":["One"]`, mailbox{Delegates: delegates{{Address: "One", Unidentified: true}}}},
		"named only, twins":      {`"GrantSendOnBehalfToWithDisplayNames":[{"DisplayName":"One"},{"DisplayName":"One"}]`, mailbox{Delegates: delegates{{Address: "One", DisplayName: "One", Unidentified: true}, {Address: "One", DisplayName: "One", Unidentified: true}}}},
		"further ids":            {`"Guid":"g","ExchangeGuid":"e","DistinguishedName":"CN=a,DC=b"`, mailbox{IDs: []string{"g", "e", "CN=a,DC=b"}}},
		"twice":                  {`"Alias":"a","alias":"b","Alias":"c"`, mailbox{Alias: "c"}},
		"escaped":                {`"A\u006cias":"\u0061\"\\b"`, mailbox{Alias: `a"\b`}},
		"one address":            {`"EmailAddresses":"SMTP:a@contoso.com"`, mailbox{EmailAddresses: []string{"SMTP:a@contoso.com"}}},
		"a size in parts":        {`"MaxSendSize":{"Value": 1}`, mailbox{MaxSendSize: `{"Value":1}`}},
		"scalars as text":        {`"Alias":7,"Name":true,"DisplayName":null`, mailbox{Alias: "7", Name: "true"}},
		"another case":           {`"alias":"a","ID":"i"`, mailbox{Alias: "a", ID: "i"}},
		"full output is dropped": {`"Alias":"a","ProhibitSendQuota":"99 GB","Languages":[]`, mailbox{Alias: "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := newVendor(t, reply{status: 200, body: `{"value":[{` + tc.properties + `}]}`}).client(t).GetMailbox(t.Context(), "alex", exchangeonline.GetOptions{WithDisplayNames: true})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestMailboxJSONIsStable(t *testing.T) {
	t.Parallel()
	selected := alex
	selected.Selected = map[string]json.RawMessage{"Office": json.RawMessage(`"Berlin"`)}
	for _, want := range []exchangeonline.Mailbox{{}, alex, selected, {Delegates: []exchangeonline.Delegate{}}} {
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got exchangeonline.Mailbox
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", b, d)
		}
	}
}

// TestNamesAreThoseOfOneMailbox: whoever shares a display name, or a chat address, is somebody
// else.
func TestNamesAreThoseOfOneMailbox(t *testing.T) {
	t.Parallel()
	const body = `{"value":[{"Identity":"i","Id":"d","Name":"Smith_1","DisplayName":"Andrew Smith","Alias":"as","UserPrincipalName":"u@contoso.com",
		"ExternalDirectoryObjectId":"x","PrimarySmtpAddress":"p@contoso.com","EmailAddresses":["SMTP:p@contoso.com","smtp:o@contoso.com","SIP:c@contoso.com","X500:/o=org"],"Guid":"g"}]}`
	m, err := newVendor(t, reply{status: 200, body: body}).client(t).GetMailbox(t.Context(), "p@contoso.com", exchangeonline.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"x", "p@contoso.com", "u@contoso.com", "as", "Smith_1", "i", "d", "g", "p@contoso.com", "o@contoso.com", "/o=org"}
	if d := cmp.Diff(want, m.Names()); d != "" {
		t.Error(d)
	}
}

// inMemory answers every call with the same status and body.
type inMemory struct {
	status int
	body   []byte
}

func (m inMemory) RoundTrip(req *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	if req.URL.Path == "/token" {
		rec.Header().Set("Content-Type", "application/json")
		_, _ = rec.WriteString(`{"access_token":"T","expires_in":3600}`)
	} else {
		rec.WriteHeader(m.status)
		_, _ = rec.Write(m.body)
	}
	return rec.Result(), nil
}

// FuzzAnswer throws answers at the client: it must end, without a panic, and give no row beyond
// what came.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(file(f, page)))
	for _, s := range []string{
		"", "[]", "[null]", `{"value":{}}`, `{"value":[{"GrantSendOnBehalfTo":{"Name":"x"}}]}`, `{"@odata.nextLink":"?a","value":[{"Id":"1"}]}`,
		`{"value":[{"Id":"1"}],"@adminapi.warnings":["ResultSize"]}`, "\x00\x00", odata("NotFound", notFoundType), `{"error":{"details":[{"message":"||"}]}}`,
	} {
		f.Add(200, []byte(s))
		f.Add(400, []byte(s))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			t.Skip()
		}
		c, err := exchangeonline.New(exchangeonline.Config{
			TenantID: tenant, TokenURL: "https://login.example.com/token", ClientID: "app", ClientSecret: secret.New("s"), MaxPages: 3,
			HTTP: transport.Config{RoundTripper: inMemory{status, body}},
		})
		if err != nil {
			t.Fatal(err)
		}
		err = c.ListMailboxes(t.Context(), exchangeonline.ListOptions{Select: []string{"Office"}}, func(page []exchangeonline.Mailbox) error {
			for _, m := range page {
				if _, err := json.Marshal(m); err != nil {
					t.Fatalf("%+v: %v", m, err)
				}
			}
			return nil
		})
		if status != 200 && status != 204 && err == nil {
			t.Fatalf("HTTP %d passed for a success", status)
		}
		if err := c.ChangeSendOnBehalf(t.Context(), "alex", []string{"a@contoso.com"}, nil); err == nil && status != 200 && status != 204 {
			t.Fatalf("HTTP %d passed for a success", status)
		}
	})
}
