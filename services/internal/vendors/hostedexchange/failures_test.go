package hostedexchange_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/hostedexchange"
)

const (
	exists = `<response><errorContext code="0x80071392" description="Pass1Word: The object already exists on dc1.">` +
		`<errorSource namespace="Managed Active Directory" procedure="CreateUser_"/><errorSource namespace="Hosted Exchange" procedure="CreateBusinessUser"/></errorContext></response>`
	fault = `<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Body><SOAP-ENV:Fault>` +
		`<faultcode>SOAP-ENV:Server</faultcode><faultstring>Pass1Word</faultstring></SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>`
	echo = `<request><procedure><execute><executeData><newPassword>Pass1Word</newPassword></executeData></execute></procedure></request>`
)

// coded returns an answer with an error code.
func coded(code string) string {
	return `<response><context><errorContext code="` + code + `" description="Pass1Word"><errorSource namespace="Hosted Exchange" procedure="CreateBusinessUser"/></errorContext></context></response>`
}

// TestFailures holds each shape of error answer against its kind.
func TestFailures(t *testing.T) {
	t.Parallel()
	inDetail := strings.Replace(fault, "</SOAP-ENV:Fault>", "<detail>"+coded("0x80072030")+"</detail></SOAP-ENV:Fault>", 1)
	clientFault := strings.Replace(fault, "SOAP-ENV:Server", "SOAP-ENV:Client", 1)
	const user = `<response><data><user path="LDAP://CN=a"/></data></response>`
	tests := []struct {
		name   string
		status int
		body   string
		kind   failure.Kind
		code   string
		text   string // part of the text
	}{
		{"exists", 200, exists, failure.Refused, hostedexchange.CodeExists, "already exists (Managed Active Directory::CreateUser_)"},
		{"exists with 500", 500, exists, failure.Refused, hostedexchange.CodeExists, "already exists"},
		{"user exists", 200, coded("0x800708B0"), failure.Refused, "0x800708B0", "already exists"},
		{"no such object", 200, coded("0x80072030"), failure.NotFound, "0x80072030", "does not exist"},
		{"access", 200, coded("0x80070005"), failure.Refused, "0x80070005", "UserCreator"},
		{"password", 200, coded("0x8007052d"), failure.Refused, "0x8007052D", "policy"},
		{"password, net", 200, coded("0x800708C5"), failure.Refused, "0x800708C5", "policy"},
		{"unwilling", 200, coded("0x80072035"), failure.Unknown, "0x80072035", "unwilling"},
		{"DN", 200, coded("0x80072032"), failure.Invalid, "0x80072032", "distinguished name"},
		{"attribute", 200, coded("0x8007200A"), failure.Invalid, "0x8007200A", "attribute"},
		{"syntax", 200, coded("0x8007200B"), failure.Invalid, "0x8007200B", "syntax"},
		{"generic", 200, coded("0x80004005"), failure.Unknown, "0x80004005", "(Hosted Exchange::CreateBusinessUser)"},
		{"of the page", 200, coded("0x80070643"), failure.Unknown, "0x80070643", "ended the procedure"},
		{"decimal", 200, coded("-2147019886"), failure.Refused, hostedexchange.CodeExists, "already exists"},
		{"unsigned", 200, coded("2147947410"), failure.Refused, hostedexchange.CodeExists, "already exists"},
		{"server down", 200, coded("0x8007203A"), failure.Unknown, "0x8007203A", "lost touch"},
		{"RPC", 200, coded("0x800706BA"), failure.Unknown, "0x800706BA", "lost touch"},
		{"RPC call", 200, coded("0x800706BE"), failure.Unknown, "0x800706BE", "lost touch"},
		{"time ran out", 200, coded("0x800705B4"), failure.Unknown, "0x800705B4", "lost touch"},
		{"HTTP inside", 200, coded("0x8700000A"), failure.Unknown, "0x8700000A", "lost touch"},
		{"HTTP inside 2", 200, coded("0x87000015"), failure.Unknown, "0x87000015", "lost touch"},
		{"no code", 200, `<response><errorContext description="Pass1Word"/></response>`, failure.Unknown, "errorContext", "ended the procedure"},
		{"odd code", 200, coded("Pass1Word"), failure.Unknown, "errorContext", "ended the procedure"},
		{"odd source", 200, `<response><errorContext code="0x1"><errorSource namespace="&lt;Pass1Word&gt;" procedure="p"/></errorContext></response>`, failure.Unknown, "0x00000001", "ended the procedure"},
		{"beside data", 200, strings.Replace(exists, "<response>", `<response><data><user path="LDAP://CN=a"/></data>`, 1), failure.Refused, hostedexchange.CodeExists, "already exists"},
		{"fault", 500, fault, failure.Unknown, "SOAP Fault", "did not say"},
		{"fault with 200", 200, fault, failure.Unknown, "SOAP Fault", "did not say"},
		{"fault with detail", 500, inDetail, failure.NotFound, "0x80072030", "does not exist"},
		{"client's fault", 500, clientFault, failure.Refused, "SOAP Client", "check"},
		{"must understand", 500, strings.Replace(fault, "SOAP-ENV:Server", "MustUnderstand", 1), failure.Refused, "SOAP MustUnderstand", "check"},
		{"empty data", 200, "<response><data/></response>", failure.Unknown, "HTTP 200", "understood"},
		{"no path", 200, `<response><data><user name="a"/></data></response>`, failure.Unknown, "HTTP 200", "understood"},
		{"our own request", 200, echo, failure.Unknown, "HTTP 200", "understood"},
		{"empty", 200, "", failure.Unknown, "HTTP 200", "understood"},
		{"a page", 200, "<html><br></html>", failure.Unknown, "HTTP 200", "understood"},
		{"cut off", 200, user[:40], failure.Unknown, "HTTP 200", "understood"},
		{"two roots", 200, user + user, failure.Unknown, "HTTP 200", "understood"},
		{"DOCTYPE", 200, `<!DOCTYPE response [<!ENTITY p "Pass1Word">]>` + user, failure.Unknown, "HTTP 200", "understood"},
		{"external DOCTYPE", 200, `<!DOCTYPE response SYSTEM "http://evil.test/x.dtd">` + user, failure.Unknown, "HTTP 200", "understood"},
		{"entity", 200, strings.Replace(user, "CN=a", "CN=&Pass1Word;", 1), failure.Unknown, "HTTP 200", "understood"},
		{"too deep", 200, strings.Repeat("<a>", 100) + user + strings.Repeat("</a>", 100), failure.Unknown, "HTTP 200", "understood"},
		{"user with 500", 500, user, failure.Unknown, "HTTP 500", "did not say"},
		{"redirect", 302, user, failure.Refused, "HTTP 302", "redirect"},
		{"credentials", 401, "Pass1Word", failure.Unavailable, "HTTP 401", "password"},
		{"not let in", 403, "<html>", failure.Unavailable, "HTTP 403", "did nothing"},
		{"method", 405, "", failure.Unavailable, "HTTP 405", "URL"},
		{"not there", 404, "<html/>", failure.Unavailable, "HTTP 404", "URL"},
		{"gone", 410, "", failure.Unavailable, "HTTP 410", "URL"},
		{"throttled", 429, "", failure.Throttled, "HTTP 429", "fewer"},
		{"failed", 500, "<html>Pass1Word</html>", failure.Unknown, "HTTP 500", "did not say"},
		{"proxy", 502, "", failure.Unknown, "HTTP 502", "did not say"},
		{"away", 503, "", failure.Unknown, hostedexchange.CodeAway, "did not say"},
		{"away, with a reason", 503, coded("0x80070005"), failure.Refused, "0x80070005", "UserCreator"},
		{"unknown encoding", 200, `<?xml version="1.0" encoding="klingon-8"?>` + user, failure.Unknown, "HTTP 200", "an unknown encoding"},
		{"known encoding that nobody reads", 200, `<?xml version="1.0" encoding="UTF-7"?>` + user, failure.Unknown, "HTTP 200", "as UTF-7"},
		{"not in its encoding", 200, strings.Replace(user, "CN=a", "CN=M\xfcller", 1), failure.Unknown, "HTTP 200", "as UTF-8"},
		{"error not in its encoding", 500, "<response>M\xfcller</response>", failure.Unknown, "HTTP 500", "as UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := answering(t, tt.status, []byte(tt.body)).CreateBusinessUser(t.Context(), bob())
			e := failure.Of(err)
			if e == nil {
				t.Fatalf("success: %+v", got)
			}
			if e.Kind != tt.kind || e.Code != tt.code || e.Vendor != hostedexchange.Vendor || !strings.Contains(e.Text, tt.text) {
				t.Errorf("%v, want %s %s with %q", err, tt.code, tt.kind, tt.text)
			}
			wantHidden(t, []string{password}, err, *e, got)
			if e.Cause != nil {
				wantHidden(t, []string{password}, e.Cause, e.Cause.Error())
			}
			if got.Path != "" {
				t.Error("a user beside an error")
			}
		})
	}
}

// TestLostAnswers: a create whose answer is lost is Unknown and not sent again; one that was never
// sent is Unavailable.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 10)
	answers := map[string]http.HandlerFunc{
		"closed": func(w http.ResponseWriter, _ *http.Request) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.Close()
			}
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("<response>"))
		},
		"too large": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20+1)) },
	}
	for name, answer := range answers {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			answer(w, r)
		}))
		t.Cleanup(server.Close)
		_, err := newClient(t, hostedexchange.Config{URL: server.URL}).CreateBusinessUser(t.Context(), bob())
		if !failure.Is(err, failure.Unknown) || strings.Contains(err.Error(), "understood") {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(arrived); n != 1 {
			t.Errorf("%s: sent %d times", name, n)
		}
		<-arrived
	}
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if _, err := newClient(t, hostedexchange.Config{URL: "http://127.0.0.1:1"}).CreateBusinessUser(ctx, bob()); !failure.Is(err, failure.Unavailable) {
		t.Error(err)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	_, err := newClient(t, hostedexchange.Config{URL: server.URL}).CreateBusinessUser(t.Context(), bob())
	if e := failure.Of(err); e.Kind != failure.Unknown || e.RetryAfter != 2*time.Minute {
		t.Errorf("%v after %v", err, e.RetryAfter)
	}
}

func TestNewNamesTheField(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		want string
		cfg  hostedexchange.Config
	}{
		{"URL", hostedexchange.Config{}},
		{"URL", hostedexchange.Config{URL: "server/mpf"}},
		{"URL", hostedexchange.Config{URL: "https://svc:hunter2@server/mpf"}},
		{"Transport", hostedexchange.Config{URL: "https://server/mpf", Transport: "SOAP"}},
		{"Username", hostedexchange.Config{URL: "https://server/mpf", Password: secret.New("hunter2")}},
		{"Password", hostedexchange.Config{URL: "https://server/mpf", Username: "svc"}},
	} {
		_, err := hostedexchange.New(tt.cfg)
		if err == nil || !strings.Contains(err.Error(), "hostedexchange: "+tt.want+" ") {
			t.Errorf("%s: %v", tt.want, err)
		}
		wantHidden(t, []string{"hunter2"}, err)
	}
}

// TestEnded: where the vendor answered with an error of unknown reach nothing more happens; where
// it lost touch with a server something may.
func TestEnded(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{"0x80004005": true, "0x80070643": true, "0x80072035": true, "errorContext": true, "0x8007203A": false, hostedexchange.CodeExists: false, "HTTP 500": false, "SOAP Fault": false, "": false} {
		if hostedexchange.Ended(code) != want {
			t.Errorf("%q: %v", code, !want)
		}
	}
	for code, want := range map[string]bool{hostedexchange.CodeExists: true, "0x800708B0": true, "0x80004005": false} {
		if _, err := answering(t, 200, []byte(coded(code))).CreateBusinessUser(t.Context(), bob()); hostedexchange.Exists(err) != want {
			t.Errorf("%s: %v", code, err)
		}
	}
}
