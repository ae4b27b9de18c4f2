package status

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// postgresTimeout bounds the reading of Postgres: the rest of the report does not wait for it.
const postgresTimeout = 2 * time.Second

// database reads the projections. It keeps its connection from one report to the next.
type database struct {
	url  string
	conn *pgx.Conn
}

// projections are the facts from Postgres.
type projections struct {
	operations map[event.Domain]map[event.State]int64
	positions  []position
}

// position is how far a projection has come in its stream; Incarnation is when that stream was
// created.
type position struct {
	Projection  string
	Stream      string
	Sequence    uint64
	Incarnation time.Time
}

// read reads the views, which are the stable surface of the projections. The error is fit to be
// shown after the word Postgres.
func (d *database) read(ctx context.Context) (projections, error) {
	ctx, cancel := context.WithTimeout(ctx, postgresTimeout)
	defer cancel()
	if err := d.connect(ctx); err != nil {
		return projections{}, err
	}
	operations, err := d.operations(ctx)
	if err != nil {
		return projections{}, fmt.Errorf("cannot tell: %w", explain(err))
	}
	positions, err := d.positions(ctx)
	if err != nil {
		return projections{}, fmt.Errorf("cannot tell: %w", explain(err))
	}
	return projections{operations, positions}, nil
}

func (d *database) connect(ctx context.Context) error {
	if d.conn != nil && !d.conn.IsClosed() {
		return nil
	}
	config, err := pgx.ParseConfig(d.url)
	if err != nil {
		return errors.New("has a URL that cannot be read") // the parser's own error quotes from it
	}
	d.conn, err = pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("at %s:%d: %w", config.Host, config.Port, explain(err))
	}
	return nil
}

func (d *database) close() {
	if d.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), postgresTimeout)
		defer cancel()
		_ = d.conn.Close(ctx) // nothing is left to be written
	}
}

func (d *database) operations(ctx context.Context) (map[event.Domain]map[event.State]int64, error) {
	counts := map[event.Domain]map[event.State]int64{}
	for _, domain := range event.Domains() {
		counts[domain] = map[event.State]int64{}
		for _, state := range states {
			counts[domain][state] = 0
		}
	}
	// ForEachRow reports the error of Query.
	rows, _ := d.conn.Query(ctx, `SELECT domain, state, operations FROM mailwright_views.operations_by_state`)
	var domain, state string
	var n int64
	_, err := pgx.ForEachRow(rows, []any{&domain, &state, &n}, func() error {
		if counts[event.Domain(domain)] == nil { // an unreadable command belongs to no domain
			counts[event.Domain(domain)] = map[event.State]int64{}
		}
		counts[event.Domain(domain)][event.State(state)] = n
		return nil
	})
	return counts, err
}

func (d *database) positions(ctx context.Context) ([]position, error) {
	rows, _ := d.conn.Query(ctx, `SELECT projection, stream, sequence, incarnation FROM mailwright_views.projections ORDER BY projection`)
	return pgx.CollectRows(rows, pgx.RowToStructByPos[position])
}

// explain words an error of pgx in one line.
func explain(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v", postgresTimeout)
	}
	return app.ExplainPostgres(err)
}
