package operation

import (
	"context"
	"errors"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/metrics"
)

// Measure sets the gauges of what waits, by asking NATS.
func (e *Engine) Measure(ctx context.Context) {
	if s := e.subscribed.Load(); s != nil {
		s.Measure(ctx)
	}
	e.parking.measure(ctx, e.cfg.Domain)
}

// measure sets the gauges of what waits in PARKED.
func (p *parking) measure(ctx context.Context, domain event.Domain) {
	filter := topology.ParkedSubject(topology.Address{Tenant: "*", Domain: domain, Key: "*"})
	if n, err := bus.CountSubjects(ctx, p.js, topology.StreamParked, filter); err == nil {
		metrics.ParkedKeys.WithLabelValues(string(domain)).Set(float64(n))
	}
	oldest, err := p.first(ctx, topology.Address{Tenant: "*", Domain: domain, Key: "*"}, 1)
	if err != nil {
		return
	}
	age := time.Duration(0)
	if oldest != nil {
		age = max(0, p.now().Sub(oldest.Time))
	}
	metrics.ParkedOldestSeconds.WithLabelValues(string(domain)).Set(age.Seconds())
}

// countReceived counts a command that has no record yet. One that is delivered again before its
// first event is counted once.
func countReceived(t *task) {
	if t.last.sequence > 0 || t.deliveries != 1 || t.wasSetAside || t.reference != nil {
		return
	}
	a := t.attempt
	metrics.CommandsReceived.WithLabelValues(string(a.address.Domain), metrics.Tenant(a.Tenant), metrics.Type(a.Command.Type())).Inc()
}

// countOutcome counts an event that ends an operation.
func countOutcome(v envelope, o *event.OperationData, state event.State, now time.Time) {
	if !state.Terminal() {
		return
	}
	domain, commandType := string(v.domain), metrics.Type(o.CommandType)
	metrics.Outcomes.WithLabelValues(domain, metrics.Tenant(v.tenant), commandType, string(state)).Inc()
	metrics.OutcomeSeconds.WithLabelValues(domain, commandType).Observe(now.Sub(o.ReceivedAt).Seconds())
}

// countAttempt counts an attempt that has ended. One that never got a call, or that came to nothing
// which could be recorded, is none.
func countAttempt(t *task) {
	if _, ok := errors.AsType[*notRecorded](t.failure); ok {
		return
	}
	kind := "ok"
	if t.failure != nil {
		d := classify(t.failure)
		switch d.action {
		case waitForCall:
			return
		case reject:
			kind = "rejected"
		case failExpired:
			kind = "expired"
		case askPerson:
			kind = string(failure.Unknown)
		default:
			kind = string(d.failure.Kind)
		}
	}
	metrics.Attempts.WithLabelValues(t.handler.Vendor, metrics.Type(t.attempt.Command.Type()), kind).Inc()
}
