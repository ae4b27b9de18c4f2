package hostedexchange

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

const (
	// CodeExists is the code of a user, or another object of that name, that is already there.
	CodeExists     = "0x80071392"
	codeUserExists = "0x800708B0"
)

// codes is the one table of what the vendor's error codes mean. The page lists none; these are
// Windows' own and those of MPF's error and SOAP providers.
//
// With the codes of Refused, NotFound and Invalid the directory refuses a step that can be rolled
// back, or one before anything was done. Every other code, above all the engine's generic one, says
// that the procedure ended with an error and was rolled back. The effects of steps without rollback
// code stay, and more if the rollback fails (events 4107 and 4108). So the outcome is not known:
// see [Ended].
var codes = map[string]struct {
	kind failure.Kind
	text string
}{
	CodeExists:     {failure.Refused, "an object of that name already exists"},
	codeUserExists: {failure.Refused, "a user of that name already exists"},
	"0x80072030":   {failure.NotFound, "the container, or an object that the request names, does not exist"},
	"0x80070005":   {failure.Refused, "the account lacks the right, such as the UserCreator role"},
	"0x8007052D":   {failure.Refused, "the password breaks the domain's policy"},
	"0x800708C5":   {failure.Refused, "the password breaks the domain's policy"},
	"0x80072035":   {failure.Unknown, "the directory is unwilling; most often a value or the password breaks a rule"},
	"0x80072032":   {failure.Invalid, "a path is not a distinguished name"},
	"0x8007200A":   {failure.Invalid, "an attribute does not exist"},
	"0x8007200B":   {failure.Invalid, "a value breaks its attribute's syntax"},

	"0x8007203A": {failure.Unknown, lostTouch}, // LDAP: the server is down
	"0x800706BA": {failure.Unknown, lostTouch}, // RPC: the server is unavailable
	"0x800706BE": {failure.Unknown, lostTouch}, // RPC: the call failed
	"0x800705B4": {failure.Unknown, lostTouch}, // time ran out
	"0x8700000A": {failure.Unknown, lostTouch}, // SOAP provider: send, receive, connect, names, no valid response
	"0x8700000F": {failure.Unknown, lostTouch},
	"0x87000010": {failure.Unknown, lostTouch},
	"0x87000011": {failure.Unknown, lostTouch},
	"0x87000012": {failure.Unknown, lostTouch},
	"0x87000015": {failure.Unknown, lostTouch},
}

const (
	lostTouch = "the provisioning engine lost touch with a server and may have acted"
	ended     = "the provisioning engine ended the procedure with an error, and may have left a part of its work"
)

// noCode stands for the code of an errorContext that has none, or none that can be published.
const noCode = "errorContext"

// Ended reports whether the code of an Unknown says that the vendor did answer: it ended the
// procedure with an error. Nothing more is going to happen then, and only the directory tells
// whether the rollback has left anything.
func Ended(code string) bool {
	known, listed := codes[code]
	return code == noCode || strings.HasPrefix(code, "0x") && (!listed || known.kind == failure.Unknown && known.text != lostTouch)
}

// Exists reports whether err is the refusal of a name that is taken.
func Exists(err error) bool {
	e, ok := errors.AsType[*failure.Error](err)
	return ok && (e.Code == CodeExists || e.Code == codeUserExists)
}

// decodeAnswer reads an answer of any status: its <data>, or the failure that it means. secrets are
// hidden in it once more, since an answer that is not UTF-8 shows them only when it is decoded.
//
// The vendor's own word comes first, wherever it stands: errorContext, then a SOAP fault, then
// <data>. Only an answer without any of them is judged by its HTTP status.
func decodeAnswer(res *transport.Response, secrets ...secret.String) (*element, error) {
	body, err := inUTF8(res)
	if err != nil {
		return nil, statusFailure(transport.Write, res, err)
	}
	root, err := parse(secret.HideBytes(body, secrets...))
	if err != nil {
		return nil, statusFailure(transport.Write, res, err)
	}
	if e := root.find("errorContext"); e != nil {
		return nil, e.failure()
	}
	if fault := root.find("Fault"); fault != nil {
		return nil, fault.fault()
	}
	if data := root.find("data"); data != nil && res.Status/100 == 2 {
		return data, nil
	}
	return nil, statusFailure(transport.Write, res, nil)
}

// unknownAnswer is the failure of an answer that reports success and does not say of what.
func unknownAnswer() error {
	return &failure.Error{Kind: failure.Unknown, Vendor: Vendor, Code: "HTTP 200", Text: "the vendor's answer cannot be understood"}
}

// failure is what an errorContext means. Its description never counts and is never passed on: it
// may quote what was sent.
func (e *element) failure() *failure.Error {
	f := &failure.Error{Kind: failure.Unknown, Vendor: Vendor, Code: normalCode(e.attrs["code"]), Text: ended}
	if known, ok := codes[f.Code]; ok {
		f.Kind, f.Text = known.kind, known.text
	}
	if source := e.find("errorSource"); source != nil {
		if ns, proc := source.attrs["namespace"], source.attrs["procedure"]; identifier.MatchString(ns) && identifier.MatchString(proc) {
			f.Text += " (" + ns + "::" + proc + ")"
		}
	}
	return f
}

// identifier is what names of namespaces and procedures look like.
var identifier = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_. -]{0,63}$`)

// normalCode writes a code as "0x80071392", also where the vendor gave it in lower case or as a
// decimal; noCode for anything else.
func normalCode(code string) string {
	n, err := strconv.ParseInt(strings.TrimSpace(code), 0, 64)
	if err != nil {
		return noCode
	}
	return fmt.Sprintf("0x%08X", uint32(n)) // an HRESULT is 32 bits, with a sign in decimal
}

// fault is what a SOAP fault without an errorContext means (SOAP 1.1 section 4.4.1).
func (e *element) fault() *failure.Error {
	code := e.value("faultcode")
	code = code[strings.LastIndexByte(code, ':')+1:]
	switch code {
	case "Client", "MustUnderstand", "VersionMismatch":
		return &failure.Error{
			Kind: failure.Refused, Vendor: Vendor, Code: "SOAP " + code,
			Text: "the vendor does not take the SOAP message; check the configured URL and transport",
		}
	default: // "Server": it may have been at work already
		return &failure.Error{Kind: failure.Unknown, Vendor: Vendor, Code: "SOAP Fault", Text: "the vendor failed and did not say whether it acted"}
	}
}

// statusFailure is what an answer means that holds nothing of the vendor's own.
//
// A refusal by the web server says nothing about the user or the container: it is Unavailable. A
// 503 to a Write is Unknown, since a gateway also answers so when the system behind it has taken
// the request and gone silent.
func statusFailure(effect transport.Effect, res *transport.Response, cause error) *failure.Error {
	f := transport.StatusFailure(Vendor, effect, res)
	f.Cause = cause
	switch res.Status {
	case http.StatusUnauthorized:
		f.Kind, f.Text = failure.Unavailable, "the vendor does not accept the configured user name and password, and did nothing"
	case http.StatusForbidden:
		f.Kind, f.Text = failure.Unavailable, "the vendor's web server does not let the configured account in, and did nothing"
	case http.StatusNotFound, http.StatusGone, http.StatusMethodNotAllowed:
		f.Kind, f.Text = failure.Unavailable, "the provisioning system does not answer there; check the configured URL"
	case http.StatusServiceUnavailable:
		if effect == transport.Write {
			f.Kind = failure.Unknown
			f.Code = CodeAway
			f.Text = "the vendor is temporarily unavailable and did not say whether it acted"
		}
	}
	if unreadable, ok := errors.AsType[*unreadableError](cause); ok {
		f.Text += ": " + unreadable.Error()
	}
	return f
}

// CodeAway is the code of a 503. Most often nothing was done.
const CodeAway = "HTTP 503"
