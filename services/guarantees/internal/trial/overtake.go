package trial

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
)

const (
	// overtakes is how often a replica is paused, and how often one is cut off. In a hurry, which
	// lasts hours, so much more often.
	overtakes, overtakesInAHurry = 2, 40
	// away is how long a replica is gone: for longer than the server waits for its heartbeat, and
	// until others have carried out its command and the next of the key.
	away = bus.AckWait + 7*time.Second
	// afterwards is how long it may take to do harm.
	afterwards = 3 * time.Second
	// pausePatience is how long a replica may take to come to the step between a read and a write.
	pausePatience = 20 * time.Second
)

// overtake lets replicas lose their commands to others without knowing it, and go on: by SIGSTOP
// between what they read and what they write, and by a cut in their connection to NATS.
func (t *Trial) overtake(ctx context.Context) error {
	rounds := overtakes
	if t.Hurry {
		rounds = overtakesInAHurry
	}
	both, ctx := errgroup.WithContext(ctx)
	for name, lose := range map[string]func(context.Context) error{paused: t.pauseReplica, isolated: t.isolateReplica} {
		both.Go(func() error {
			for range rounds {
				if err := lose(ctx); err != nil && ctx.Err() == nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		})
	}
	return both.Wait()
}

const (
	directoryService  = "directory-svc"
	delegationService = "delegation-svc"
)

// pauseReplica stops a replica between its read and its write, the only one of its kind that
// writes whole lists.
func (t *Trial) pauseReplica(ctx context.Context) error {
	r, err := t.replica(ctx, delegationService, "--stop-at", string(failpoint.Change))
	if err != nil {
		return err
	}
	defer r.kill()
	for began := time.Now(); !r.log.stopped(); pause(ctx, 50*time.Millisecond) {
		if ctx.Err() != nil || time.Since(began) > pausePatience {
			return nil // Lacking tells it where none came to the step
		}
	}
	pause(ctx, away)
	if err := r.Process.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	t.injected(paused)
	pause(ctx, afterwards)
	return nil
}

// isolateReplica cuts a replica's connection to NATS while it is at work.
func (t *Trial) isolateReplica(ctx context.Context) error {
	proxy, err := embedded.StartProxy(strings.TrimPrefix(t.Endpoints.NATS, "nats://"))
	if err != nil {
		return err
	}
	defer proxy.Close()
	r, err := t.replica(ctx, delegationService, "--nats-url", "nats://"+proxy.Addr())
	if err != nil {
		return err
	}
	defer r.kill()
	pause(ctx, afterwards)
	proxy.Cut()
	pause(ctx, away)
	proxy.Heal()
	t.injected(isolated)
	pause(ctx, afterwards)
	return nil
}
