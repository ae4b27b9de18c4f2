package exchangeonline

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// meaning is a row of [meanings]. An empty column fits every answer.
type meaning struct {
	// status is an HTTP status, or any4xx.
	status int
	code   string // error.code
	// exception is the last part of the .NET type; one that begins with * fits every type that ends
	// so.
	exception string
	// foreign fits only answers whose body the API did not write, see [fault].
	foreign bool
	kind    failure.Kind
	text    string
	// retryFor becomes [failure.Error.RetryFor].
	retryFor time.Duration
}

// any4xx stands for the statuses 400 to 499.
const any4xx = 4

// Texts that stand in several rows.
const (
	textUnknownObject = "the vendor does not know the mailbox, folder, group or delegate"
	textMayPass       = "the vendor failed, and says that this may pass"
)

// meanings is the one table that turns an error into a failure. The first row that fits counts;
// what fits no row means what its HTTP status means. The vendor documents no errors: all rows were
// seen. Texts of the vendor are never read, since they are localised and name servers.
var meanings = []meaning{
	{status: 429, kind: failure.Throttled, text: "the vendor asks for fewer requests"},
	{exception: "UserNotFoundInPermissionEntryException", kind: failure.NotFound, text: "the folder has no entry for that user"},
	{exception: "UserAlreadyExistsInPermissionEntryException", kind: failure.Refused, text: "the folder has an entry for that user already"},
	{exception: "ManagementObjectNotFoundException", kind: failure.NotFound, text: textUnknownObject},
	{exception: "RecipientNotFoundException", kind: failure.NotFound, text: "the vendor does not know a delegate"},
	{exception: "ManagementObjectAmbiguousException", kind: failure.Invalid, text: "the name fits several recipients"},
	{exception: "AmbiguousParameterSetException", kind: failure.Refused, text: "the organisation does not offer a parameter of this request (yet)"},
	{exception: "ParameterTransformationException", kind: failure.Invalid, text: "the vendor cannot read a value of this request"},
	// A change is written to Entra ID and to Exchange together. The vendor calls this failure
	// transient and asks to retry "a couple of minutes later"; for some mailboxes it never passes
	// (microsoft/Partner-Center-PowerShell, issue 409).
	{
		exception: "UnableToWriteToAadException", kind: failure.Unavailable, retryFor: 15 * time.Minute,
		text: "the vendor could not carry the change over to Microsoft Entra ID; if this does not pass, the mailbox may be kept on premises or under migration",
	},
	// Exchange derives what may pass from one class: ADTransientException,
	// StorageTransientException.
	{status: any4xx, exception: "*TransientException", kind: failure.Unavailable, text: textMayPass, retryFor: time.Hour},
	{exception: "*TransientException", kind: failure.Unavailable, text: textMayPass},
	{
		exception: "InvalidOperationException", kind: failure.Refused,
		text: "the vendor refuses the change, as a rule because the mailbox is kept on premises and synchronised to Exchange Online: change it in the Exchange organisation on premises",
	},
	{code: "NotFound", kind: failure.NotFound, text: textUnknownObject},
	// The token was fetched anew before this is said: the application has lost its permission.
	{status: 401, kind: failure.Unavailable, text: "the vendor refuses the application's access token; check tenantId, clientId and scope in the tenant's configuration, and the permission Exchange.ManageAsAppV2"},
	// The vendor's front end limits how much of a tenant runs at once, and says so in plain text
	// with a status other than 429 (GreyCorbel/ExoHelper retries it). A proxy answers likewise.
	// Neither says anything about the command.
	{
		status: any4xx, foreign: true, kind: failure.Unavailable, retryFor: time.Hour,
		text: "the answer is not one of the API's: something before it refuses the request, as it does when too many run at once",
	},
	{status: 403, kind: failure.Refused, text: "the application lacks a permission or an Exchange role"},
	// A 404 without a body is about the URL, which names tenant and endpoint but no mailbox.
	{status: 404, kind: failure.Refused, text: "the organisation does not offer this API; check base URL and tenant"},
}

// fault is what an error says in fields.
type fault struct {
	code      string
	exception string
	// foreign: the body holds something, and it is not an error in the form of the API.
	foreign bool
}

func (m meaning) fits(status int, f fault) bool {
	suffix, any := strings.CutPrefix(m.exception, "*")
	return (m.status == 0 || m.status == status || m.status == any4xx && status/100 == 4) &&
		(m.code == "" || m.code == f.code) &&
		(m.exception == "" || m.exception == f.exception || any && strings.HasSuffix(f.exception, suffix)) &&
		(!m.foreign || f.foreign)
}

// check returns the failure that an answer means, or nil for a success.
func check(effect transport.Effect, cmdlet string, res *transport.Response) error {
	f, found := decodeFault(res.Body)
	if (res.Status == http.StatusOK || res.Status == http.StatusNoContent) && !found {
		return nil
	}
	e := transport.StatusFailure(Vendor, effect, res)
	for _, row := range meanings {
		if row.fits(res.Status, f) {
			e.Kind = row.kind
			e.Text = row.text
			e.RetryFor = row.retryFor
			break
		}
	}
	e.Code = cmp.Or(strings.Trim(f.code+"/"+f.exception, "/"), e.Code)
	e.Cause = fmt.Errorf("%s: HTTP %d, code %q, type %q, request-id %q", cmdlet, res.Status, f.code, f.exception, res.Header.Get("Request-Id"))
	return e
}

// HasEnded reports whether an error of kind Unknown is an answer of the API itself. Such a call has
// ended: nothing of it is still under way, so reading tells whether it took effect. It is false
// where the answer was lost, or came from a gateway.
func HasEnded(err error) bool {
	f, ok := errors.AsType[*failure.Error](err)
	return ok && f.Vendor == Vendor && f.Kind == failure.Unknown && f.Code != "" && !strings.HasPrefix(f.Code, "HTTP ")
}

// decodeFault reads an OData error and reports whether there is one. It takes what it can get: a
// 403 comes with a run of NULs for a body, a proxy's answer in HTML (seen).
func decodeFault(body []byte) (fault, bool) {
	body = bytes.Trim(body, "\x00 \t\r\n")
	foreign := fault{foreign: len(body) > 0}
	var fields json.RawMessage
	err := members(body, func(name string, value json.RawMessage) error {
		if strings.EqualFold(name, "error") && kind(value) != 'n' {
			fields = value
		}
		return nil
	})
	if err != nil || fields == nil {
		return foreign, false
	}
	var found struct {
		Code    string
		Details []struct{ Message string }
		Inner   struct {
			Type     string
			Internal struct{ Type string } `json:"internalexception"`
		} `json:"innererror"`
	}
	_ = json.Unmarshal(fields, &found) // a member of another type is left out, the others are read
	exception := found.Inner.Internal.Type
	if exception == "" && len(found.Details) > 0 {
		// "Ex6F9304|Microsoft.Exchange…Exception|The operation couldn't be performed…"
		if parts := strings.SplitN(found.Details[0].Message, "|", 3); len(parts) == 3 {
			exception = parts[1]
		}
	}
	exception = cmp.Or(exception, found.Inner.Type)
	return fault{
		code:      identifier(found.Code),
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
