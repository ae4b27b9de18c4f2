package operation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/failure"
)

// Config is what a service brings to its engine.
type Config struct {
	Domain   event.Domain
	Handlers map[string]Handler // by type of command
	// Retries overrides [DefaultRetries] kind by kind.
	Retries Retries
	JS      jetstream.JetStream
	Log     *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Engine takes one domain's commands through their lives.
type Engine struct {
	cfg     Config
	retries Retries
	record  *record
	log     *slog.Logger
	now     func() time.Time
}

// New returns an Engine. It reads and writes the streams EVENTS and DEAD, which must exist.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	events, err := cfg.JS.Stream(ctx, bus.Events)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", bus.Events, err)
	}
	e := &Engine{cfg: cfg, retries: DefaultRetries.with(cfg.Retries), log: cfg.Log, now: cfg.Now}
	if e.now == nil {
		e.now = time.Now
	}
	e.record = &record{js: cfg.JS, events: events, source: Source(cfg.Domain)}
	return e, nil
}

// Source is the CloudEvents source of a domain's results.
func Source(d event.Domain) string { return "https://mailwright.io/" + string(d) + "-svc" }

// Handle takes one delivered message through its life. nil means that the message is settled;
// an error means that it must come back.
func (e *Engine) Handle(ctx context.Context, d bus.Delivery) error {
	run, err := e.read(d)
	if err != nil {
		return e.bury(ctx, letter{Reason: Unreadable, Detail: err.Error()}, d)
	}
	log := e.log.With("operation", run.ID, "type", run.Command.Type(), "key", run.Operation.Key)
	last, err := e.record.last(ctx, e.cfg.Domain, run.ID)
	if err != nil {
		return fmt.Errorf("read the record of operation %s: %w", run.ID, err)
	}
	if last.conflicts(run) {
		log.Warn("another command has the same source and id; see DEAD")
		return e.bury(ctx, letter{Reason: Conflict, Detail: "a command with the same source and id but other data was accepted before", run: run}, d)
	}
	if last.state.Terminal() {
		log.Debug("already settled", "state", last.state)
		return nil
	}
	if wait := last.nextAttempt.Sub(e.now()); wait > 0 {
		return &retryLater{after: wait, cause: errors.New("its next attempt is not due yet")}
	}
	run.Operation.Attempt = last.attempt + 1
	run.Settling = last.state == event.Unknown
	w := e.record.writer(run, last)
	run.emit = w.publish

	result, err := e.attempt(ctx, run)
	if err != nil {
		result, err = e.decide(run, last, err)
	}
	log.Info("attempted", "attempt", run.Operation.Attempt, "result", result.Type, "reason", run.secrets.text(reasonOf(result)))
	if publishErr := w.publish(ctx, result.Type, result.Data); publishErr != nil {
		return fmt.Errorf("publish %s of operation %s: %w", result.Type, run.ID, publishErr)
	}
	return err
}

// read decodes the command and names its operation.
func (e *Engine) read(d bus.Delivery) (*Run, error) {
	command, err := event.Decode(d.Header, d.Data)
	if err != nil {
		return nil, err
	}
	address, _ := bus.ParseCommandSubject(d.Subject)
	return &Run{
		Command: command,
		Tenant:  event.Extension(command, event.TenantID),
		ID:      event.OperationID(command.Source(), command.ID()),
		Operation: event.OperationData{
			CommandType: command.Type(),
			Key:         address.Key,
			ReceivedAt:  d.Stored.UTC(),
			Attempt:     1,
			Fingerprint: event.Fingerprint(command),
		},
		domain:  e.cfg.Domain,
		secrets: secretsOf(command),
	}, nil
}

// attempt checks the command and hands it to its handler. A panic of the handler is a fault of ours, not the end of the service.
func (e *Engine) attempt(ctx context.Context, run *Run) (result Result, err error) {
	if faults := e.check(run.Command); len(faults) > 0 {
		return Result{}, &Rejection{Faults: faults}
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler of %s panicked: %v", run.Command.Type(), p)
		}
	}()
	return e.cfg.Handlers[run.Command.Type()](ctx, run)
}

func (e *Engine) check(command event.Event) []event.Fault {
	t := command.Type()
	if event.IsCommand(t) && event.DomainOf(t) != e.cfg.Domain {
		return []event.Fault{{Field: "type", Problem: fmt.Sprintf("%s is carried out on mailwright.cmd.%s.<key>, not on %s", t, event.DomainOf(t), e.cfg.Domain)}}
	}
	if _, ours := e.cfg.Handlers[t]; !ours && event.DomainOf(t) != "" {
		return []event.Fault{{Field: "type", Problem: t + " is no command"}}
	}
	return event.Check(command)
}

// reasonOf gives the log what a result says about a failure; "" for a success.
func reasonOf(r Result) string {
	switch d := r.Data.(type) {
	case event.WaitingData:
		return d.Failure.Kind + ": " + d.Failure.Text
	case event.UnknownData:
		return d.Failure.Kind + ": " + d.Failure.Text
	case event.FailedData:
		return d.Failure.Kind + ": " + d.Failure.Text
	case event.RejectedData:
		return (&Rejection{Faults: d.Faults}).Error()
	default:
		return ""
	}
}

// decide turns a failed attempt into the event that says so, and into the error that brings the message back
// where there is to be another attempt.
func (e *Engine) decide(run *Run, last entry, err error) (Result, error) {
	if r, ok := errors.AsType[*Rejection](err); ok {
		return Result{event.RejectedType(run.domain), event.RejectedData{Operation: run.Operation, Faults: r.Faults}}, nil
	}
	f := failure.Of(err)
	if f.Kind == failure.Internal || f.Cause != nil {
		e.log.Warn("attempt failed", "operation", run.ID, "kind", f.Kind, "error", run.secrets.text(f.Error()), "cause", run.secrets.text(fmt.Sprint(f.Cause)))
	}
	data := event.FailureData{Kind: string(f.Kind), Vendor: f.Vendor, Code: f.Code, Text: f.Text}
	now := e.now().UTC()
	since := last.since
	if since.IsZero() {
		since = now
	}
	// What was sent and not answered stays open until it is read back, whatever stops the reading.
	open := f.Kind == failure.Unknown || run.Settling && retryable(f.Kind)
	delay, again := e.retries.next(f, run.Operation.Attempt, now.Sub(since))
	if !again {
		failed := event.FailedData{Operation: run.Operation, Failure: data}
		if since.Before(now) {
			failed.Since = &since
		}
		return Result{event.FailedType(run.domain), failed}, nil
	}
	next := now.Add(delay)
	later := &retryLater{after: delay, cause: f}
	if open {
		return Result{event.UnknownType(run.domain), event.UnknownData{Operation: run.Operation, Failure: data, Since: &since, NextAttemptAt: &next}}, later
	}
	return Result{event.WaitingType(run.domain), event.WaitingData{Operation: run.Operation, Failure: data, Since: since, NextAttemptAt: next}}, later
}
