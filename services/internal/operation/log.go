package operation

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/mailwright/mailwright/pkg/event"
)

// log is the logger for lines about an operation. Each line has the operation's id, its tenant, and
// the correlation and the trace of its command, so that a line leads to the events, the rows and
// the spans. It has neither the key nor the subject, which name people. a may be nil for a message
// that could not be read.
func (e *Engine) log(a *Attempt) *slog.Logger {
	if a == nil {
		return e.cfg.Log
	}
	return e.cfg.Log.With(logAttributes(a)...)
}

// logAttributes are those that [Engine.log] adds.
func logAttributes(a *Attempt) []any {
	attributes := []any{"operation", a.ID, "tenant", a.Tenant}
	if c := event.Extension(a.Command, event.AttrCorrelationID); c != "" {
		attributes = append(attributes, "correlation", a.secrets.text(c))
	}
	if id := traceOf(event.Extension(a.Command, event.AttrTraceParent)); id != "" {
		attributes = append(attributes, "trace", id)
	}
	return attributes
}

// traceOf is the id of the trace that a traceparent belongs to (W3C Trace Context), "" for none.
func traceOf(parent string) string {
	if parent == "" {
		return ""
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{event.AttrTraceParent: parent})
	if c := trace.SpanContextFromContext(ctx); c.IsValid() {
		return c.TraceID().String()
	}
	return ""
}
