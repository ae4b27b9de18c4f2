// Package erasure takes what the system holds about a person out of every stream and every table,
// for a person who asks for it.
//
// The order is safe at every crash. What is found is written down first, since a later step takes
// away what a search would find it by. The commands go before the record of their operations: a
// service that has a command and finds no record carries it out. The rows go last: they are made
// anew from what the streams have left, so they equal a replay.
package erasure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/replay"
)

// Config is the input of an erasure.
type Config struct {
	JS jetstream.JetStream
	// Pool connects to the projections' database, as the user that owns the tables. It must allow
	// [replay.Connections] connections.
	Pool *pgxpool.Pool
	Log  *slog.Logger
	// Match are texts that name the person: see [Matcher].
	Match []string
	// Tenants are those whose data is meant; none: all.
	Tenants []string
	// Person is who erases, and Reason why. Neither may be personal data of the one who is erased.
	Person, Reason string
	// Progress is called with what is being done; may be nil.
	Progress func(stage string)
	// Failpoints are those of the tests; none in a released program.
	Failpoints failpoint.Set
}

func (c Config) report(stage string) {
	if c.Progress != nil {
		c.Progress(stage)
	}
}

// Find finds what Run would take out, with what erasures that did not end had found.
func Find(ctx context.Context, c Config) (*Found, error) {
	known, err := c.unfinished(ctx)
	if err != nil {
		return nil, err
	}
	return c.find(ctx, known)
}

// ErrOpen says that something has not ended, so that nothing was erased.
var ErrOpen = errors.New("nothing was erased, since not everything has ended")

// Run erases what was found, and gives the record of it. If it did not end before, for instance
// because its process was killed, it is called again with what Find finds then.
func Run(ctx context.Context, c Config, f *Found) (Record, error) {
	if len(f.Open) > 0 {
		return Record{}, ErrOpen
	}
	r, err := c.begin(ctx, f)
	if err != nil {
		return r, err
	}
	c.Failpoints.Reach(failpoint.ErasurePlanned)
	for _, step := range []struct {
		stage string
		do    func(context.Context, *Found) error
	}{
		{"looking for new commands", c.refuseNew},
		{"erasing commands", c.eraseCommands},
		{"erasing dead letters", c.eraseLetters},
		{"looking for new commands again", c.refuseNew},
		{"erasing records", c.eraseRecords},
		{"erasing observations", c.eraseObservations},
		{"making the rows anew", c.eraseRows},
	} {
		c.report(step.stage)
		if err := step.do(ctx, f); err != nil {
			return r, fmt.Errorf("%s: %w; the same call again goes on", step.stage, err)
		}
	}
	if err := c.end(ctx, &r); err != nil {
		return r, fmt.Errorf("record the end: %w; the same call again goes on", err)
	}
	c.Failpoints.Reach(failpoint.ErasureEnded)
	return r, nil
}

func (c Config) eraseCommands(ctx context.Context, f *Found) error {
	var sequences []uint64
	for _, command := range f.commands {
		sequences = append(sequences, command.sequence)
	}
	return c.erase(ctx, topology.StreamCommands, sequences, failpoint.EraseCommand)
}

// eraseLetters also takes out what PARKED holds of the person: schedules that wake nothing.
func (c Config) eraseLetters(ctx context.Context, f *Found) error {
	if err := c.erase(ctx, topology.StreamDead, f.letters, failpoint.EraseLetter); err != nil {
		return err
	}
	return c.erase(ctx, topology.StreamParked, f.schedules, failpoint.EraseSchedule)
}

// eraseRecords purges the subject of each operation: EVENTS lets no single message be deleted.
func (c Config) eraseRecords(ctx context.Context, f *Found) error {
	events, err := c.JS.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return fmt.Errorf("stream %s: %w", topology.StreamEvents, err)
	}
	for _, o := range f.Operations {
		c.Failpoints.Reach(failpoint.EraseRecord)
		if err := events.Purge(ctx, jetstream.WithPurgeSubject(topology.EventSubject(o.Tenant, o.Domain, o.ID))); err != nil {
			return fmt.Errorf("operation %s: %w", o.ID, err)
		}
	}
	return nil
}

func (c Config) eraseObservations(ctx context.Context, f *Found) error {
	if err := c.erase(ctx, topology.StreamMailboxes, f.observations, failpoint.EraseObservation); err != nil {
		return err
	}
	return c.erase(ctx, topology.StreamDrift, f.drift, failpoint.EraseObservation)
}

// erase takes messages out of a stream. The server overwrites them.
func (c Config) erase(ctx context.Context, name string, sequences []uint64, point failpoint.Point) error {
	if len(sequences) == 0 {
		return nil
	}
	stream, err := c.JS.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	for _, sequence := range sequences {
		c.Failpoints.Reach(point)
		if err := bus.EraseMessage(ctx, stream, sequence); err != nil {
			return fmt.Errorf("message %d of %s: %w", sequence, name, err)
		}
	}
	return nil
}

// eraseRows makes all rows anew. Some sum up many operations, so there is no row of a person's to
// delete.
func (c Config) eraseRows(ctx context.Context, _ *Found) error {
	c.Failpoints.Reach(failpoint.EraseRows)
	_, err := replay.Rebuild(ctx, replay.Config{Pool: c.Pool, JS: c.JS, Log: c.Log}, false)
	if err != nil {
		return err
	}
	c.Failpoints.Reach(failpoint.ErasedRows)
	left, err := c.countRows(ctx)
	if err == nil && left > 0 {
		err = fmt.Errorf("%d rows name the person, since messages about it have come meanwhile", left)
	}
	return err
}
