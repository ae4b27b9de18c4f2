// Package drift publishes how the delegates of mailboxes differ from what the last command left, as
// the rows say it. The rows are the outbox: those of delegation_mailboxes bear the position since
// which their differences are as they are, and what lies beyond the last position published is
// still to be said. A rebuild gives the same positions, so it says nothing again.
package drift

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/postgres"
)

// Publisher publishes delegation.drift. Of several, in any number of processes, one works at a
// time.
type Publisher struct {
	Pool *pgxpool.Pool
	JS   jetstream.JetStream
	Log  *slog.Logger
	// Every is how often it looks for what is to be said.
	Every time.Duration
}

const source = "https://mailwright.io/projection-svc"

// atOnce is how many messages are published before that is noted: so many at most are looked up
// again after a crash.
const atOnce = 200

// Run publishes until ctx ends.
func (p Publisher) Run(ctx context.Context) {
	ticker := time.NewTicker(p.Every)
	defer ticker.Stop()
	said := ""
	for {
		more, err := p.step(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			said = ""
		case err.Error() != said: // once, not every time
			said = err.Error()
			p.Log.Warn("drift of delegates could not be published; it is tried again", "error", err)
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// mailbox is a row whose drift has changed.
type mailbox struct {
	tenant, key string
	sequence    int64
	data        event.DelegationDriftData
}

// step publishes the next ones, and tells whether there may be more.
func (p Publisher) step(ctx context.Context) (more bool, err error) {
	err = postgres.InTx(ctx, p.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO mailwright.publications (publication, sequence) SELECT 'delegation_drift', 0 WHERE NOT EXISTS (SELECT FROM mailwright.publications) ON CONFLICT DO NOTHING"); err != nil {
			return err
		}
		var upto int64
		var of time.Time
		// Another stream, or a lower position of the rows, means that they are made anew: all is
		// looked at again.
		err := tx.QueryRow(ctx, `SELECT CASE WHEN c.incarnation = p.incarnation AND c.sequence >= p.sequence THEN p.sequence ELSE 0 END, c.incarnation
			FROM mailwright.publications p JOIN mailwright.checkpoints c ON c.projection = 'delegations'
			WHERE publication = 'delegation_drift' FOR UPDATE OF p SKIP LOCKED`).Scan(&upto, &of)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // another process is at it, or there are no rows yet
		}
		if err != nil {
			return err
		}
		mailboxes, err := changed(ctx, tx, upto)
		if err != nil || len(mailboxes) == 0 {
			return err
		}
		for _, m := range mailboxes {
			if err := p.publish(ctx, m); err != nil {
				return err
			}
			upto = m.sequence
		}
		more = true
		_, err = tx.Exec(ctx, "UPDATE mailwright.publications SET sequence = $1, incarnation = $2 WHERE publication = 'delegation_drift'", upto, of)
		return err
	})
	return more && err == nil, err
}

func changed(ctx context.Context, tx pgx.Tx, beyond int64) ([]mailbox, error) {
	rows, err := tx.Query(ctx, `SELECT tenant, coalesce(nullif(object_id, ''), mailbox_key), drift_sequence, identity, object_id, drift_at, set_operation_id, set_at, operation_id, known_at,
			(SELECT coalesce(jsonb_agg(jsonb_build_object('delegate', d.delegate, 'kind', d.kind, 'since', d.since) ORDER BY d.delegate_key), '[]')
			   FROM mailwright.delegation_drift d WHERE d.tenant = m.tenant AND d.mailbox_key = m.mailbox_key)
		FROM mailwright.delegation_mailboxes m WHERE drift_sequence > $1 ORDER BY drift_sequence FETCH FIRST $2 ROWS WITH TIES`, beyond, atOnce)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (m mailbox, err error) {
		d := &m.data
		err = row.Scan(&m.tenant, &m.key, &m.sequence, &d.Mailbox, &d.ObjectID, &d.AsOf, &d.Set.OperationID, &d.Set.At, &d.Observed.OperationID, &d.Observed.At, &d.Drift)
		d.AsOf, d.Set.At, d.Observed.At = d.AsOf.UTC(), d.Set.At.UTC(), d.Observed.At.UTC()
		return m, err
	})
}

// publish says it, unless it has been said: the stream's last message on the subject tells.
func (p Publisher) publish(ctx context.Context, m mailbox) error {
	subject := topology.DriftSubject(m.tenant, m.key)
	stream, err := p.JS.Stream(ctx, topology.StreamDrift)
	if err != nil {
		return fmt.Errorf("stream %s: %w", topology.StreamDrift, err)
	}
	last, err := stream.GetLastMsgForSubject(ctx, subject)
	var after uint64
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
	case err != nil:
		return err
	default:
		after = last.Sequence
		var said event.DelegationDriftData
		if e, err := event.Decode(last.Header, last.Data); err == nil && e.DataAs(&said) == nil && !said.AsOf.Before(m.data.AsOf) {
			return nil
		}
	}
	e, err := event.New(fmt.Sprintf("drift-%d", m.data.AsOf.UnixNano()), source, event.TypeDelegationDrift, m.data)
	if err != nil {
		return err
	}
	e.SetSubject(m.data.Mailbox)
	e.SetTime(m.data.AsOf)
	event.Extend(&e, event.Attribute{Name: event.AttrTenantID, Value: m.tenant})
	header, body, err := event.Encode(e, event.Binary)
	if err != nil {
		return err
	}
	_, err = p.JS.PublishMsg(ctx, &nats.Msg{Subject: subject, Header: header, Data: body}, jetstream.WithExpectLastSequencePerSubject(after))
	return err
}
