package trial

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/operation"
	"github.com/mailwright/mailwright/services/guarantees/internal/check"
)

// marker is the attribute that the sandbox's configuration sets aside for operation ids.
const marker = "adm-CustomAttributeText20"

// Settle ends the storm and waits until every command has its outcome, every malformed message its letter, and the
// projections have caught up.
func (t *Trial) Settle(ctx context.Context, patience time.Duration) error {
	if _, err := t.controlRaw(ctx, "DELETE", "faults", nil); err != nil {
		return err
	}
	err := until(ctx, patience, func(ctx context.Context) (string, error) {
		var open int
		err := t.db.QueryRow(ctx, `SELECT count(*) FROM mailwright.operations WHERE finished_at IS NULL`).Scan(&open)
		if err != nil {
			return "", err
		}
		var done, dead int
		err = t.db.QueryRow(ctx, `SELECT (SELECT count(*) FROM mailwright.operations WHERE finished_at IS NOT NULL), (SELECT count(*) FROM mailwright.dead_letters)`).Scan(&done, &dead)
		if open > 0 || done < len(t.evidence.Commands) || dead < len(t.evidence.Poison) {
			return fmt.Sprintf("%d operations are open, %d of %d done, %d of %d malformed messages in DEAD", open, done, len(t.evidence.Commands), dead, len(t.evidence.Poison)), err
		}
		return "", err
	})
	return err
}

// Evidence gathers what the run left behind.
func (t *Trial) Evidence(ctx context.Context) (check.Evidence, error) {
	e := t.evidence
	e.Secrets = []string{t.password(), "adaxes-sandbox-token", "entra-sandbox-secret", "enpower-sandbox-secret", "hosted-sandbox-password"}
	err := errors.Join(t.readEvents(ctx, &e), t.readDead(ctx, &e), t.readObjects(ctx, &e), t.readRows(ctx, &e), t.readLogs(&e))
	return e, err
}

// Events gathers the events alone.
func (t *Trial) Events(ctx context.Context) (check.Evidence, error) {
	e := t.evidence
	return e, t.readEvents(ctx, &e)
}

// each reads a stream from its beginning to where it ends now.
func (t *Trial) each(ctx context.Context, name string, read func(jetstream.Msg) error) error {
	stream, err := t.js.Stream(ctx, name)
	if err != nil {
		return err
	}
	left := stream.CachedInfo().State.Msgs
	if left == 0 {
		return nil
	}
	consumer, err := t.js.OrderedConsumer(ctx, name, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for ; left > 0; left-- {
		m, err := messages.Next()
		if err != nil {
			return err
		}
		if err := read(m); err != nil {
			return err
		}
	}
	return nil
}

func (t *Trial) readEvents(ctx context.Context, e *check.Evidence) error {
	return t.each(ctx, bus.Events, func(m jetstream.Msg) error {
		v, err := event.Decode(m.Headers(), m.Data())
		if err != nil {
			return err
		}
		state, _ := event.StateOf(v)
		e.Events = append(e.Events, check.Event{OperationID: event.Extension(v, event.Operation), Type: v.Type(), State: string(state), Terminal: state.Terminal()})
		e.Texts = append(e.Texts, check.Text{Where: "an event on " + m.Subject(), Text: fmt.Sprint(m.Headers()) + string(m.Data())})
		return nil
	})
}

func (t *Trial) readDead(ctx context.Context, e *check.Evidence) error {
	return t.each(ctx, bus.Dead, func(m jetstream.Msg) error {
		letter, err := operation.ReadDeadLetter(m.Data())
		if err != nil {
			return err
		}
		e.Dead = append(e.Dead, letter.Sequence)
		e.Texts = append(e.Texts, check.Text{Where: "a dead letter on " + m.Subject(), Text: string(m.Data())})
		return nil
	})
}

// readObjects asks the sandbox what exists. A user of the workload is named K<key> N<number>-<command>.
func (t *Trial) readObjects(ctx context.Context, e *check.Evidence) error {
	raw, err := t.controlRaw(ctx, "GET", "objects", nil)
	if err != nil {
		return err
	}
	var answer struct {
		Objects []struct {
			Seq        int64
			Properties map[string][]any
		}
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return err
	}
	first := func(p map[string][]any, name string) string {
		if v := p[name]; len(v) > 0 {
			text, _ := v[0].(string)
			return text
		}
		return ""
	}
	for _, o := range answer.Objects {
		id := first(o.Properties, marker)
		if id == "" {
			continue
		}
		number, _, _ := strings.Cut(strings.TrimPrefix(first(o.Properties, "sn"), "N"), "-")
		n, err := strconv.Atoi(number)
		if err != nil {
			return fmt.Errorf("object of operation %s has no number: %w", id, err)
		}
		e.Objects = append(e.Objects, check.Object{OperationID: id, Created: o.Seq, Key: first(o.Properties, "givenName"), Number: n})
	}
	return nil
}

// bookkeeping are the tables whose rows tell when this process did something, not what happened.
var bookkeeping = []string{"checkpoints", "schema_version"}

// readRows dumps every table, and replays the streams into a new database with a projection-svc of its own.
func (t *Trial) readRows(ctx context.Context, e *check.Evidence) (err error) {
	if e.Live, err = dump(ctx, t.db); err != nil {
		return err
	}
	for table, rows := range e.Live {
		e.Texts = append(e.Texts, check.Text{Where: "table " + table, Text: strings.Join(rows, "\n")})
	}
	e.Replayed, err = t.replay(ctx, e.Live)
	return err
}

func dump(ctx context.Context, db *pgxpool.Pool) (map[string][]string, error) {
	tables, err := column(ctx, db, `SELECT table_name FROM information_schema.tables WHERE table_schema = 'mailwright' AND table_type = 'BASE TABLE' AND table_name <> ALL ($1)`, bookkeeping)
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, table := range tables {
		if out[table], err = column(ctx, db, `SELECT t::text FROM mailwright.`+pgx.Identifier{table}.Sanitize()+` t ORDER BY 1`); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func column(ctx context.Context, db *pgxpool.Pool, sql string, args ...any) ([]string, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// replay runs one more projection-svc on an empty database until its rows are as many as the live ones, or no more come.
func (t *Trial) replay(ctx context.Context, live map[string][]string) (map[string][]string, error) {
	if _, err := t.db.Exec(ctx, `CREATE DATABASE replay`); err != nil {
		return nil, err
	}
	url := strings.Replace(t.Endpoints.Postgres, "/mailwright?", "/replay?", 1)
	if url == t.Endpoints.Postgres {
		url = strings.TrimSuffix(url, "/mailwright") + "/replay"
	}
	stop, err := t.projector(ctx, url)
	if err != nil {
		return nil, err
	}
	defer stop()
	db, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var rows map[string][]string
	err = until(ctx, 2*time.Minute, func(ctx context.Context) (string, error) {
		var err error
		rows, err = dump(ctx, db)
		for table := range live {
			if len(rows[table]) < len(live[table]) {
				return fmt.Sprintf("table %s: %d of %d rows are replayed", table, len(rows[table]), len(live[table])), err
			}
		}
		return "", err
	})
	if err != nil {
		t.Progress("the replay: %s", err) // the comparison will show what is missing
	}
	// Rows are as many; their last changes may still be on the way. Two equal dumps a second apart end the wait.
	return rows, until(ctx, time.Minute, func(ctx context.Context) (string, error) {
		pause(ctx, time.Second)
		again, err := dump(ctx, db)
		if err != nil {
			return "", err
		}
		same := fmt.Sprint(again) == fmt.Sprint(rows)
		rows = again
		if !same {
			return "the replay goes on", nil
		}
		return "", nil
	})
}

// crashed recognises what Go prints when a process of ours dies of its own fault.
func crashed(line string) bool {
	return strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || strings.Contains(line, "DATA RACE")
}

func (t *Trial) readLogs(e *check.Evidence) error {
	logs, err := filepath.Glob(filepath.Join(t.dir, "logs", "*.log"))
	if err != nil || len(logs) == 0 {
		return errors.Join(err, errors.New("there are no logs"))
	}
	for _, name := range logs {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 16<<20)
		var text strings.Builder
		for lines.Scan() {
			text.WriteString(lines.Text() + "\n")
			if crashed(lines.Text()) {
				e.Panics = append(e.Panics, filepath.Base(name)+": "+lines.Text())
			}
		}
		e.Texts = append(e.Texts, check.Text{Where: filepath.Base(name), Text: text.String()})
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}
