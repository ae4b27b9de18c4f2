package exchangeonline

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/mailwright/mailwright/pkg/failure"
	"github.com/mailwright/mailwright/pkg/vendors/transport"
)

// meanings is the one table that turns an error into a failure: the first row that fits counts, an empty column fits
// everything, and what fits no row means what its HTTP status means. The vendor documents no errors; all rows were seen. Texts of the
// vendor are never looked at: they are localised, and name servers.
var meanings = []struct {
	status    int
	code      string // error.code
	exception string // last part of the .NET type
	kind      failure.Kind
	text      string
}{
	{429, "", "", failure.Throttled, "the vendor asks for fewer requests"},
	{0, "", "UserNotFoundInPermissionEntryException", failure.NotFound, "the folder has no entry for that user"},
	{0, "", "UserAlreadyExistsInPermissionEntryException", failure.Refused, "the folder has an entry for that user already"},
	{0, "", "ManagementObjectNotFoundException", failure.NotFound, "the vendor does not know the mailbox, folder, group or delegate"},
	{0, "", "RecipientNotFoundException", failure.NotFound, "the vendor does not know a delegate"},
	{0, "", "ManagementObjectAmbiguousException", failure.Invalid, "the name fits several recipients"},
	{0, "", "AmbiguousParameterSetException", failure.Refused, "the organisation does not offer a parameter of this request (yet)"},
	{0, "", "ParameterTransformationException", failure.Invalid, "the vendor can not read a value of this request"},
	{0, "NotFound", "", failure.NotFound, "the vendor does not know the mailbox, folder, group or delegate"},
	// The token was fetched anew before this is said: it is the application that has lost its permission, whatever the command.
	{401, "", "", failure.Unavailable, "the vendor refuses the application's access token; check tenantId, clientId and scope in the tenant's configuration, and the permission Exchange.ManageAsAppV2"},
	{403, "", "", failure.Refused, "the application lacks a permission or an Exchange role"},
	// A bare 404 is about the URL, which names tenant and endpoint but no mailbox.
	{404, "", "", failure.Refused, "the organisation does not offer this API; check base URL and tenant"},
}

// fault is what an error says in fields.
type fault struct {
	code      string
	exception string
}

// check returns the failure that an answer means, or nil for a success.
func check(effect transport.Effect, cmdlet string, res *transport.Response) error {
	f, found := decodeFault(res.Body)
	if (res.Status == http.StatusOK || res.Status == http.StatusNoContent) && !found {
		return nil
	}
	e := transport.StatusFailure(Vendor, effect, res)
	for _, row := range meanings {
		if (row.status == 0 || row.status == res.Status) && (row.code == "" || row.code == f.code) && (row.exception == "" || row.exception == f.exception) {
			e.Kind, e.Text = row.kind, row.text
			break
		}
	}
	e.Code = cmp.Or(strings.Trim(f.code+"/"+f.exception, "/"), e.Code)
	e.Cause = fmt.Errorf("%s: HTTP %d, code %q, type %q, request-id %q", cmdlet, res.Status, f.code, f.exception, res.Header.Get("Request-Id"))
	return e
}

// decodeFault reads an OData error and reports whether there is one. It takes what it can get: a 403 comes with a
// run of NULs for a body, a proxy's answer in HTML (seen).
func decodeFault(body []byte) (fault, bool) {
	var envelope struct {
		Error *struct {
			Code    string
			Details []struct{ Message string }
			Inner   struct {
				Type     string
				Internal struct{ Type string } `json:"internalexception"`
			} `json:"innererror"`
		}
	}
	body = bytes.Trim(body, "\x00 \t\r\n")
	// A member of another type is left out, the others are read: so only syntax decides.
	if kind(body) != '{' || !json.Valid(body) {
		return fault{}, false
	}
	_ = json.Unmarshal(body, &envelope)
	if envelope.Error == nil {
		return fault{}, false
	}
	exception := envelope.Error.Inner.Internal.Type
	if exception == "" && len(envelope.Error.Details) > 0 {
		// "Ex6F9304|Microsoft.Exchange…Exception|The operation couldn't be performed…"
		if parts := strings.SplitN(envelope.Error.Details[0].Message, "|", 3); len(parts) == 3 {
			exception = parts[1]
		}
	}
	exception = cmp.Or(exception, envelope.Error.Inner.Type)
	return fault{
		code:      identifier(envelope.Error.Code),
		exception: identifier(exception[strings.LastIndex(exception, ".")+1:]),
	}, true
}

var identifierForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,99}$`)

// identifier is s if it can be a code or a type's name, which is safe to publish, else "".
func identifier(s string) string {
	if identifierForm.MatchString(s) {
		return s
	}
	return ""
}
