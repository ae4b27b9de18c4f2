// Package audit records in the stream AUDIT what people do to the system: the intent before the
// act, and how it ended after it. What is done has its event even if the program is killed in
// between; what AUDIT cannot take is not done.
package audit

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// The actions.
const (
	SendAgain        = "again"
	Cancel           = "cancel"
	DeadDiscard      = "dead.discard"
	DeadReplay       = "dead.replay"
	Erase            = "erase"
	Import           = "import"
	RebuildRows      = "projection.rebuild"
	Retry            = "retry"
	PublishRecipient = "secrets.publish"
	Send             = "send"
	ApplyStreams     = "streams.apply"
)

// Actions lists them.
func Actions() []string {
	return []string{SendAgain, Cancel, DeadDiscard, DeadReplay, Erase, Import, RebuildRows, Retry, PublishRecipient, Send, ApplyStreams}
}

// Recorder writes to AUDIT.
type Recorder struct {
	JS jetstream.JetStream
	// User is the NATS user of the program, as package permissions names it. The permissions let a
	// user publish on its own subjects alone, so nobody acts under the name of another.
	User string
	// Source is the program, such as https://mailwright.io/mailwright.
	Source string
	// Person is who acts, as the program knows it: the operating system's user, or who is signed
	// in.
	Person string
}

// Act is what a person is about to do. Addresses, keys and secrets have no place in it, since
// nobody can take anything out of AUDIT.
type Act = event.AuditIntendedData

// Tally counts what an act has been done to so far.
type Tally struct{ done atomic.Int64 }

// Add counts n more.
func (t *Tally) Add(n int) { t.done.Add(int64(n)) }

// refusal is an error that says that nothing was done.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// Refused marks the error of an act that a rule of the system forbids, so that nothing was done.
func Refused(err error) error {
	if err == nil {
		return nil
	}
	return refusal{err}
}

const (
	// intentTimeout bounds how long an act waits for AUDIT.
	intentTimeout = 5 * time.Second
	// resultTimeout bounds how long the end of an act is offered to AUDIT, also after Ctrl-C.
	resultTimeout = 30 * time.Second
)

// ErrNotWritten says that an act was not done, since AUDIT could not take its intent.
var ErrNotWritten = errors.New("nothing was done, since it could not be written to AUDIT")

// Record writes the intent, calls do, and writes how it ended. The error is that of do. If the
// intent cannot be written, do is not called, and the error wraps [ErrNotWritten]. If the end
// cannot be written, the error says so beside that of do; the act then stays without a result in
// AUDIT, as if the program had been killed.
func (r Recorder) Record(ctx context.Context, act Act, do func(*Tally) error) error {
	if err := CheckReason(act.Reason); err != nil {
		return err
	}
	trim(&act)
	act.ConnectedAs = r.connectedAs(ctx)
	id := rand.Text()
	intent, err := r.announce(ctx, id, act)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotWritten, r.explain(err))
	}
	var tally Tally
	failure := do(&tally)
	result := event.AuditCompletedData{Action: act.Action, Result: resultOf(failure), Done: int(tally.done.Load())}
	if err := r.complete(context.WithoutCancel(ctx), id, result, intent); err != nil {
		return errors.Join(failure, fmt.Errorf("it ended as %q, which could not be written to AUDIT: %w", result.Result, r.explain(err)))
	}
	return failure
}

// announce stores the intent, and returns its sequence. An intent that is stored twice, since the
// first confirmation was lost, says nothing else.
func (r Recorder) announce(ctx context.Context, id string, act Act) (sequence uint64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, intentTimeout, fmt.Errorf("given up after %v", intentTimeout))
	defer cancel()
	m, err := r.message(event.TypeAuditIntended, id, id, act)
	if err != nil {
		return 0, err
	}
	ack, err := client.Store(ctx, r.JS, m)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// complete stores how an act ended, behind its intent.
func (r Recorder) complete(ctx context.Context, id string, result event.AuditCompletedData, intent uint64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, resultTimeout, fmt.Errorf("given up after %v", resultTimeout))
	defer cancel()
	m, err := r.message(event.TypeAuditCompleted, id, id+".completed", result)
	if err != nil {
		return err
	}
	_, err = bus.PublishIfLast(ctx, r.JS, m, intent)
	if errors.Is(err, bus.ErrNotLast) { // an attempt whose confirmation was lost has stored it
		return nil
	}
	return err
}

func resultOf(err error) string {
	_, refused := errors.AsType[refusal](err)
	switch {
	case err == nil:
		return event.AuditDone
	case refused:
		return event.AuditRefused
	default:
		return event.AuditFailed
	}
}

// explain names the permission that is missing, or the stream.
func (r Recorder) explain(err error) error {
	if denied := bus.Denied(r.JS.Conn()); denied != nil {
		return denied
	}
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		return fmt.Errorf("stream %s: %w; 'mailwright streams apply' makes one that is missing", topology.StreamAudit, client.ErrNoStreams)
	}
	return err
}

// message is one event of an act.
func (r Recorder) message(eventType, act, id string, data any) (*nats.Msg, error) {
	e, err := event.New(id, r.Source, eventType, data)
	if err != nil {
		return nil, err
	}
	e.SetTime(time.Now().UTC())
	event.Extend(&e, event.Attribute{Name: event.AttrAuthType, Value: event.AuthTypeUser}, event.Attribute{Name: event.AttrAuthID, Value: r.Person})
	if id != act {
		event.Extend(&e, event.Attribute{Name: event.AttrCausationID, Value: act})
	}
	if faults := event.Check(e); len(faults) > 0 {
		return nil, fmt.Errorf("%s %s", faults[0].Field, faults[0].Problem)
	}
	header, body, err := event.Encode(e, event.Binary)
	return &nats.Msg{Subject: topology.AuditSubject(r.User, act), Header: header, Data: body}, err
}

// userInfo is the request by which a program asks NATS who it is.
const userInfo = "$SYS.REQ.USER.INFO"

// userInfoTimeout bounds that request. A server may not answer it.
const userInfoTimeout = time.Second

// connectedAs is what NATS tells a program of its user: a public nkey, or a name; "" if it does
// not.
func (r Recorder) connectedAs(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, userInfoTimeout)
	defer cancel()
	m, err := r.JS.Conn().RequestWithContext(ctx, userInfo, nil)
	if err != nil {
		return ""
	}
	var answer struct {
		Data struct {
			User string `json:"user"`
		} `json:"data"`
	}
	if json.Unmarshal(m.Data, &answer) != nil {
		return ""
	}
	return answer.Data.User
}

// UserInfoSubject is what a user must be allowed to ask for [Act.ConnectedAs].
func UserInfoSubject() string { return userInfo }

// operationID matches the id of an operation. The subject of a dead letter may have another text.
var operationID = regexp.MustCompile(`^[a-z2-7]{26}$`)

// trim leaves each tenant once, and the first of each list, so that the event fits into a message.
func trim(act *Act) {
	act.Operations = slices.DeleteFunc(slices.Clone(act.Operations), func(id string) bool { return !operationID.MatchString(id) })
	act.Tenants = slices.Compact(slices.Sorted(slices.Values(act.Tenants)))
	act.Tenants = act.Tenants[:min(len(act.Tenants), event.MaxAudited)]
	act.Operations = act.Operations[:min(len(act.Operations), event.MaxAudited)]
	act.DeadLetters = act.DeadLetters[:min(len(act.DeadLetters), event.MaxAudited)]
	act.Targets = act.Targets[:min(len(act.Targets), event.MaxAudited)]
}

// maxReason is the most characters of a reason.
const maxReason = 1024

// CheckReason says what is wrong with the reason of an act, and never repeats it.
func CheckReason(reason string) error {
	switch {
	case utf8.RuneCountInString(reason) > maxReason:
		return fmt.Errorf("the reason must have at most %d characters", maxReason)
	case strings.Contains(reason, "@"):
		return errors.New("the reason must not hold an address, since nothing can be taken out of AUDIT: give a ticket's number")
	case strings.ContainsFunc(reason, unicode.IsControl):
		return errors.New("the reason must not hold a control character")
	case !utf8.ValidString(reason):
		return errors.New("the reason must be UTF-8")
	}
	return nil
}
