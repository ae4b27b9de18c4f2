package oauth_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/oauth"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// answering is a token endpoint without a network.
type answering struct {
	status int
	body   []byte
}

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	rec.Header().Set("Content-Type", "application/json")
	rec.WriteHeader(a.status)
	_, _ = rec.Write(a.body)
	return rec.Result(), nil
}

// FuzzToken: whatever the token endpoint answers, there is a token or a failure, and the failure
// shows nothing of the answer but a code.
func FuzzToken(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"T","expires_in":3600,"token_type":"Bearer"}`, `{"access_token":"T","expires_in":"soon"}`, `{"error":"invalid_client","error_description":"AADSTS7000215: x"}`,
		`{"access_token":1}`, `{"access_token":"T","expires_in":-1}`, "", "[]", "<html>", `{"access_token":"a\nb"}`,
	} {
		f.Add(200, []byte(body))
		f.Add(400, []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			t.Skip()
		}
		source, err := oauth.New(oauth.Config{
			Vendor: "v", TokenURL: "https://login.example.com/token", ClientID: "app", ClientSecret: secret.New("hush"), Scope: "s",
			HTTP: transport.Config{RoundTripper: answering{status, body}},
		})
		if err != nil {
			t.Fatal(err)
		}
		token, err := source.Token(t.Context())
		if err == nil {
			if token.IsZero() || status/100 != 2 {
				t.Fatalf("HTTP %d with %q gave a token", status, body)
			}
			return
		}
		e := failure.Of(err)
		if e.Text == "" || len(e.Text) > 200 || strings.ContainsAny(e.Text, "\r\n") {
			t.Fatalf("not fit to be published: %q", e.Text)
		}
	})
}
