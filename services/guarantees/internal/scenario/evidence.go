package scenario

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/guarantees/internal/check"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/replay"
	"github.com/mailwright/mailwright/services/internal/streamreader"
)

// AwaitOutcomes takes the faults away from the sandbox and waits until every command has its
// outcome, every malformed message its outcome or dead letter, and the projections have caught up.
// It asks for each by its id: a count of open operations would miss a command that has no row yet.
func (s *Scenario) AwaitOutcomes(ctx context.Context, timeout time.Duration) error {
	if _, err := s.controlRaw(ctx, "DELETE", "faults", nil); err != nil {
		return err
	}
	commands := make([]string, len(s.evidence.Commands))
	for i, c := range s.evidence.Commands {
		commands[i] = c.OperationID
	}
	malformed := s.evidence.Malformed
	return until(ctx, timeout, func(ctx context.Context) (string, error) {
		undone, err := s.withoutOutcome(ctx, commands)
		if err != nil {
			return "", err
		}
		unanswered, err := s.malformedWithoutEnd(ctx, malformed)
		if err != nil {
			return "", err
		}
		open, err := s.openOperations(ctx)
		if err != nil {
			return "", err
		}
		s.reportProgress("%d of %d commands are done", len(s.evidence.Commands)-len(undone), len(s.evidence.Commands))
		// an outcome never changes, so it is not read again
		commands, malformed = undone, unanswered
		if len(undone)+len(unanswered)+open > 0 {
			return fmt.Sprintf("%d of %d commands have no outcome %q, %d of %d malformed messages no dead letter, %d operations are open",
				len(undone), len(s.evidence.Commands), undone[:min(len(undone), 3)], len(unanswered), len(s.evidence.Malformed), open), nil
		}
		return "", nil
	})
}

// withoutOutcome returns the operations of the list that have no outcome.
func (s *Scenario) withoutOutcome(ctx context.Context, commands []string) ([]string, error) {
	return column[string](ctx, s.db, `SELECT id FROM unnest($1::text[]) id
		WHERE NOT EXISTS (SELECT FROM mailwright.operations WHERE operation_id = id AND finished_at IS NOT NULL)`, commands)
}

// malformedWithoutEnd returns the messages of the list that have neither a dead letter nor an
// outcome.
func (s *Scenario) malformedWithoutEnd(ctx context.Context, list []check.Malformed) ([]check.Malformed, error) {
	deadLettered, err := column[uint64](ctx, s.db, `SELECT origin_sequence FROM mailwright.dead_letters WHERE origin_sequence IS NOT NULL`)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(slices.Clone(list), func(m check.Malformed) bool { return slices.Contains(deadLettered, m.Sequence) })
	ids := make([]string, len(list))
	for i, m := range list {
		ids[i] = m.OperationID
	}
	undone, err := s.withoutOutcome(ctx, ids)
	return slices.DeleteFunc(list, func(m check.Malformed) bool { return !slices.Contains(undone, m.OperationID) }), err
}

// openOperations counts the operations without an outcome. Those with a dead letter and those that
// stay scheduled do not count.
func (s *Scenario) openOperations(ctx context.Context) (n int, err error) {
	scheduled := make([]string, len(s.scheduled))
	for i, c := range s.scheduled {
		scheduled[i] = c.OperationID
	}
	err = s.db.QueryRow(ctx, `SELECT count(*) FROM mailwright.operations o WHERE finished_at IS NULL AND operation_id <> ALL ($1)
		AND NOT EXISTS (SELECT FROM mailwright.dead_letters d WHERE d.operation_id = o.operation_id)`, scheduled).Scan(&n)
	return n, err
}

// PublishFinalCommands publishes some commands again, lets the vendor scan its mailboxes, cancels
// the commands that are not due, and publishes one more inventory.
func (s *Scenario) PublishFinalCommands(ctx context.Context) error {
	pause(ctx, 2*duplicateDelay)
	if err := s.resend(ctx); err != nil {
		return err
	}
	if _, err := s.controlRaw(ctx, "POST", "scan", nil); err != nil {
		return err
	}
	if err := s.cancelScheduled(ctx); err != nil {
		return err
	}
	k := &commandKinds[len(commandKinds)-1]
	msg, c := s.publisher.next(len(s.evidence.Commands), k)
	_, err := s.store(ctx, msg)
	s.evidence.Commands = append(s.evidence.Commands, c)
	return err
}

// Evidence gathers everything that the run left.
func (s *Scenario) Evidence(ctx context.Context) (check.Evidence, error) {
	e := s.evidence
	e.Kills = s.kills
	e.Secrets = []string{
		s.password(),
		"adaxes-sandbox-token",
		"entra-sandbox-secret",
		"enpower-sandbox-secret",
		"hosted-sandbox-password",
		"hosted-reader-password",
	}
	for _, read := range []func(context.Context, *check.Evidence) error{
		s.readEvents,
		s.readDrift,
		s.readDead,
		s.readMailboxes,
		s.readParked,
		s.readEffects,
		s.readScan,
		s.readDeliveries,
		s.readRows,
		s.readLogs,
	} {
		if err := read(ctx, &e); err != nil {
			return e, err
		}
	}
	return e, nil
}

// Events gathers the events alone.
func (s *Scenario) Events(ctx context.Context) (check.Evidence, error) {
	e := s.evidence
	return e, s.readEvents(ctx, &e)
}

// readStream reads a stream from its first message to its present last one.
func (s *Scenario) readStream(ctx context.Context, name string, read func(streamreader.Message) error) error {
	for m, err := range streamreader.Messages(ctx, s.js, name, jetstream.OrderedConsumerConfig{}) {
		if err != nil {
			return err
		}
		if err := read(m); err != nil {
			return err
		}
	}
	return nil
}

func (s *Scenario) readEvents(ctx context.Context, e *check.Evidence) error {
	e.ReadBack = map[string]bool{}
	return s.readStream(ctx, topology.StreamEvents, func(m streamreader.Message) error {
		if s.forgedSequences[m.Metadata.Sequence.Stream] {
			return nil
		}
		v, err := event.Decode(m.Headers(), m.Data())
		if err != nil {
			return err
		}
		if id, _, ok := strings.Cut(event.Extension(v, event.AttrCommandID), operation.ReadBackID); ok {
			e.ReadBack[id] = true
		}
		state, _ := event.StateOf(v)
		e.Events = append(e.Events, check.Event{
			OperationID: event.Extension(v, event.AttrOperationID),
			Type:        v.Type(),
			State:       string(state),
			Terminal:    state.Terminal(),
			Stored:      m.Metadata.Timestamp,
		})
		e.Texts = append(e.Texts, check.Text{Source: "an event on " + m.Subject(), Text: fmt.Sprint(m.Headers()) + string(m.Data())})
		return nil
	})
}

// readDrift reads which results differed from the vendor in the end.
func (s *Scenario) readDrift(ctx context.Context, e *check.Evidence) error {
	e.Drift = map[string]bool{}
	return s.readStream(ctx, topology.StreamDrift, func(m streamreader.Message) error {
		v, err := event.Decode(m.Headers(), m.Data())
		if err != nil {
			return err
		}
		var data event.DelegationDriftData
		err = v.DataAs(&data)
		e.Drift[data.Set.OperationID] = len(data.Drift) > 0
		maps.DeleteFunc(e.Drift, func(_ string, differs bool) bool { return !differs })
		return err
	})
}

func (s *Scenario) readDead(ctx context.Context, e *check.Evidence) error {
	return s.readStream(ctx, topology.StreamDead, func(m streamreader.Message) error {
		letter, err := event.ReadDeadLetter(m.Data())
		if err != nil {
			return err
		}
		e.DeadLetters = append(e.DeadLetters, check.DeadLetter{Sequence: letter.Sequence, Reason: letter.Reason})
		e.Texts = append(e.Texts, check.Text{Source: "a dead letter on " + m.Subject(), Text: string(m.Data())})
		return nil
	})
}

// readMailboxes reads the last observation of each mailbox that is not missing.
func (s *Scenario) readMailboxes(ctx context.Context, e *check.Evidence) error {
	e.Observed = map[string]string{}
	return s.readStream(ctx, topology.StreamMailboxes, func(m streamreader.Message) error {
		v, err := event.Decode(m.Headers(), m.Data())
		if err != nil {
			return err
		}
		e.Texts = append(e.Texts, check.Text{Source: "an observation on " + m.Subject(), Text: fmt.Sprint(m.Headers()) + string(m.Data())})
		var data struct {
			Mailbox struct{ ID, EmailAddress, Alias string }
		}
		if v.Type() == event.TypeMailboxObserved {
			err = v.DataAs(&data)
			e.Observed[data.Mailbox.ID] = data.Mailbox.EmailAddress + " " + data.Mailbox.Alias
		}
		return err
	})
}

// readParked reads the messages of PARKED by their sequences: a consumer would take them out of the
// work queue.
func (s *Scenario) readParked(ctx context.Context, e *check.Evidence) error {
	stream, err := s.js.Stream(ctx, topology.StreamParked)
	if err != nil {
		return err
	}
	state := stream.CachedInfo().State
	for sequence := state.FirstSeq; sequence <= state.LastSeq && state.Msgs > 0; sequence++ {
		m, err := stream.GetMsg(ctx, sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		e.Texts = append(e.Texts, check.Text{Source: "PARKED on " + m.Subject, Text: fmt.Sprint(m.Header) + string(m.Data)})
	}
	return nil
}

// readEffects reads from the vendors' journal which command took effect, how often and in which
// order.
func (s *Scenario) readEffects(ctx context.Context, e *check.Evidence) error {
	var journal struct {
		Entries []struct {
			Sequence                     uint64
			Time                         time.Time
			Vendor, Call, Target, Detail string
		}
	}
	if err := s.controlJSON(ctx, "journal?committed=true&limit=0", &journal); err != nil {
		return err
	}
	for _, entry := range journal.Entries {
		mark := strings.TrimSpace(entry.Vendor + " " + entry.Call + " " + entry.Target + " " + entry.Detail)
		if id := s.operationOfMark[mark]; id != "" {
			e.Effects = append(e.Effects, check.Effect{OperationID: id, At: entry.Sequence, Time: entry.Time})
		}
	}
	return nil
}

// readScan reads from the sandbox which mailboxes EnPower lists.
func (s *Scenario) readScan(ctx context.Context, e *check.Evidence) error {
	var shown struct {
		Views []struct {
			ID       string
			Mailbox  *struct{ Type, Primary, Alias string }
			Verbatim struct{ EmailAddress, Alias string }
		}
	}
	if err := s.controlJSON(ctx, "objects?kind=views&limit=0", &shown); err != nil {
		return err
	}
	e.Scanned = map[string]string{}
	for _, v := range shown.Views {
		switch {
		case v.Mailbox == nil:
			e.Scanned[v.ID] = v.Verbatim.EmailAddress + " " + v.Verbatim.Alias
		case v.Mailbox.Type == "UserMailbox" || v.Mailbox.Type == "SharedMailbox": // not rooms and equipment
			e.Scanned[v.ID] = v.Mailbox.Primary + " " + v.Mailbox.Alias
		}
	}
	return nil
}

// readDeliveries counts the deliveries of each consumer of COMMANDS, and those of wake-ups.
// Wake-ups are deleted when they are acknowledged, so their number is not known: there is at most
// one for each event.
func (s *Scenario) readDeliveries(ctx context.Context, e *check.Evidence) error {
	commands, err := s.js.Stream(ctx, topology.StreamCommands)
	if err != nil {
		return err
	}
	for consumer := range commands.ListConsumers(ctx).Info() {
		if consumer.Config.Durable == "" {
			continue // a consumer that only reads may begin anywhere, again and again
		}
		info, err := commands.Info(ctx, jetstream.WithSubjectFilter(consumer.Config.FilterSubject))
		if err != nil {
			return err
		}
		messages := uint64(0)
		for _, n := range info.State.Subjects {
			messages += n
		}
		messages += info.State.LastSeq - info.State.Msgs // commands with secrets leave after their outcome
		e.Deliveries = append(e.Deliveries, check.Deliveries{
			Consumer:  consumer.Name,
			Messages:  messages,
			Delivered: consumer.Delivered.Consumer,
		})
	}
	parked, err := s.js.Stream(ctx, topology.StreamParked)
	if err != nil {
		return err
	}
	wakes := check.Deliveries{Consumer: "of wake-ups", Messages: uint64(len(e.Events))}
	for consumer := range parked.ListConsumers(ctx).Info() {
		wakes.Delivered += consumer.Delivered.Consumer
	}
	e.Deliveries = append(e.Deliveries, wakes)
	return nil
}

// AlteredRow is a name for Plan.Unsafe: a row is altered by hand.
const AlteredRow = "rows"

// unreplayedTables have rows about the work of projection-svc itself. They are not searched and not
// compared.
var unreplayedTables = []string{"checkpoints", "schema_version", "retention"}

// readRows reads every table for the search for secrets, and compares the rows with a replay.
func (s *Scenario) readRows(ctx context.Context, e *check.Evidence) error {
	if slices.Contains(s.Unsafe, AlteredRow) {
		const alter = `UPDATE mailwright.operations SET state = 'failed'
			WHERE operation_id = (SELECT min(operation_id) FROM mailwright.operations WHERE state = 'succeeded')`
		if _, err := s.db.Exec(ctx, alter); err != nil {
			return err
		}
	}
	live, err := dumpTables(ctx, s.db)
	if err != nil {
		return err
	}
	for table, rows := range live {
		e.Texts = append(e.Texts, check.Text{Source: "table " + table, Text: strings.Join(rows, "\n")})
	}
	pool, err := postgres.Open(ctx, s.stack.Endpoints.Postgres, replay.Connections())
	if err != nil {
		return err
	}
	defer pool.Close()
	e.Rows, err = replay.Verify(ctx, replay.Config{Pool: pool, JS: s.js, Log: s.Log, Examples: 5})
	return err
}

func dumpTables(ctx context.Context, db *pgxpool.Pool) (map[string][]string, error) {
	tables, err := column[string](ctx, db, `SELECT table_name FROM information_schema.tables
		WHERE table_schema = 'mailwright' AND table_type = 'BASE TABLE' AND table_name <> ALL ($1)`, unreplayedTables)
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, table := range tables {
		query := `SELECT t::text FROM mailwright.` + pgx.Identifier{table}.Sanitize() + ` t ORDER BY 1`
		if out[table], err = column[string](ctx, db, query); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func column[T any](ctx context.Context, db *pgxpool.Pool, sql string, args ...any) ([]T, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}

// isCrash recognises what Go prints when a process crashes.
func isCrash(line string) bool {
	return strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || strings.Contains(line, "DATA RACE")
}

func (s *Scenario) readLogs(_ context.Context, e *check.Evidence) error {
	logs, err := filepath.Glob(filepath.Join(s.dir, "logs", "*.log"))
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
			if isCrash(lines.Text()) {
				e.Panics = append(e.Panics, filepath.Base(name)+": "+lines.Text())
			}
		}
		e.Texts = append(e.Texts, check.Text{Source: filepath.Base(name), Text: text.String()})
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}
