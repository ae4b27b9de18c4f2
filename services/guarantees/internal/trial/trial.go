// Package trial runs the whole system under a seeded storm of faults and gathers the evidence that package check judges.
package trial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/stack"
	"github.com/mailwright/mailwright/services/guarantees/internal/check"
)

// Plan says what a trial tries.
type Plan struct {
	Seed     uint64
	Commands int
	Keys     int
	// Kills is how many processes are killed at random moments, beside the walk over every step of the engine.
	Kills int
	// Unsafe switches protections of the system off; see operation.Config.
	Unsafe []string
	// NoFaults leaves the storm out: commands, duplicates and malformed messages only.
	NoFaults bool
	// VendorTimeout of the services; 0 is one second, so that a lost call is settled within the trial.
	VendorTimeout time.Duration
	Bin           string
	Log           *slog.Logger
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

	mu       sync.Mutex
	rng      *rand.Rand
	evidence check.Evidence
	faults   map[string]int
}

// service is the one whose commands leave countable, numbered objects behind.
const service = "directory-svc"

// Start brings the system up.
func Start(ctx context.Context, plan Plan) (*Trial, error) {
	dir, err := os.MkdirTemp("", "mailwright-guarantees-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // Postgres may run as another user below it
		return nil, err
	}
	t := &Trial{Plan: plan, dir: dir, rng: rand.New(rand.NewPCG(plan.Seed, 1)), faults: map[string]int{}}
	t.Stack, err = stack.Start(ctx, stack.Options{
		Dir: dir, Bin: plan.Bin, Volatile: true, Log: plan.Log,
		Services: []string{service, "projection-svc"}, Env: t.environment(),
	})
	if err != nil {
		return nil, err
	}
	if t.nc, err = nats.Connect(t.Endpoints.NATS, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond)); err == nil {
		t.js, err = jetstream.New(t.nc)
	}
	if err == nil {
		t.db, err = pgxpool.New(ctx, t.Endpoints.Postgres)
	}
	if err != nil {
		return nil, errors.Join(err, t.Close(true))
	}
	return t, t.control(ctx, "PUT", "switches", map[string]any{"adaxes.pattern-uniquify": true}) // a second create would succeed
}

// environment of the services under test.
func (t *Trial) environment() []string {
	env := []string{"MAILWRIGHT_VENDOR_TIMEOUT=" + cmp.Or(t.VendorTimeout, time.Second).String(), "MAILWRIGHT_HOLD=500ms"}
	if len(t.Unsafe) > 0 {
		env = append(env, "MAILWRIGHT_UNSAFE="+strings.Join(t.Unsafe, ","))
	}
	return env
}

// Close stops everything. The state, with the logs, is removed unless it is to be kept.
func (t *Trial) Close(keep bool) error {
	if t.db != nil {
		t.db.Close()
	}
	if t.nc != nil {
		t.nc.Close()
	}
	err := t.Stop()
	if keep {
		t.Progress("the logs are in %s", filepath.Join(t.dir, "logs"))
		return err
	}
	return errors.Join(err, os.RemoveAll(t.dir))
}

// Faults counts what was injected, by kind.
func (t *Trial) Faults() (total int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.faults {
		total += n
	}
	return total
}

func (t *Trial) injected(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults[kind]++
}

// chance draws from the seeded source.
func (t *Trial) chance() float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rng.Float64()
}

func (t *Trial) pick(n int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rng.IntN(n)
}

// until waits for a condition; missing says what it lacks while it does.
func until(ctx context.Context, patience time.Duration, holds func(context.Context) (missing string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		missing, err := holds(ctx)
		if err == nil && missing == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s: %s %w", patience, missing, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
