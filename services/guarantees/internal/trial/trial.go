// Package trial runs the whole system under a seeded storm of faults and gathers the evidence that
// package check judges.
package trial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/guarantees/internal/check"
)

// Plan says what a trial tries.
type Plan struct {
	Seed     uint64
	Commands int
	Keys     int
	// Kills is how many processes are killed at least, those of the walk over every step included.
	Kills int
	// Hurry makes the kills follow each other three times as fast.
	Hurry bool
	// Unsafe switches protections of the system off; see operation.Config.
	Unsafe []string
	// NoFaults leaves the storm out: commands, duplicates and malformed messages only.
	NoFaults bool
	// VendorTimeout of the services; 0 is one second, so that a lost call is settled within the
	// trial.
	VendorTimeout time.Duration
	// VendorCalls is the services' budget for a vendor, and for a tenant at it; 0 is a tenant's of
	// 200, and theirs for a vendor.
	VendorCalls int
	// Services that run; nil: all that carry commands out, and the projections.
	Services []string
	Bin      string
	Log      *slog.Logger
	// Progress hears of what is going on.
	Progress func(format string, args ...any)
}

// Trial is a running system under test.
type Trial struct {
	Plan
	*stack.Stack
	dir string
	nc  *nats.Conn
	js  jetstream.JetStream
	db  *pgxpool.Pool

	rng        *rand.Rand // the storm's
	leaves     int
	told       time.Time // when progress was
	publishing *publisher
	marks      map[string]string // operations by how the vendor's journal shows them
	traces     *listener
	forged     map[uint64]bool // sequences of EVENTS that no service wrote
	scheduled  []check.Command // they stay scheduled until everything else is done

	mu       sync.Mutex
	evidence check.Evidence
	sent     []sent
	kills    int
}

// LongestCall is a VendorTimeout that no slow answer comes near.
const LongestCall = 3 * time.Minute

// duplicates is how long a duplicate is kept back: it is published long after the command that it
// repeats.
const duplicates = 2 * time.Second

// Start brings the system up.
func Start(ctx context.Context, plan Plan) (*Trial, error) {
	dir, err := os.MkdirTemp("", "mailwright-guarantees-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // Postgres may run as another user below it
		return nil, err
	}
	t := &Trial{Plan: plan, dir: dir, marks: map[string]string{}, forged: map[uint64]bool{}}
	t.rng = t.dice(-1)
	t.evidence.Faults = map[string]int{}
	t.publishing = &publisher{Trial: t, made: map[*kind]int{}, numbers: map[string]int{}}
	if err := t.start(ctx); err != nil {
		return nil, errors.Join(err, t.Close(true))
	}
	return t, nil
}

func (t *Trial) start(ctx context.Context) (err error) {
	if t.traces, err = t.collect(); err != nil {
		return err
	}
	t.Stack, err = stack.Start(ctx, stack.Options{
		Dir: t.dir, Bin: t.Bin, Volatile: true, Log: t.Log, Services: t.services(), Env: t.environment(), Tenants: []string{otherTenant},
		SandboxEnv: []string{fmt.Sprint("MAILWRIGHT_SANDBOX_FAULT_SEED=", t.Seed), fmt.Sprint("MAILWRIGHT_SANDBOX_JOURNAL_SIZE=", 100_000+20*t.Commands)},
	})
	if err != nil {
		return err
	}
	if t.nc, err = nats.Connect(t.Endpoints.NATS, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond)); err != nil {
		return err
	}
	if t.js, err = jetstream.New(t.nc); err != nil {
		return err
	}
	if t.db, err = pgxpool.New(ctx, t.Endpoints.Postgres); err != nil {
		return err
	}
	if err := t.control(ctx, "PUT", "switches", map[string]any{"adaxes.pattern-uniquify": true}); err != nil { // a second create would succeed
		return err
	}
	return t.prepare(ctx)
}

func (t *Trial) services() []string {
	if t.Services == nil {
		return append(workers(), projection)
	}
	return t.Services
}

// dice makes a source of chance that depends on the seed, for one who draws in an order of their
// own.
func (t *Trial) dice(lane int) *rand.Rand { return rand.New(rand.NewPCG(t.Seed, uint64(lane+2))) }

// sweepAfter lets the second look at each command fall into the storm.
const sweepAfter = 20 * time.Second

// environment of the services under test.
func (t *Trial) environment() []string {
	// Calls are short, and the sweep looks soon, so that a trial does not take hours; and whoever
	// joins gets work at once.
	env := []string{
		"MAILWRIGHT_VENDOR_TIMEOUT=" + cmp.Or(t.VendorTimeout, time.Second).String(), "MAILWRIGHT_PARK_AFTER=500ms", "MAILWRIGHT_RECHECK_AFTER=" + sweepAfter.String(),
		fmt.Sprint("MAILWRIGHT_TENANT_CONCURRENCY=", cmp.Or(t.VendorCalls, 200)),
		"MAILWRIGHT_REBALANCE_INTERVAL=300ms", "OTEL_EXPORTER_OTLP_ENDPOINT=" + t.traces.url, "OTEL_BSP_SCHEDULE_DELAY=500",
	}
	if t.VendorCalls > 0 {
		env = append(env, fmt.Sprint("MAILWRIGHT_VENDOR_CONCURRENCY=", t.VendorCalls))
	}
	if len(t.Unsafe) > 0 {
		env = append(env, "MAILWRIGHT_UNSAFE="+strings.Join(t.Unsafe, ","))
	}
	return env
}

// Dir holds the state: streams, database, logs.
func (t *Trial) Dir() string { return t.dir }

// Close stops everything. The state, with the logs, is removed unless it is to be kept.
func (t *Trial) Close(keep bool) error {
	if t.db != nil {
		t.db.Close()
	}
	if t.nc != nil {
		t.nc.Close()
	}
	var err error
	if t.Stack != nil {
		err = t.Stop()
	}
	if t.traces != nil {
		t.traces.stop()
	}
	if keep {
		t.Progress("the logs are in %s", filepath.Join(t.dir, "logs"))
		return err
	}
	return errors.Join(err, os.RemoveAll(t.dir))
}

// Faults counts what was injected.
func (t *Trial) Faults() (total int) {
	for _, n := range t.FaultsByKind() {
		total += n
	}
	return total
}

// FaultsByKind is Faults, kind by kind.
func (t *Trial) FaultsByKind() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.evidence.Faults)
}

// Kills counts the processes that were killed.
func (t *Trial) Kills() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.kills
}

func (t *Trial) published() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.evidence.Commands)
}

// expect takes note of kinds of faults that must be injected.
func (t *Trial) expect(kinds ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range kinds {
		t.evidence.Faults[k] += 0
	}
}

func (t *Trial) injected(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.evidence.Faults[kind]++
}

func (t *Trial) killed(kind string) {
	t.injected(kind)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kills++
}

// tell reports progress, now and then.
func (t *Trial) tell(format string, args ...any) {
	if time.Since(t.told) > 30*time.Second {
		t.told = time.Now()
		t.Progress(format, args...)
	}
}

// until waits for a condition; missing says what it lacks while it does.
func until(ctx context.Context, patience time.Duration, holds func(context.Context) (missing string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	missing := ""
	for {
		now, err := holds(ctx)
		if err == nil && now == "" {
			return nil
		}
		if err == nil { // else nobody knows
			missing = now
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waited %s: %s", patience, missing), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
