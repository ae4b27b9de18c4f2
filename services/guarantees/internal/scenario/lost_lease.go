package scenario

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
)

const (
	// leaseLosses is how often a replica is paused, and how often one is cut off; in a long run,
	// which takes hours, leaseLossesOfLongRun. Without the protection not every late write undoes
	// another, and of 2 losses sometimes none does: leaseLossesOfProof are enough to show it.
	leaseLosses, leaseLossesOfProof, leaseLossesOfLongRun = 2, 6, 40
	// absence is how long a replica is paused or cut off: longer than the server waits for its
	// heartbeat, and long enough for others to carry out its command and the next of the key.
	absence = bus.AckWait + 7*time.Second
	// aftermath is how long a replica goes on afterwards: long enough for a late write.
	aftermath = 3 * time.Second
	// pauseStepTimeout bounds the time until a replica reaches the point between a read and a
	// write.
	pauseStepTimeout = 20 * time.Second
)

// loseLeases lets replicas lose their leases without knowing it, and go on: by SIGSTOP between a
// read and a write at the vendor, and by a cut in the connection to NATS.
func (s *Scenario) loseLeases(ctx context.Context) error {
	rounds := leaseLosses
	switch {
	case s.FastKills:
		rounds = leaseLossesOfLongRun
	case slices.Contains(s.Unsafe, string(failpoint.Leases)):
		rounds = leaseLossesOfProof
	}
	group, ctx := errgroup.WithContext(ctx)
	for name, loseLease := range map[string]func(context.Context) error{paused: s.pauseReplica, isolated: s.isolateReplica} {
		group.Go(func() error {
			for range rounds {
				if err := loseLease(ctx); err != nil && ctx.Err() == nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

const (
	directoryService  = "directory-svc"
	delegationService = "delegation-svc"
)

// pauseReplica stops a replica of delegation-svc, the only service that writes whole lists, between
// the read and the write of one.
func (s *Scenario) pauseReplica(ctx context.Context) error {
	r, err := s.replica(ctx, delegationService, "--stop-at", string(failpoint.Change))
	if err != nil {
		return err
	}
	defer r.kill()
	for began := time.Now(); !r.log.stopped(); pause(ctx, 50*time.Millisecond) {
		if ctx.Err() != nil || time.Since(began) > pauseStepTimeout {
			return nil // MissingAttacks reports it if no replica reached the point
		}
	}
	pause(ctx, absence)
	if err := r.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	s.countFault(paused)
	pause(ctx, aftermath)
	return nil
}

// isolateReplica cuts a replica's connection to NATS while it works.
func (s *Scenario) isolateReplica(ctx context.Context) error {
	proxy, err := embedded.StartProxy(strings.TrimPrefix(s.stack.Endpoints.NATS, "nats://"))
	if err != nil {
		return err
	}
	defer proxy.Close()
	r, err := s.replica(ctx, delegationService, "--nats-url", "nats://"+proxy.Addr())
	if err != nil {
		return err
	}
	defer r.kill()
	pause(ctx, aftermath)
	proxy.Cut()
	pause(ctx, absence)
	proxy.Heal()
	s.countFault(isolated)
	pause(ctx, aftermath)
	return nil
}
