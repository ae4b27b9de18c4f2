package transport

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/mailwright/mailwright/services/internal/failure"
)

var tracer = otel.Tracer("github.com/mailwright/mailwright/services/internal/vendors/transport")

// span begins the span of one request; end takes what came of it. Attributes are those of
// OpenTelemetry's HTTP client spans without the query, which names people and may hold a token.
func (c *Client) span(ctx context.Context, req *http.Request) (_ context.Context, end func(*Response, error)) {
	ctx, span := tracer.Start(ctx, c.cfg.Vendor+" "+callOf(ctx, req.Method), trace.WithSpanKind(trace.SpanKindClient))
	if !span.IsRecording() {
		return ctx, func(*Response, error) {}
	}
	span.SetAttributes(attribute.String("mailwright.vendor", c.cfg.Vendor), attribute.String("http.request.method", req.Method),
		attribute.String("server.address", req.URL.Hostname()), attribute.String("url.path", req.URL.Path))
	return ctx, func(res *Response, err error) {
		if err != nil {
			f := failure.Of(err)
			span.SetAttributes(attribute.String("error.type", string(f.Kind)))
			span.SetStatus(codes.Error, f.Text)
		} else {
			span.SetAttributes(attribute.Int("http.response.status_code", res.Status))
			if res.Status >= http.StatusBadRequest {
				span.SetStatus(codes.Error, "")
			}
		}
		span.End()
	}
}
