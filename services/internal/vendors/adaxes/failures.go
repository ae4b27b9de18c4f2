package adaxes

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// answers is the one table of what an HTTP answer means (REST_Errors; the page's list of statuses
// is known only in part, so HTTP's own meanings fill it). The first row that fits wins.
var answers = []struct {
	from, to int
	// fromAPI: the row holds only for the API's own error object. A 404 without one comes from a
	// proxy, or from IIS while the application is away, and must not be read as "there is no such
	// object".
	fromAPI     bool
	read, write failure.Kind
	text        string
}{
	{200, 299, false, failure.Internal, failure.Unknown, "the vendor's answer cannot be understood"},
	{300, 399, false, failure.Refused, failure.Refused, "the vendor answers with a redirect; check the configured base URL"},
	{400, 400, false, failure.Invalid, failure.Invalid, "the vendor finds the request wrong"},
	{401, 401, false, failure.Unavailable, failure.Unavailable, "the vendor does not accept the token, and did nothing; renew the configured one"},
	{403, 403, false, failure.Refused, failure.Refused, "the vendor refuses our credentials or rights"},
	{404, 404, true, failure.NotFound, failure.NotFound, "the vendor does not know the object"},
	{404, 404, false, failure.Unavailable, failure.Unavailable, "the vendor's API does not answer there; check the configured base URL"},
	{405, 405, false, failure.Refused, failure.Refused, "the vendor does not offer this call; check the configured base URL"},
	{408, 408, false, failure.Unavailable, failure.Unknown, "the vendor ran out of time and did not say whether it acted"},
	{413, 413, false, failure.Invalid, failure.Invalid, "the request is too large for the vendor"},
	{429, 429, false, failure.Throttled, failure.Throttled, "the vendor asks for fewer requests"},
	{400, 499, false, failure.Refused, failure.Refused, "the vendor refuses the request"},
	// Most often a 503 means that nothing was done. A gateway also answers so when the vendor took
	// the request and went silent, and a create that is sent again may make a second object.
	{503, 503, false, failure.Unavailable, failure.Unknown, "the vendor is temporarily unavailable"},
	{0, 999, false, failure.Unavailable, failure.Unknown, "the vendor failed and did not say whether it acted"},
}

// errorObject is the body of the API's own errors.
type errorObject struct {
	Message, Code string
	// ModelState names the request's fields that are wrong; on 400 only.
	ModelState json.RawMessage
	InnerError *struct{ Message, Code string }
}

// credentials are the codes of an innerError that say that our account may not sign in as it stands
// (REST_Errors). A person can correct that, and nothing was done. accessDenied is none of them: it
// is about rights.
var credentials = []string{"invalidCredentials", "accountIsDisabled", "accountLockedOut", "accountExpired", "logonTimeIncorrect"}

// unauthenticated reports whether the vendor does not know who asks: 401, or 403 with an innerError
// that says why, which is about the sign-in alone.
func unauthenticated(res *transport.Response) bool {
	var body errorObject
	return res.Status == http.StatusUnauthorized ||
		res.Status == http.StatusForbidden && json.Unmarshal(res.Body, &body) == nil && body.InnerError != nil && slices.Contains(credentials, body.InnerError.Code)
}

// httpFailure is what an answer other than success means. It also serves an answer of 200 that is
// not what the page promises.
func httpFailure(effect transport.Effect, res *transport.Response, r redactor) *failure.Error {
	var body errorObject
	// An error object always has a code; IIS's own JSON has only a message.
	fromAPI := json.Unmarshal(res.Body, &body) == nil && body.Code != ""
	e := &failure.Error{Vendor: Vendor, Code: fmt.Sprintf("HTTP %d", res.Status), RetryAfter: transport.RetryAfter(res.Header, time.Now())}
	for _, a := range answers {
		if res.Status < a.from || res.Status > a.to || a.fromAPI && !fromAPI {
			continue
		}
		e.Kind, e.Text = a.read, a.text
		if effect == transport.Write {
			e.Kind = a.write
		}
		break
	}
	if !fromAPI {
		return e
	}
	if identifier.MatchString(body.Code) {
		e.Code = body.Code
	}
	// 403 says why the sign-in failed only here: invalidCredentials, accountLockedOut, ...
	if body.InnerError != nil && identifier.MatchString(body.InnerError.Code) {
		e.Code = body.InnerError.Code
		if slices.Contains(credentials, e.Code) {
			e.Kind, e.Text = failure.Unavailable, "the vendor does not let our account in, and did nothing; look at the account and the configured password"
		}
	}
	// The message of a 5xx describes the vendor's inside, not the request.
	if body.Message != "" && res.Status/100 == 4 {
		e.Text += ": " + r.safe(body.Message)
	}
	e.Text += r.fields(body.ModelState)
	return e
}

// maxFields bounds how many wrong fields are named.
const maxFields = 5

// fields tells what is wrong with which field, as far as modelState has the form of ASP.NET: a list
// of texts, or a text, by field.
func (r redactor) fields(modelState json.RawMessage) string {
	var byField map[string]json.RawMessage
	if json.Unmarshal(modelState, &byField) != nil {
		return ""
	}
	var text strings.Builder
	for i, field := range slices.Sorted(maps.Keys(byField)) {
		if i == maxFields {
			fmt.Fprintf(&text, "; and %d fields more", len(byField)-maxFields)
			break
		}
		var faults []string
		if json.Unmarshal(byField[field], &faults) != nil {
			faults = []string{""}
			_ = json.Unmarshal(byField[field], &faults[0]) // else the name alone has to do
		}
		what := r.safe(strings.TrimSpace(field + ": " + strings.Join(faults, " ")))
		if HoldsPassword(field) { // whatever is said about it may quote it
			what = r.safe(field) + " is wrong"
		}
		text.WriteString("; " + what)
	}
	return text.String()
}

// MayExist reports whether err may be the refusal of a name that is taken. For that the vendor has
// no code of its own: a failed operation says it in words.
func MayExist(err error) bool {
	e, ok := errors.AsType[*failure.Error](err)
	return ok && e.Kind == failure.Refused && slices.Contains([]string{"resultType 1", "0x80071392", "conflict", "HTTP 409"}, e.Code)
}

// identifier is what a vendor's code may look like if it is to be published.
var identifier = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,63}$`)

// hresult finds the code that Windows' directory errors carry in the text of an exception.
var hresult = regexp.MustCompile(`0x8007[0-9A-Fa-f]{4}`)

// refusals is what a failed operation (resultType 1) means where its exception carries a Windows
// code that leaves no doubt. Any other one is Refused: the vendor took the request and said no.
var refusals = map[string]failure.Kind{
	"0x80072030": failure.NotFound, // no such object: the target, its container or a manager, perhaps not yet replicated
	"0x80072032": failure.Invalid,  // a DN that is none
	"0x8007200A": failure.Invalid,  // no such attribute
	"0x8007200B": failure.Invalid,  // a value against the attribute's syntax
	"0x8007203A": failure.Unknown,  // the domain controller went away
	"0x800706BA": failure.Unknown,  // likewise, by RPC
	"0x800705B4": failure.Unknown,  // timed out inside
}
