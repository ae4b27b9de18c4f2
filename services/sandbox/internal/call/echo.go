package call

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
)

// echo is an error in the vendor's own shape that repeats the caller's credential everywhere: as
// code, in text, in headers.
func echo(vendor string, status int, r *http.Request, body []byte) Answer {
	if status == 0 {
		status = http.StatusBadRequest
	}
	secret := credential(r, body)
	a := Answer{Status: status, Type: "application/json", Header: http.Header{
		"Request-Id": {secret}, "X-Ms-Request-Id": {secret}, "Www-Authenticate": {`Bearer error="` + secret + `"`}, "Location": {"https://%zz/" + secret},
	}}
	var shape any
	switch vendor {
	case "hostedexchange":
		var escaped strings.Builder
		_ = xml.EscapeText(&escaped, []byte(secret)) // a strings.Builder does not fail
		a.Type = "text/xml"
		a.Body = []byte(strings.ReplaceAll(`<response><errorContext code="$" description="$"><errorSource namespace="$" procedure="$"/></errorContext></response>`, "$", escaped.String()))
		return a
	case "adaxes":
		shape = map[string]any{"message": "The token " + secret + " is wrong", "code": secret, "innerError": map[string]string{"code": secret, "message": secret}}
	case "exchangeonline":
		shape = map[string]any{"error": map[string]any{"code": secret, "message": secret, "details": []any{map[string]string{"message": "Ex6F9304|a." + secret + "|" + secret}},
			"innererror": map[string]any{"internalexception": map[string]string{"type": "a." + secret, "message": secret}}}}
	case "enpower":
		shape = map[string]any{"message": secret, "errors": []any{map[string]string{"code": secret, "field": secret}}, "requestId": secret, "traceId": secret}
	default: // the token endpoints
		shape = map[string]any{"error": secret, "error_description": "AADSTS7000215: " + secret, "trace_id": secret}
	}
	a.Body, _ = json.Marshal(shape) // texts: never fails
	return a
}

// credential is the secret by which a request proves its caller: a token, a password, a client's
// secret or assertion.
func credential(r *http.Request, body []byte) string {
	if token := r.Header.Get("Adm-Authorization"); token != "" {
		return token
	}
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	if scheme != "" {
		return value
	}
	var members map[string]any
	if json.Unmarshal(body, &members) == nil {
		for _, name := range []string{"password", "sessionId"} {
			if text, ok := members[name].(string); ok {
				return text
			}
		}
	}
	form, _ := url.ParseQuery(string(body)) // what is no form has no secret
	if assertion := form.Get("client_assertion"); assertion != "" {
		return assertion
	}
	return form.Get("client_secret")
}
