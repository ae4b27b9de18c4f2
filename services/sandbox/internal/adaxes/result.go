package adaxes

import (
	"errors"
	"net/http"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// result is an operation result (page, "Responses"; REST_OperationResult).
type result struct {
	ResultType     int        `json:"resultType"`
	InnerMessages  []message  `json:"innerMessages"`
	Exception      *exception `json:"exception"`
	ActualObjectDN *string    `json:"actualObjectDN"`
	ExtraInfo      any        `json:"extraInfo"`
}

type exception struct {
	Message string `json:"message"`
}

// message is one inner message; they nest.
type message struct {
	Source        *string   `json:"source"`
	Text          string    `json:"text"`
	MessageType   int       `json:"messageType"`
	InnerMessages []message `json:"innerMessages"`
}

// resultType.
const (
	succeeded = 0
	failed    = 1
	suspended = 2
)

// messageType.
const (
	errorMessage     = 0
	warning          = 1
	information      = 2
	triggered        = 3
	approvalRequired = 4
)

func note(kind int, text string) message {
	return message{Text: text, MessageType: kind, InnerMessages: []message{}}
}

func from(source string, kind int, text string, inside ...message) message {
	m := message{Source: &source, Text: text, MessageType: kind, InnerMessages: inside}
	if inside == nil {
		m.InnerMessages = []message{}
	}
	return m
}

// success is the answer to a write that was done.
func success(dn string, messages []message, extra any) call.Answer {
	if messages == nil {
		messages = []message{}
	}
	if extra == nil {
		extra = struct{}{}
	}
	a := answer(http.StatusOK, "succeeded", result{succeeded, messages, nil, &dn, extra})
	a.Committed = true
	return a
}

// refusal is why the directory does not do what was asked.
type refusal struct {
	status int // of the HTTP form
	text   string
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, text string) error { return &refusal{status, text} }

// declined is the answer to a write that was not done.
func (a *API) declined(err error) call.Answer {
	refused, ok := errors.AsType[*refusal](err)
	if !ok {
		return problem(http.StatusInternalServerError, "internalServerError", err.Error())
	}
	if a.world.Switches.Text(switches.AdaxesRefusals) == "http" {
		code := map[int]string{404: "notFound", 409: "conflict"}[refused.status]
		if code == "" {
			code = "badRequest"
		}
		made := problem(refused.status, code, refused.text)
		made.Outcome = refused.text
		return made
	}
	return answer(http.StatusOK, "resultType 1: "+refused.text,
		result{failed, []message{}, &exception{refused.text}, nil, struct{}{}})
}
