package oauth

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"

	"golang.org/x/oauth2"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// credentialCodes are the error codes that say that the credentials themselves are wrong.
var credentialCodes = map[string]bool{"invalid_client": true, "unauthorized_client": true, "invalid_grant": true, "access_denied": true}

// refusals are the error codes of RFC 6749 section 5.2 (and Entra's invalid_resource), each with
// what to correct in the tenant's configuration. Two more codes, of section 4.1.2.1, are seen at
// token endpoints too and mean an outage.
var refusals = map[string]string{
	"invalid_client":          "the identity service refuses the application; its secret or certificate may have expired or been withdrawn: correct clientId, clientSecret or certificate in the tenant's configuration",
	"unauthorized_client":     "the application may not use the client credentials grant; check clientId in the tenant's configuration, and the application's registration",
	"invalid_scope":           "the identity service does not grant the scope; correct scope in the tenant's configuration, or the application's permissions",
	"invalid_resource":        "the identity service does not know the scope's resource; correct scope in the tenant's configuration",
	"invalid_grant":           "the identity service refuses the grant; check tokenUrl, clientId, and clientSecret or certificate in the tenant's configuration",
	"invalid_request":         "the identity service refuses the token request; check tokenUrl and clientId in the tenant's configuration",
	"unsupported_grant_type":  "the token URL does not offer the client credentials grant; correct tokenUrl in the tenant's configuration",
	"access_denied":           "the identity service denies the application access; check clientId in the tenant's configuration, and the application's registration",
	"temporarily_unavailable": "the identity service is temporarily unavailable",
	"server_error":            "the identity service failed",
}

// failed turns an error of x/oauth2 into a failure. That error itself is dropped, for it quotes
// the answer, and an answer may hold a token, or echo the secret.
//
// Whatever the endpoint answers, nothing was done for the command, and it can be done once the
// endpoint answers well or a person has corrected the configuration. So every answer is
// Unavailable, but for one that asks for fewer requests.
func (s *Source) failed(err error) error {
	e, ok := errors.AsType[*failure.Error](err)
	if !ok {
		e = s.answered(err)
	}
	if e.Kind != failure.Throttled {
		e.Kind = failure.Unavailable
	}
	e.Text = "no access token: " + e.Text
	return e
}

// answered is the failure that an answer of the token endpoint means.
func (s *Source) answered(err error) *failure.Error {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return &failure.Error{Vendor: s.vendor, Text: "the identity service's answer cannot be understood; if that stays so, check tokenUrl in the tenant's configuration"}
	}
	res := &transport.Response{Status: refused.Response.StatusCode, Header: refused.Response.Header}
	e := transport.StatusFailure(s.vendor, transport.Read, res)
	switch text, known := refusals[refused.ErrorCode]; {
	case e.Kind == failure.Throttled:
	case known:
		e.Code, e.Text = refused.ErrorCode, text
	case e.Kind == failure.NotFound, e.Kind == failure.Refused:
		e.Text = "the token URL does not answer like a token endpoint; if that stays so, check tokenUrl and clientId in the tenant's configuration"
	}
	e.Cause = fmt.Errorf("token endpoint: HTTP %d, error %q, vendor's number %q, request-id %q",
		res.Status, e.Code, vendorNumber(refused.Body), requestID(res.Header))
	return e
}

var entraNumber = regexp.MustCompile(`AADSTS[0-9]{1,10}`)

// vendorNumber is the number that Entra's error_description begins with, such as AADSTS7000215; it
// tells an expired secret from a wrong one.
func vendorNumber(body []byte) string { return string(entraNumber.Find(body)) }

func requestID(h http.Header) string {
	return cmp.Or(h.Get("X-Ms-Request-Id"), h.Get("Request-Id"))
}

// roundTripper lets x/oauth2 send through a [transport.Client], with its bounds and its failures.
type roundTripper struct{ client *transport.Client }

func (rt roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	// A lost answer cost nothing but a token that nobody uses: Read.
	res, err := rt.client.Do(transport.WithCall(req.Context(), "token"), transport.Read, req)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: http.StatusText(res.Status), StatusCode: res.Status, Header: res.Header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(res.Body)), ContentLength: int64(len(res.Body)), Request: req,
	}, nil
}
