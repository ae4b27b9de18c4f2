package enpower

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/nextlink"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// meanings is the one table that turns an HTTP status into a failure; a status that it does not
// list means what [transport.StatusFailure] says. Documented are 400, invalid parameters, and 500,
// unexpected (Use AvePoint Graph API, "HTTP Status Code"); the others are inferred.
var meanings = map[int]struct {
	kind failure.Kind
	text string
}{
	http.StatusBadRequest:   {failure.Invalid, "the vendor refuses a query parameter"},
	http.StatusUnauthorized: {failure.Unavailable, "the vendor refuses the application's access token; check url, tokenUrl and clientId in the tenant's configuration"},
	http.StatusForbidden:    {failure.Refused, "the application lacks the permission " + DefaultScope},
	http.StatusNotFound:     {failure.Refused, "the API is not at this base URL"}, // a list is never "not there yet"
}

// check returns the failure that an answer means, or nil for a success. On later pages the query is
// known to be good, so that a refusal is about the continuation, which a new walk replaces.
func check(res *transport.Response, page int) error {
	if res.Status == http.StatusOK {
		return nil
	}
	e := transport.StatusFailure(Vendor, transport.Read, res)
	if m, ok := meanings[res.Status]; ok {
		e.Kind, e.Text = m.kind, m.text
	}
	var expired error
	if page > 1 && (res.Status == http.StatusBadRequest || res.Status == http.StatusNotFound || res.Status == http.StatusGone) {
		e.Kind, e.Text = failure.Unavailable, "the vendor no longer knows its own nextLink; the list must be read anew"
		expired = nextlink.ErrExpired
	}
	f := decodeFault(res.Body)
	if len(f.Errors) > 0 {
		e.Code = cmp.Or(identifier(f.Errors[0].Code), e.Code)
	}
	e.Cause = errors.Join(expired, fmt.Errorf("page %d: HTTP %d, code %q, request-id %q, trace %q",
		page, res.Status, e.Code, identifier(cmp.Or(res.Header.Get("Request-Id"), f.RequestID)), identifier(f.TraceID)))
	return e
}

// fault is the error body of the sibling API Cloud Backup for Microsoft 365; EnPower documents
// none. Every member is optional.
type fault struct {
	Errors    []struct{ Code string }
	RequestID string
	TraceID   string
}

// decodeFault takes from the body of an error what it can get.
func decodeFault(body []byte) fault {
	var f fault
	// a member of another type is left out, the others are read
	_ = json.Unmarshal(bytes.TrimSpace(body), &f)
	return f
}

var identifierForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$`)

// identifier is s if it can be a code or the id of a request, which hold no text of the vendor's,
// else "".
func identifier(s string) string {
	if identifierForm.MatchString(s) {
		return s
	}
	return ""
}
