// Package scenario runs the whole system, injects faults that a seed chooses, and gathers the
// evidence that package check judges.
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
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/guarantees/internal/check"
	"github.com/mailwright/mailwright/services/internal/failpoint"
)

// Plan says what a scenario does.
type Plan struct {
	Seed     uint64
	Commands int
	Keys     int
	// Kills is the number of processes to kill, at least; it includes those killed at a step.
	Kills int
	// FastKills makes the faults follow each other three times as fast.
	FastKills bool
	// Unsafe switches protections of the system off: names of package failpoint, [AlteredRow] or
	// [NaiveClient].
	Unsafe []string
	// NoFaults injects no faults: there are only commands, duplicates and malformed messages.
	NoFaults bool
	// VendorTimeout of the services; 0 means one second, so that the outcome of a lost call is
	// known before the scenario ends.
	VendorTimeout time.Duration
	// VendorCalls limits the concurrent calls to a vendor, and those of a tenant; 0 means 200 for a
	// tenant and the services' default for a vendor.
	VendorCalls int
	// Services that run; nil means projection-svc and every service that carries commands out.
	Services []string
	Bin      string
	Log      *slog.Logger
	// Progress reports progress to the user, in the form of [fmt.Printf].
	Progress func(format string, args ...any)
}

// Scenario is a running system under test.
type Scenario struct {
	Plan
	stack *stack.Stack
	dir   string
	nc    *nats.Conn
	js    jetstream.JetStream
	db    *pgxpool.Pool

	rng        *rand.Rand // of the faults
	departures int        // of replicas that had joined
	reportedAt time.Time  // of the last progress
	publisher  *publisher
	// operation ids by how the vendor's journal shows their effects
	operationOfMark map[string]string
	traceCollector  *listener
	forgedSequences map[uint64]bool // sequences of EVENTS that no service wrote
	scheduled       []check.Command // until all others have their outcomes

	mu       sync.Mutex
	evidence check.Evidence
	sent     []sentCommand
	kills    int
}

// MaxVendorTimeout is a VendorTimeout that is longer than any slow answer.
const MaxVendorTimeout = 3 * time.Minute

// duplicateDelay is half the time after which a command is published again. JetStream has forgotten
// its message id by then.
const duplicateDelay = 2 * time.Second

// Start starts the system in a new temporary folder.
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
	s.publisher = &publisher{scenario: s, madeOfKind: map[*commandKind]int{}, lastNumber: map[string]int{}}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close(true))
	}
	return s, nil
}

func (s *Scenario) start(ctx context.Context) (err error) {
	if s.traceCollector, err = s.collectTraces(); err != nil {
		return err
	}
	s.stack, err = stack.Start(ctx, stack.Options{
		Dir:      s.dir,
		Bin:      s.Bin,
		Volatile: true,
		// The guarantees hold under the permissions that an operator is given. Only services whose
		// consumers have no order make these themselves.
		Permissions: !slices.Contains(s.Unsafe, string(failpoint.Ownership)),
		Log:         s.Log,
		Services:    s.services(),
		Env:         s.environment(),
		Tenants:     []string{otherTenant},
		SandboxEnv: []string{
			fmt.Sprint("MAILWRIGHT_SANDBOX_FAULT_SEED=", s.Seed),
			fmt.Sprint("MAILWRIGHT_SANDBOX_JOURNAL_SIZE=", 100_000+20*s.Commands),
		},
	})
	if err != nil {
		return err
	}
	if s.nc, err = nats.Connect(s.stack.Endpoints.NATS, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond)); err != nil {
		return err
	}
	if s.js, err = jetstream.New(s.nc); err != nil {
		return err
	}
	if s.db, err = pgxpool.New(ctx, s.stack.Endpoints.Postgres); err != nil {
		return err
	}
	// A create that is repeated succeeds with this switch, so that only Mailwright prevents it.
	if err := s.control(ctx, "PUT", "switches", map[string]any{"adaxes.pattern-uniquify": true}); err != nil {
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

// newRNG makes a random number generator from the seed. Each goroutine that draws numbers has a
// lane of its own, so that a run with the same seed draws the same numbers.
func (s *Scenario) newRNG(lane int) *rand.Rand { return rand.New(rand.NewPCG(s.Seed, uint64(lane+2))) }

// recheckAfter is short enough for commands to be checked again while faults are injected.
const recheckAfter = 20 * time.Second

// environment of the services under test. The times are short, so that a scenario does not take
// hours and a replica that joins gets work at once.
func (s *Scenario) environment() []string {
	env := []string{
		"MAILWRIGHT_VENDOR_TIMEOUT=" + cmp.Or(s.VendorTimeout, time.Second).String(),
		"MAILWRIGHT_PARK_AFTER=500ms",
		"MAILWRIGHT_RECHECK_AFTER=" + recheckAfter.String(),
		fmt.Sprint("MAILWRIGHT_TENANT_CONCURRENCY=", cmp.Or(s.VendorCalls, 200)),
		"MAILWRIGHT_REBALANCE_INTERVAL=300ms",
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + s.traceCollector.url,
		"OTEL_BSP_SCHEDULE_DELAY=500",
	}
	if s.VendorCalls > 0 {
		env = append(env, fmt.Sprint("MAILWRIGHT_VENDOR_CONCURRENCY=", s.VendorCalls))
	}
	if len(s.Unsafe) > 0 {
		env = append(env, "MAILWRIGHT_UNSAFE="+strings.Join(s.Unsafe, ","))
	}
	return env
}

// Dir is the folder of the state: streams, database and logs.
func (s *Scenario) Dir() string { return s.dir }

// Close stops everything. It removes the state and the logs unless keep is set.
func (s *Scenario) Close(keep bool) error {
	if s.db != nil {
		s.db.Close()
	}
	if s.nc != nil {
		s.nc.Close()
	}
	var err error
	if s.stack != nil {
		err = s.stack.Stop()
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

// Faults counts the injected faults.
func (s *Scenario) Faults() (total int) {
	for _, n := range s.FaultsByKind() {
		total += n
	}
	return total
}

// FaultsByKind counts the injected faults of each kind.
func (s *Scenario) FaultsByKind() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.evidence.Faults)
}

// Kills counts the killed processes.
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

// expectFaults notes kinds of faults that the run must inject: one that stays at 0 is a missing
// attack.
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

// reportProgress reports progress, at most every 30 seconds.
func (s *Scenario) reportProgress(format string, args ...any) {
	if time.Since(s.reportedAt) > 30*time.Second {
		s.reportedAt = time.Now()
		s.Progress(format, args...)
	}
}

// until polls a condition until it holds. While it does not, holds says what is missing. An error
// of holds is not final: a server may be restarting.
func until(ctx context.Context, timeout time.Duration, holds func(context.Context) (missing string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	missing := ""
	for {
		now, err := holds(ctx)
		if err == nil && now == "" {
			return nil
		}
		if err == nil {
			missing = now
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waited %s: %s", timeout, missing), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
