package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/services/console/internal/page"
)

const (
	// pollInterval is how often the projections' positions are read, once for all who look.
	pollInterval = time.Second
	pollTimeout  = 2 * time.Second
)

// health knows whether NATS and Postgres answer, and how far the projections are.
type health struct {
	source page.Source

	mu       sync.Mutex
	postgres problem // the zero value while it answers
	nats     problem
	moved    uint64 // counts how often a projection was seen to have moved
	position int64
}

// problem is what is away, and since when.
type problem struct {
	Text  string
	Since time.Time
}

func newHealth(s page.Source) *health { return &health{source: s} }

// run looks after both until ctx ends.
func (h *health) run(ctx context.Context, log *slog.Logger) {
	for tick := time.NewTicker(pollInterval); ; {
		h.look(ctx, log)
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return
		}
	}
}

func (h *health) look(ctx context.Context, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	type positions struct{ Sum int64 }
	sum, err := page.Row[positions](ctx, h.source, `SELECT coalesce(sum(sequence), 0)::bigint FROM projections`)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil && h.postgres.Text == "" {
		log.Warn("Postgres does not answer", "error", err)
	}
	h.postgres = h.postgres.next(err, "Postgres does not answer: what stands here is as old as it says.")
	if missing(err) {
		h.postgres.Text = "Postgres has no projections yet: projection-svc makes their tables when it first starts."
	}
	if err == nil && sum.Sum != h.position {
		h.position = sum.Sum
		h.moved++
	}
	var away error
	if h.source.NATS == nil || h.source.NATS.Status() != nats.CONNECTED {
		away = nats.ErrDisconnected
	}
	h.nats = h.nats.next(away, "NATS does not answer: nothing can be sent, cancelled or replayed, and streams are not seen.")
}

func (p problem) next(err error, text string) problem {
	switch {
	case err == nil:
		return problem{}
	case p.Text == "":
		return problem{text, time.Now()}
	}
	return p
}

func (h *health) problems() []problem {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []problem
	for _, p := range []problem{h.postgres, h.nats} {
		if p.Text != "" {
			list = append(list, p)
		}
	}
	return list
}

// away reports whether Postgres or NATS does not answer.
func (h *health) away() bool { return len(h.problems()) > 0 }

// version counts up when a projection moves.
func (h *health) version() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.moved
}

// Error codes of Postgres (appendix A of its manual): a view, schema or role that is not there.
const (
	undefinedTable       = "42P01"
	invalidSchemaName    = "3F000"
	invalidParameter     = "22023"
	invalidAuthorization = "28000"
)

func missing(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (refused.Code == undefinedTable || refused.Code == invalidSchemaName || refused.Code == invalidParameter || refused.Code == invalidAuthorization)
}

// explain words an error that is not fit to be shown.
func (h *health) explain(err error) *page.Error {
	connect, isConnect := errors.AsType[*pgconn.ConnectError](err)
	_, isPostgres := errors.AsType[*pgconn.PgError](err)
	switch {
	case missing(err):
		return &page.Error{Status: http.StatusServiceUnavailable, Text: "There are no projections yet: projection-svc makes their tables when it first starts."}
	case errors.Is(err, pgx.ErrNoRows):
		return &page.Error{Status: http.StatusNotFound, Text: "There is nothing by this name, or it belongs to a tenant that you may not see."}
	case isConnect && connect != nil:
		return &page.Error{Status: http.StatusServiceUnavailable, Text: "Postgres does not answer. This page shows what stands there; try again when it is back."}
	case errors.Is(err, context.DeadlineExceeded):
		return &page.Error{Status: http.StatusServiceUnavailable, Text: "There was no answer in time. Try again, or narrow what you look for."}
	case isPostgres:
		return &page.Error{Status: http.StatusInternalServerError, Text: "Postgres refused the query; the console's log says why."}
	}
	return &page.Error{Status: http.StatusInternalServerError, Text: "This failed; the console's log says why."}
}
