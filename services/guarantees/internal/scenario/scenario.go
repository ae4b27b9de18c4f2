// Package trial runs the whole system under a seeded storm of faults and gathers the evidence that
// package check judges.
package scenario

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
	// FastKills makes the kills follow each other three times as fast.
	FastKills bool
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

// Scenario is a running system under test.
type Scenario struct {
	Plan
	*stack.Stack
	dir string
	nc  *nats.Conn
	js  jetstream.JetStream
	db  *pgxpool.Pool

	rng             *rand.Rand // the storm's
	departures      int
	reportedAt      time.Time // when progress was
	publisher       *publisher
	operationOfMark map[string]string // operations by how the vendor's journal shows them
	traceCollector  *listener
	forgedSequences map[uint64]bool // sequences of EVENTS that no service wrote
	scheduled       []check.Command // they stay scheduled until everything else is done

	mu       sync.Mutex
	evidence check.Evidence
	sent     []sentCommand
	kills    int
}

// MaxVendorTimeout is a VendorTimeout that no slow answer comes near.
const MaxVendorTimeout = 3 * time.Minute

// duplicateDelay is how long a duplicate is kept back: it is published long after the command that it
// repeats.
const duplicateDelay = 2 * time.Second

// Start brings the system up.
func Start(ctx context.Context, plan Plan) (*Scenario, error) {
	dir, err := os.MkdirTemp("", "mailwright-guarantees-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // Postgres may run as another user below it
		return nil, err
	}
	s := &Scenario{Plan: plan, dir: dir, operationOfMark: map[string]string{}, forgedSequences: map[uint64]bool{}}
	s.rng = s.newRNG(-1)
	s.evidence.Faults = map[string]int{}
	s.publisher = &publisher{Scenario: s, madeOfKind: map[*commandKind]int{}, lastNumber: map[string]int{}}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close(true))
	}
	return s, nil
}

func (s *Scenario) start(ctx context.Context) (err error) {
	if s.traceCollector, err = s.collectTraces(); err != nil {
		return err
	}
	s.Stack, err = stack.Start(ctx, stack.Options{
		Dir: s.dir, Bin: s.Bin, Volatile: true, Log: s.Log, Services: s.services(), Env: s.environment(), Tenants: []string{otherTenant},
		SandboxEnv: []string{fmt.Sprint("MAILWRIGHT_SANDBOX_FAULT_SEED=", s.Seed), fmt.Sprint("MAILWRIGHT_SANDBOX_JOURNAL_SIZE=", 100_000+20*s.Commands)},
	})
	if err != nil {
		return err
	}
	if s.nc, err = nats.Connect(s.Endpoints.NATS, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond)); err != nil {
		return err
	}
	if s.js, err = jetstream.New(s.nc); err != nil {
		return err
	}
	if s.db, err = pgxpool.New(ctx, s.Endpoints.Postgres); err != nil {
		return err
	}
	if err := s.control(ctx, "PUT", "switches", map[string]any{"adaxes.pattern-uniquify": true}); err != nil { // a second create would succeed
		return err
	}
	return s.prepare(ctx)
}

func (s *Scenario) services() []string {
	if s.Services == nil {
		return append(workers(), projection)
	}
	return s.Services
}

// newRNG makes a source of chance that depends on the seed, for one who draws in an order of their
// own.
func (s *Scenario) newRNG(lane int) *rand.Rand { return rand.New(rand.NewPCG(s.Seed, uint64(lane+2))) }

// recheckAfter lets the second look at each command fall into the storm.
const recheckAfter = 20 * time.Second

// environment of the services under test.
func (s *Scenario) environment() []string {
	// Calls are short, and the sweep looks soon, so that a trial does not take hours; and whoever
	// joins gets work at once.
	env := []string{
		"MAILWRIGHT_VENDOR_TIMEOUT=" + cmp.Or(s.VendorTimeout, time.Second).String(), "MAILWRIGHT_PARK_AFTER=500ms", "MAILWRIGHT_RECHECK_AFTER=" + recheckAfter.String(),
		fmt.Sprint("MAILWRIGHT_TENANT_CONCURRENCY=", cmp.Or(s.VendorCalls, 200)),
		"MAILWRIGHT_REBALANCE_INTERVAL=300ms", "OTEL_EXPORTER_OTLP_ENDPOINT=" + s.traceCollector.url, "OTEL_BSP_SCHEDULE_DELAY=500",
	}
	if s.VendorCalls > 0 {
		env = append(env, fmt.Sprint("MAILWRIGHT_VENDOR_CONCURRENCY=", s.VendorCalls))
	}
	if len(s.Unsafe) > 0 {
		env = append(env, "MAILWRIGHT_UNSAFE="+strings.Join(s.Unsafe, ","))
	}
	return env
}

// Dir holds the state: streams, database, logs.
func (s *Scenario) Dir() string { return s.dir }

// Close stops everything. The state, with the logs, is removed unless it is to be kept.
func (s *Scenario) Close(keep bool) error {
	if s.db != nil {
		s.db.Close()
	}
	if s.nc != nil {
		s.nc.Close()
	}
	var err error
	if s.Stack != nil {
		err = s.Stop()
	}
	if s.traceCollector != nil {
		s.traceCollector.stop()
	}
	if keep {
		s.Progress("the logs are in %s", filepath.Join(s.dir, "logs"))
		return err
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Faults counts what was injected.
func (s *Scenario) Faults() (total int) {
	for _, n := range s.FaultsByKind() {
		total += n
	}
	return total
}

// FaultsByKind is Faults, kind by kind.
func (s *Scenario) FaultsByKind() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.evidence.Faults)
}

// Kills counts the processes that were killed.
func (s *Scenario) Kills() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kills
}

func (s *Scenario) published() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.evidence.Commands)
}

// expectFaults takes note of kinds of faults that must be injected.
func (s *Scenario) expectFaults(kinds ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range kinds {
		s.evidence.Faults[k] += 0
	}
}

func (s *Scenario) countFault(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evidence.Faults[kind]++
}

func (s *Scenario) countKill(kind string) {
	s.countFault(kind)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kills++
}

// reportProgress reports progress, now and then.
func (s *Scenario) reportProgress(format string, args ...any) {
	if time.Since(s.reportedAt) > 30*time.Second {
		s.reportedAt = time.Now()
		s.Progress(format, args...)
	}
}

// until waits for a condition; missing says what it lacks while it does.
func until(ctx context.Context, timeout time.Duration, holds func(context.Context) (missing string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
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
			return errors.Join(fmt.Errorf("waited %s: %s", timeout, missing), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
