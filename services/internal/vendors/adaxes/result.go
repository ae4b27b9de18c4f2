package adaxes

import (
	"encoding/json"
	"strings"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// OperationResult is what Adaxes answers to a write (REST_OperationResult).
type OperationResult struct {
	// ObjectDN is the DN of the object that was really created or changed, as the directory stored
	// it.
	ObjectDN string
	// NoChanges: there was nothing to do. Newer versions only.
	NoChanges bool
	// Messages is the tree of what happened on the way, business rules included.
	Messages []Message
	// Warnings are the messages of that tree, in order, which say that something was not done. An
	// account can be created without its password and report success.
	Warnings []Message
	// MailNickname, Mail and HomeMDB describe the mailbox of a CreateMailbox: alias, address, and
	// the database's name.
	MailNickname, Mail, HomeMDB string

	// A pointer to a string, not to a secret.String: fmt prints an address for it with every verb,
	// but reaches through an unexported struct without asking the methods that hide its value.
	temporary *string
}

// TemporaryPassword returns the password that Adaxes generated for a Microsoft 365 account. ok is
// false if no message of the result has one.
func (r OperationResult) TemporaryPassword() (secret.String, bool) {
	if r.temporary == nil {
		return secret.String{}, false
	}
	return secret.New(*r.temporary), true
}

// Message is one entry of an operation's log.
type Message struct {
	Type   MessageType
	Source string // a business rule's name, for instance; safe to publish like SafeText
	// SafeText is the first line of the vendor's text without passwords and host names. The
	// vendor's own text is not kept: temporary passwords stand in it.
	SafeText string
	Messages []Message
}

// MessageType is the vendor's MessageType.
type MessageType int

// The types of messages (page MessageType).
const (
	MessageError MessageType = iota
	MessageWarning
	MessageInformation
	MessageTriggeredOperation
	MessageApprovalRequired
	MessageFailureAudit
	MessageSuccessAudit
)

// resultType is what became of an operation.
type resultType int

// The outcomes (page ADM_OPERATIONRESULT_ENUM).
const (
	succeeded resultType = iota
	failed
	suspended
)

// operationResult is the wire form.
type operationResult struct {
	ResultType     *resultType // a pointer, as an answer without it must not count as success
	InnerMessages  []innerMessage
	Exception      exception
	ActualObjectDN string
	NoChanges      bool
	ExtraInfo      extraInfo
}

type innerMessage struct {
	Source, Text  string
	MessageType   *MessageType
	InnerMessages []innerMessage
}

type extraInfo struct{ MailNickname, Mail, HomeMDB string }

// exception is present in a failed result. Only its message is documented.
type exception struct {
	present bool
	message string
}

func (e *exception) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	e.present = true
	var object struct{ Message string }
	if json.Unmarshal(b, &object) == nil {
		e.message = object.Message
	}
	return nil
}

// decodeResult reads the answer to a write whole. The result is good also beside an error, as far
// as the vendor gave one: Refused, or what [refusals] says, where the operation failed; Suspended
// where it waits for approval; Unknown where the answer cannot be understood, as the write may
// have been carried out.
func decodeResult(body []byte, r redactor) (OperationResult, error) {
	var wire operationResult
	// the error might quote a password
	if json.Unmarshal(body, &wire) != nil || wire.ResultType == nil {
		return OperationResult{}, notUnderstood(transport.Write)
	}
	result := OperationResult{
		ObjectDN: wire.ActualObjectDN, NoChanges: wire.NoChanges,
		MailNickname: wire.ExtraInfo.MailNickname, Mail: wire.ExtraInfo.Mail, HomeMDB: wire.ExtraInfo.HomeMDB,
	}
	result.Messages = result.read(wire.InnerMessages, r)
	switch *wire.ResultType {
	case succeeded:
		if wire.Exception.present { // it contradicts itself
			return result, notUnderstood(transport.Write)
		}
		return result, nil
	case failed:
		return result, refusal(wire.Exception.message, result.Warnings, r)
	case suspended:
		return result, &failure.Error{Kind: failure.Suspended, Vendor: Vendor, Code: "resultType 2", Text: "the vendor holds the operation for approval"}
	default:
		return result, notUnderstood(transport.Write)
	}
}

// read converts a level of messages and those below it, and collects warnings and the temporary
// password.
func (r *OperationResult) read(wire []innerMessage, red redactor) []Message {
	var messages []Message
	for _, w := range wire {
		// A message without a type counts as a warning: a superfluous warning does no harm.
		m := Message{Type: MessageWarning, Source: red.safe(w.Source), SafeText: red.safe(w.Text)}
		if w.MessageType != nil {
			m.Type = *w.MessageType
		}
		if password, ok := red.find(w.Text); ok {
			r.temporary = &password
		}
		if m.Type == MessageError || m.Type == MessageWarning || m.Type == MessageFailureAudit {
			r.Warnings = append(r.Warnings, Message{Type: m.Type, Source: m.Source, SafeText: m.SafeText})
		}
		m.Messages = r.read(w.InnerMessages, red)
		messages = append(messages, m)
	}
	return messages
}

// refusal is the failure of an operation that the vendor carried to its end and declared failed.
func refusal(message string, warnings []Message, r redactor) *failure.Error {
	e := &failure.Error{Kind: failure.Refused, Vendor: Vendor, Code: "resultType 1", Text: "the vendor refuses the operation"}
	if code := hresult.FindString(message); code != "" {
		e.Code = "0x" + strings.ToUpper(code[2:])
		if kind, known := refusals[e.Code]; known {
			e.Kind = kind
		}
	}
	switch {
	case message != "":
		e.Text += ": " + r.safe(message)
	case len(warnings) > 0:
		e.Text += ": " + warnings[0].SafeText
	}
	return e
}

// notUnderstood is the failure of an answer of 200 that is not what the page promises.
func notUnderstood(effect transport.Effect) *failure.Error {
	return httpFailure(effect, &transport.Response{Status: 200}, redactor{temporary: temporaryPassword})
}
