package adaxes_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// TestFailures holds each shape of error answer against its kind, for a look-up and for a create.
func TestFailures(t *testing.T) {
	t.Parallel()
	const object, page = `{"message": "Some words.", "code": "someCode"}`, `<html><body>500 - Internal server error.</body></html>`
	tests := []struct {
		name        string
		status      int
		body        string
		read, write failure.Kind
		code        string
		text        string // part of the text
	}{
		{"redirect", 302, "", failure.Refused, failure.Refused, "HTTP 302", "base URL"},
		{"moved", 308, page, failure.Refused, failure.Refused, "HTTP 308", "base URL"},
		{"not modified", 304, "", failure.Refused, failure.Refused, "HTTP 304", "redirect"},
		{"bad request", 400, `{"message": "The request is invalid.", "code": "badRequest", "modelState": {"createIn": ["required"]}}`, failure.Invalid, failure.Invalid, "badRequest", "The request is invalid.; createIn: required"},
		{"many fields", 400, `{"code": "c", "modelState": {"f": "f", "e": ["e"], "d": {}, "c": ["c"], "b": ["b"], "a": ["is\nwrong", "too"]}}`, failure.Invalid, failure.Invalid, "c", "wrong; a: is; b: b; c: c; d:; e: e; and 1 fields more"},
		{"odd fields", 400, `{"message": "m", "code": "c", "modelState": [1]}`, failure.Invalid, failure.Invalid, "c", "wrong: m"},
		{"a field that is a password", 400, `{"code": "c", "modelState": {"unicodePwd": ["zebra is too short"]}}`, failure.Invalid, failure.Invalid, "c", "wrong; unicodePwd is wrong"},
		{"a field that looks like a password", 400, `{"code": "c", "modelState": {"Zebra-Pass-1": ["no"]}}`, failure.Invalid, failure.Invalid, "c", "wrong; [redacted] no"},
		{"bad request page", 400, page, failure.Invalid, failure.Invalid, "HTTP 400", "wrong"},
		{"token", 401, object, failure.Unavailable, failure.Unavailable, "someCode", "token"},
		{"token page", 401, page, failure.Unavailable, failure.Unavailable, "HTTP 401", "token"},
		{"rights", 403, object, failure.Refused, failure.Refused, "someCode", "Some words."},
		{"credentials", 403, `{"message": "m", "code": "forbidden", "innerError": {"message": "m", "code": "invalidCredentials", "attemptsLeft": 2}}`, failure.Unavailable, failure.Unavailable, "invalidCredentials", "password"},
		{"locked out", 403, `{"message": "m", "code": "forbidden", "innerError": {"code": "accountLockedOut"}}`, failure.Unavailable, failure.Unavailable, "accountLockedOut", "account"},
		{"no access", 403, `{"message": "m", "code": "forbidden", "innerError": {"code": "accessDenied"}}`, failure.Refused, failure.Refused, "accessDenied", "rights"},
		{"no inner error", 403, `{"message": "m", "code": "forbidden", "innerError": null}`, failure.Refused, failure.Refused, "forbidden", "credentials"},
		{"no object", 404, object, failure.NotFound, failure.NotFound, "someCode", "object"},
		{"no API", 404, page, failure.Unavailable, failure.Unavailable, "HTTP 404", "base URL"},
		{"no route", 404, `{"Message": "No HTTP resource was found that matches the request URI."}`, failure.Unavailable, failure.Unavailable, "HTTP 404", "base URL"},
		{"method", 405, object, failure.Refused, failure.Refused, "someCode", "call"},
		{"timeout", 408, "", failure.Unavailable, failure.Unknown, "HTTP 408", "time"},
		{"conflict", 409, object, failure.Refused, failure.Refused, "someCode", "Some words."},
		{"too large", 413, page, failure.Invalid, failure.Invalid, "HTTP 413", "large"},
		{"throttled", 429, "", failure.Throttled, failure.Throttled, "HTTP 429", "fewer"},
		{"internal", 500, `{"message": "Some words.", "code": "internalServerError"}`, failure.Unavailable, failure.Unknown, "internalServerError", "did not say"},
		{"internal page", 500, page, failure.Unavailable, failure.Unknown, "HTTP 500", "did not say"},
		{"proxy", 502, page, failure.Unavailable, failure.Unknown, "HTTP 502", "did not say"},
		{"away", 503, page, failure.Unavailable, failure.Unknown, "HTTP 503", "temporarily"},
		{"away, as the API says it", 503, object, failure.Unavailable, failure.Unknown, "someCode", "temporarily"},
		{"proxy timeout", 504, "", failure.Unavailable, failure.Unknown, "HTTP 504", "did not say"},
		{"odd", 799, "", failure.Unavailable, failure.Unknown, "HTTP 799", "did not say"},
		{"code not to be published", 400, `{"message": "m", "code": "a b\nc"}`, failure.Invalid, failure.Invalid, "HTTP 400", "wrong"},
		{"array", 400, `[]`, failure.Invalid, failure.Invalid, "HTTP 400", "wrong"},
		{"created", 201, page, failure.Internal, failure.Unknown, "HTTP 200", "understood"},
		{"no content", 204, "", failure.Internal, failure.Unknown, "HTTP 200", "understood"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := answering(t, tt.status, []byte(tt.body))
			_, read := c.GetObject(t.Context(), john)
			_, write := c.CreateObject(t.Context(), pageObjects[0].object)
			check := func(err error, kind failure.Kind) {
				e := failure.Of(err)
				if e == nil || e.Kind != kind || e.Code != tt.code || e.Vendor != adaxes.Vendor || !strings.Contains(e.Text, tt.text) {
					t.Errorf("%v, want %s %s with %q", err, tt.code, kind, tt.text)
				}
			}
			check(read, tt.read)
			check(write, tt.write)
		})
	}
}

func TestFailureTextOfAServerErrorStaysInside(t *testing.T) {
	t.Parallel()
	_, err := answering(t, 500, []byte(`{"message": "at Adaxes.Inner() in C:\\src", "code": "internal"}`)).GetObject(t.Context(), john)
	if strings.Contains(err.Error(), "Inner") {
		t.Error(err)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	_, err := newClient(t, v.URL).GetObject(t.Context(), john)
	if e := failure.Of(err); e.Kind != failure.Unavailable || e.RetryAfter != 2*time.Minute {
		t.Errorf("%v after %v", err, e.RetryAfter)
	}
}

// TestLostAnswers: a create whose answer is lost is Unknown and not sent again; one that was never
// sent is Unavailable.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})
	c := newClient(t, v.URL)
	if _, err := c.CreateObject(t.Context(), pageObjects[0].object); !failure.Is(err, failure.Unknown) {
		t.Error(err)
	}
	if n := len(v.requests()); n != 1 {
		t.Errorf("sent %d times", n)
	}
	if _, err := c.Search(t.Context(), adaxes.Query{Property: "cn", Value: "x"}); !failure.Is(err, failure.Unavailable) {
		t.Error(err)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	if _, err := newClient(t, gone.URL).CreateObject(t.Context(), pageObjects[0].object); !failure.Is(err, failure.Unavailable) {
		t.Error(err)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	other := newVendor(t, says(200, johnObject))
	v := newVendor(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	if _, err := newClient(t, v.URL).CreateObject(t.Context(), pageObjects[0].object); !failure.Is(err, failure.Refused) {
		t.Error(err)
	}
	if len(other.requests()) != 0 {
		t.Error("the token went elsewhere")
	}
}

func TestNewNamesTheField(t *testing.T) {
	t.Parallel()
	good := func() adaxes.Config {
		return adaxes.Config{BaseURL: "https://host.example.com/restApi", Token: secret.New("t")}
	}
	tests := []struct {
		want   string
		change func(*adaxes.Config)
	}{
		{"BaseURL", func(c *adaxes.Config) { c.BaseURL = "" }},
		{"BaseURL", func(c *adaxes.Config) { c.BaseURL = "host.example.com/restApi" }},
		{"BaseURL", func(c *adaxes.Config) { c.BaseURL = "ftp://host/restApi" }},
		{"BaseURL", func(c *adaxes.Config) { c.BaseURL = "https://user:hunter2@host/restApi" }},
		{"BaseURL", func(c *adaxes.Config) { c.BaseURL = "https://host/restApi?x=hunter2" }},
		{"BaseURL", func(c *adaxes.Config) { c.BaseURL = "https://host:hunter2/%zz" }},
		{"Token", func(c *adaxes.Config) { c.Token = secret.String{} }},
		{"Token", func(c *adaxes.Config) { c.Token = secret.New("hunter2\n") }},
		{"Token", func(c *adaxes.Config) { c.Username = "u" }},
		{"Password", func(c *adaxes.Config) { c.Token, c.Username = secret.String{}, "u" }},
		{"Username", func(c *adaxes.Config) { c.Password = secret.New("hunter2") }},
		{"Microsoft365Field", func(c *adaxes.Config) { c.Microsoft365Field = "O365" }},
	}
	for _, tt := range tests {
		cfg := good()
		tt.change(&cfg)
		_, err := adaxes.New(cfg)
		if err == nil || !strings.Contains(err.Error(), "adaxes: "+tt.want+" ") {
			t.Errorf("%s: %v", tt.want, err)
		}
		wantHidden(t, []string{"hunter2"}, err)
	}
	if _, err := adaxes.New(good()); err != nil {
		t.Error(err)
	}
}

// TestErrorsKeepTheirCause: a log finds the network's error, with the failure's text silent on it.
func TestErrorsKeepTheirCause(t *testing.T) {
	t.Parallel()
	c, err := adaxes.New(adaxes.Config{BaseURL: "http://vendor.test", Token: secret.New(token), HTTP: transport.Config{
		RoundTripper: roundTripper(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }),
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.GetObject(t.Context(), john)
	if !errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "vendor.test") {
		t.Error(err)
	}
}

// FuzzErrorBody: whatever comes with an error's status, the failure has a decision and a text that
// is fit to be published.
func FuzzErrorBody(f *testing.F) {
	for _, body := range []string{
		`{"message":"no","code":"notFound"}`, `{"message":"m","code":"c","modelState":{"a":["b"]}}`, `{"innerError":{"code":"invalidCredentials","attemptsLeft":2},"code":"x"}`,
		"", "<html>", "null", `{"code":{}}`, `{"message":"password is Zebra1","code":"x"}`,
	} {
		f.Add(400, []byte(body))
		f.Add(503, []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 300 || status > 599 {
			t.Skip()
		}
		_, err := answering(t, status, body).CreateObject(t.Context(), pageObjects[2].object)
		if err == nil {
			t.Fatalf("HTTP %d passed for a success", status)
		}
		if e := failure.Of(err); e.Text == "" || strings.ContainsAny(e.Text, "\r\n") || e.Vendor != adaxes.Vendor {
			t.Fatalf("not fit to be published: %q", e.Text)
		}
	})
}

func TestMayExist(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		`{"resultType": 1, "exception": {"message": "The object already exists."}}`:  true,
		`{"resultType": 1, "exception": {"message": "0x80071392: it exists."}}`:      true,
		`{"resultType": 1, "exception": {"message": "0x80072030: no such object."}}`: false,
		`{"resultType": 2}`: false, `{"resultType": 0, "actualObjectDN": "CN=a,DC=x"}`: false, "": false,
	} {
		if _, err := answering(t, 200, []byte(body)).CreateObject(t.Context(), pageObjects[0].object); adaxes.MayExist(err) != want {
			t.Errorf("%s: %v", body, err)
		}
	}
	if _, err := answering(t, 409, []byte(`{"message": "m", "code": "conflict"}`)).CreateObject(t.Context(), pageObjects[0].object); !adaxes.MayExist(err) {
		t.Error(err)
	}
	if _, err := answering(t, 403, nil).CreateObject(t.Context(), pageObjects[0].object); adaxes.MayExist(err) {
		t.Error(err)
	}
}
