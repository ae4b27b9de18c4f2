// Package hostedexchange simulates the Microsoft Provisioning System's Hosted Exchange namespace:
// CreateBusinessUser whole, CreateMailbox, and DeleteBusinessUser. Source: the page "Hosted
// Exchange::CreateBusinessUser", and the notes on requests, SOAP and errors.
package hostedexchange

import (
	"bytes"
	"mime"
	"net/http"
	"slices"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

const (
	namespace    = "Hosted Exchange"
	soapSpace    = "http://schemas.xmlsoap.org/soap/envelope/"
	creatorRole  = "UserCreator"
	requestPath  = "/mpf/request"
	soapPath     = "/mpf/soapisapi.dll"
	xmlMediaType = "text/xml; charset=utf-8"
)

// encodings are the ways to write an answer. But for UTF-8 the document alone says which it is.
var encodings = map[string]struct {
	mediaType, declared string
	as                  encoding.Encoding
}{
	"utf-8":        {xmlMediaType, "utf-8", encoding.Nop},
	"utf-8-bom":    {"text/xml", "utf-8", unicode.UTF8BOM},
	"utf-16":       {"text/xml", "utf-16", unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)},
	"iso-8859-1":   {"text/xml", "iso-8859-1", charmap.ISO8859_1},
	"windows-1252": {"text/xml", "windows-1252", charmap.Windows1252},
}

// API is the service. Digits makes the random part of a sAMAccountName: n decimal digits.
type API struct {
	world  *state.World
	digits func(n int) string
}

// New makes the service.
func New(w *state.World, digits func(n int) string) *API { return &API{world: w, digits: digits} }

// Vendor implements [call.API].
func (a *API) Vendor() string { return "hostedexchange" }

// execution is one procedure call, taken out of its envelope.
type execution struct {
	namespace, procedure string
	data                 *node // the arguments
	soap                 bool
	impersonate          bool
	simple               bool  // data only: the answer is the merged data
	after                *node // the transformation into the answer; nil: an empty <data/>
	run                  call.Run
}

// Open implements [call.API].
func (a *API) Open(r *http.Request, body []byte) call.Operation {
	if r.URL.Path != soapPath && r.URL.Path != requestPath {
		return call.Refuse("unknown", r.URL.Path, page(http.StatusNotFound, "Not Found"))
	}
	if r.Method != http.MethodPost {
		return call.Operation{Name: "unknown", Target: r.URL.Path, Run: func(call.Run) call.Answer {
			if _, known := a.caller(r); !known {
				return a.unauthorized()
			}
			refused := page(http.StatusMethodNotAllowed, "Method Not Allowed")
			refused.Header.Set("Allow", http.MethodPost)
			return refused
		}}
	}
	x := &execution{soap: r.URL.Path == soapPath}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "text/xml" && (x.soap || kind != "application/xml") {
		return call.Refuse("unknown", r.URL.Path, page(http.StatusUnsupportedMediaType, "Unsupported Media Type"))
	}
	wrong := a.unwrap(x, body)
	name, target := x.procedure, x.data.value("userPrincipalName")
	if name == "" {
		name = "unknown"
	}
	if target == "" {
		target = x.data.value("path")
	}
	return call.Operation{Name: name, Target: target, Run: func(run call.Run) call.Answer {
		roles, known := a.caller(r)
		if !known {
			return a.unauthorized()
		}
		if wrong != nil {
			return a.failed(x, wrong)
		}
		x.run = run
		return a.execute(x, roles)
	}}
}

// unauthorized is what IIS answers to a caller that it does not know, whatever is asked for.
func (a *API) unauthorized() call.Answer {
	refused := page(http.StatusUnauthorized, "Unauthorized")
	refused.Header.Set("WWW-Authenticate", `Basic realm="`+a.world.Seed().Hosted.Domain+`"`)
	return refused
}

// caller finds the Windows identity, for which HTTP basic credentials stand.
func (a *API) caller(r *http.Request) (roles []string, known bool) {
	username, password, ok := r.BasicAuth()
	for _, c := range a.world.Seed().Hosted.Callers {
		if ok && c.Username == username && c.Password == password {
			return c.Roles, true
		}
	}
	return nil, false
}

func (a *API) execute(x *execution, roles []string) call.Answer {
	procedures := map[string]func(*execution) ([]*node, error){
		"CreateBusinessUser": a.createBusinessUser, "CreateMailbox": a.createMailbox, "DeleteBusinessUser": a.deleteBusinessUser,
	}
	procedure := procedures[x.procedure]
	switch {
	case x.namespace != namespace || procedure == nil:
		return a.failed(x, fault(codeGeneric, "The procedure is not registered in the namespace."))
	case !x.simple && !x.impersonate && a.world.Switches.Text(switches.HostedImpersonate) == "require",
		!slices.Contains(roles, creatorRole):
		return a.failed(x, fault(codeAccessDenied, "Access is denied."))
	}
	output, err := procedure(x)
	if err != nil {
		return a.failed(x, err)
	}
	data := element("data", "")
	switch {
	case x.simple:
		data.Children = output
	case x.after != nil:
		data.Children = output
		if mode, ok := x.after.attribute("mode"); !ok || mode == "insert" {
			data.Children = []*node{element("executeData", "", output...)}
		}
	}
	answer := a.respond(http.StatusOK, element("response", "", data), x.soap)
	answer.Outcome, answer.Committed = "done", true
	return answer
}

// respond writes a document, within a SOAP envelope where the request had one.
func (a *API) respond(status int, document *node, soap bool) call.Answer {
	written := encodings[a.world.Switches.Text(switches.HostedEncoding)]
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="` + written.declared + `"?>`)
	if soap {
		document = element("SOAP-ENV:Envelope", "", element("SOAP-ENV:Body", "", document)).with("xmlns:SOAP-ENV", soapSpace)
	}
	document.write(&b)
	// of UTF-8: never fails
	body, _ := encoding.HTMLEscapeUnsupported(written.as.NewEncoder()).Bytes(b.Bytes())
	return call.Answer{Status: status, Header: http.Header{}, Type: written.mediaType, Body: body}
}

func page(status int, text string) call.Answer {
	return call.Answer{Status: status, Header: http.Header{}, Type: "text/html", Body: []byte("<html><body><h1>" + text + "</h1></body></html>"), Outcome: text}
}
