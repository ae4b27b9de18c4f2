package hostedexchange

import (
	"errors"
	"net/http"
	"strings"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// Codes of an errorContext. The first is the engine's own (Error Provider); the others are the
// HRESULTs that Windows has for the case, which the page does not state.
const (
	codeGeneric      = "0x80004005"
	codeAccessDenied = "0x80070005"
	codeBadRequest   = "0x80070057" // invalid argument
	codeBadXML       = "0xC00CE504"
	codeNoSpace      = "0x80070070"
	codeExists       = "0x80071392"
	codeNoObject     = "0x80072030"
	codeNoAttribute  = "0x8007200A"
	codeNoServer     = "0x8007203A"
	codePassword     = "0x800708C5"
)

// failure is an error as the engine reports it.
type failure struct {
	code, text string
	sources    []string // procedures, innermost first
	committed  bool     // the rollback failed: something stays
}

func (f *failure) Error() string { return f.code + ": " + f.text }

// fault is a failure of the procedure that was called.
func fault(code, text string) error { return &failure{code: code, text: text} }

// faultIn is a failure of a procedure that it called in turn.
func faultIn(procedure, code, text string) error {
	return &failure{code: code, text: text, sources: []string{procedure}}
}

// failed answers with an errorContext: status 200, or 500 and a SOAP Fault around it.
func (a *API) failed(x *execution, err error) call.Answer {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = &failure{code: codeGeneric, text: "Unspecified error"}
	}
	context := element("errorContext", "").with("code", f.code).with("description", f.text)
	for _, procedure := range append(f.sources, x.procedure) {
		if procedure != "" {
			context.Children = append(context.Children, element("errorSource", "").with("namespace", namespace).with("procedure", procedure))
		}
	}
	status, document := http.StatusOK, element("response", "", context)
	if a.world.Switches.Text(switches.HostedErrors) == "500" {
		status = http.StatusInternalServerError
		if x.soap {
			document = element("SOAP-ENV:Fault", "",
				element("faultcode", "SOAP-ENV:Server"), element("faultstring", f.text), element("detail", "", document))
		}
	}
	answer := a.respond(status, document, x.soap)
	answer.Outcome, answer.Committed = f.Error(), f.committed
	return answer
}

func trim(n *node) string { return strings.TrimSpace(n.Text) }
