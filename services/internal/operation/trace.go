package operation

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failure"
)

var (
	tracer       = otel.Tracer("github.com/mailwright/mailwright/services/internal/operation")
	consumerSpan = trace.WithSpanKind(trace.SpanKindConsumer)
)

// span begins the span of an attempt, below the trace that the command belongs to (W3C Trace
// Context); end takes what came of the attempt. No data of the command goes into the span.
func span(ctx context.Context, a *Attempt) (_ context.Context, end func(Reply, error)) {
	if parent := event.Extension(a.Command, event.AttrTraceParent); parent != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{event.AttrTraceParent: parent})
	}
	ctx, s := tracer.Start(ctx, "attempt", consumerSpan)
	if !s.IsRecording() {
		return ctx, func(Reply, error) {}
	}
	s.SetAttributes(attribute.String("mailwright.operation", a.ID), attribute.String("mailwright.command", a.Command.Type()),
		attribute.Int("mailwright.attempt", a.Operation.Attempt))
	return ctx, func(result Reply, err error) {
		s.SetAttributes(attribute.String("mailwright.tenant", a.Tenant))
		if err == nil {
			s.SetAttributes(attribute.String("mailwright.result", result.Type))
		} else {
			f := failure.Of(err)
			s.SetAttributes(attribute.String("error.type", string(f.Kind)), attribute.String("mailwright.vendor", f.Vendor))
			s.SetStatus(codes.Error, a.secrets.text(f.Text))
		}
		s.End()
	}
}
