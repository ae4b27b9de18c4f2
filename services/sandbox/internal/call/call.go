// Package call runs every request to a simulated API the same way: read it, name it, let a
// fault strike or not, do its work, answer, and write the journal.
package call

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/fault"
	"github.com/mailwright/mailwright/services/sandbox/internal/journal"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
)

// MaxBody bounds a request's body, in bytes.
const MaxBody = 8 << 20

// API is one simulated vendor API.
type API interface {
	// Vendor is the name under which journal and faults know the API.
	Vendor() string
	// Open reads a request and says what call it is. It changes nothing.
	Open(r *http.Request, body []byte) Operation
}

// Operation is one call that is ready to run.
type Operation struct {
	Name string
	// Target is whom the call is about: a DN, an address, a client id. Never a secret.
	Target string
	// Detail is what the call asks for, for the journal, where Target does not tell it. Never a
	// secret.
	Detail string
	// Run does the work. Twist is "", or one of the fault kinds that only the API itself can act
	// out.
	Run func(Run) Answer
}

// Run is what an operation learns about the way it is run.
type Run struct {
	Origin state.Origin
	Twist  fault.Kind
}

// Answer is what the vendor sends back.
type Answer struct {
	Status int
	Header http.Header // may be nil
	Type   string      // content type
	Body   []byte
	Stream func(io.Writer) error // instead of Body, for long answers
	// Outcome is what was decided, in a few words, for the journal.
	Outcome string
	// Committed reports whether the tenant's state changed.
	Committed bool
}

// Refuse is an operation that only answers.
func Refuse(name, target string, a Answer) Operation {
	return Operation{Name: name, Target: target, Run: func(Run) Answer { return a }}
}

// Runner runs the calls of all APIs.
type Runner struct {
	World   *state.World
	Journal *journal.Journal
	Faults  *fault.Rules
	// Revoke ends the life of an access token, if it is one that was issued.
	Revoke func(token string) error
	Log    *slog.Logger
}

// Handler serves one API.
func (rn *Runner) Handler(api API) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { rn.serve(api, w, r) })
}

func (rn *Runner) serve(api API, w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	entry := journal.Entry{Sequence: rn.Journal.Next(), Time: rn.World.Now(), Vendor: api.Vendor()}
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	op := api.Open(r, body)
	entry.Call, entry.Target, entry.Detail = op.Name, op.Target, op.Detail
	x := exchange{w, r, body, func(a Answer, status int) {
		entry.Status, entry.Outcome, entry.Committed = status, a.Outcome, a.Committed
		entry.Took = time.Since(started)
		rn.Journal.Add(entry)
		rn.Log.Debug("vendor call", "vendor", entry.Vendor, "call", entry.Call, "target", entry.Target,
			"status", status, "outcome", entry.Outcome, "committed", entry.Committed, "fault", entry.Fault)
	}}

	delay, rule := rn.Faults.Pick(api.Vendor(), op.Name, op.Target)
	if delay > 0 {
		entry.Fault = string(fault.Latency)
		if !wait(r, delay) {
			x.finish(Answer{Outcome: "caller gave up before the work"}, 0)
			return
		}
	}
	run := Run{Origin: state.Origin{Sequence: entry.Sequence, Vendor: entry.Vendor, Call: op.Name, Target: op.Target, Detail: op.Detail, At: entry.Time}}
	if rule != nil {
		entry.Fault = string(rule.Kind)
		rn.strike(x, rule, api, op, run)
		return
	}
	x.reply(op.Run(run))
}

// exchange is a request, and the way to answer it.
type exchange struct {
	w    http.ResponseWriter
	r    *http.Request
	body []byte
	// finish writes the journal's entry. The status is 0 if there is no answer.
	finish func(a Answer, status int)
}

func (x exchange) reply(a Answer) {
	x.finish(a, a.Status)
	write(x.w, a)
}

// strike has a fault happen to a call.
func (rn *Runner) strike(x exchange, rule *fault.Rule, api API, op Operation, run Run) {
	if rule.Kind == fault.Suspend || rule.Kind == fault.Partial {
		run.Twist = rule.Kind
		x.reply(op.Run(run))
		return
	}
	a := Answer{Outcome: "nothing done"}
	if rule.After() {
		a = op.Run(run)
	}
	switch rule.Kind {
	case fault.TimeoutBefore, fault.TimeoutAfter:
		x.finish(a, 0)
		wait(x.r, rule.Hold())
		drop(x.w, false)
	case fault.Reset:
		x.finish(a, 0)
		drop(x.w, true)
	case fault.Status:
		x.finish(a, rule.Params.Status)
		writeStatus(x.w, rule.Params)
	case fault.ExpireToken:
		x.reply(rn.expired(api, run, x.r, x.body))
	case fault.SecretEcho:
		a = echo(api.Vendor(), rule.Params.Status, x.r, x.body)
		a.Outcome = "nothing done"
		x.reply(a)
	case fault.NonJSON:
		page := notJSON(rule.Params)
		x.finish(a, page.Status)
		write(x.w, page)
	}
}

// readBody reads a request. It is false if the caller went away or sent too much: then there is
// nobody to answer in the vendor's words.
func readBody(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		http.Error(w, "Request Entity Too Large", http.StatusRequestEntityTooLarge)
	}
	return body, err == nil
}

// notJSON is the page of a proxy in the place of an answer.
func notJSON(p fault.Params) Answer {
	const page = "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"
	return Answer{Status: cmp.Or(p.Status, http.StatusBadGateway), Type: "text/html", Body: []byte(cmp.Or(p.Body, page))}
}

// expired revokes the token of a call, and answers it as the API answers one without a token. An
// account token, which nobody issued, is refused this once.
func (rn *Runner) expired(api API, run Run, r *http.Request, body []byte) Answer {
	if err := rn.Revoke(credential(r, body)); err != nil {
		return Answer{Status: http.StatusInternalServerError, Outcome: err.Error()}
	}
	bare := r.Clone(r.Context())
	bare.Header.Del("Authorization")
	bare.Header.Del("Adm-Authorization")
	return api.Open(bare, body).Run(run)
}

// writeStatus sends a bare status, as a gateway in front of the vendor would.
func writeStatus(w http.ResponseWriter, p fault.Params) {
	header := http.Header{}
	if p.RetryAfter != "" {
		header.Set("Retry-After", p.RetryAfter)
	}
	kind := "text/plain"
	if bytes.HasPrefix([]byte(p.Body), []byte("{")) {
		kind = "application/json"
	}
	write(w, Answer{Status: p.Status, Header: header, Type: kind, Body: []byte(p.Body)})
}

func write(w http.ResponseWriter, a Answer) {
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	if a.Type != "" {
		w.Header().Set("Content-Type", a.Type)
	}
	if a.Stream != nil {
		w.WriteHeader(a.Status)
		_ = a.Stream(w) // the caller went away
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body)
}

// wait holds a call back and reports whether the caller is still there.
func wait(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// drop closes the connection without an answer; abruptly with a TCP reset.
func drop(w http.ResponseWriter, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2 cannot be taken over; this resets the stream
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// Origin is where a request was sent to, such as https://sandbox:8080, for links in the answer.
func Origin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
