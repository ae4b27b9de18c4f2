package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/internal/failpoint"
)

// stepKillsDuration is about how long it takes to kill a replica at every step.
const stepKillsDuration = 35 * time.Second

// Kinds of faults beside the kills of a part. Each must happen in a run.
const (
	crashAtStep         = "crash at a step"
	replicaKilled       = "kill of a replica"
	replicaLeft         = "replica that joined and left"
	clockJumped         = "clock that jumps"
	throttling          = "429 from every vendor"
	dayLater            = "duplicate after JetStream forgot its id"
	twoKeys             = "command on two keys at once"
	malformedMessage    = "malformed message"
	forgedRecord        = "event that no service wrote"
	forgedReference     = "reference that no service wrote"
	unauthorizedCommand = "command without the right to its target"
	sameID              = "source and id of another tenant's command"
	scheduledSoon       = "command that is due during the run"
	scheduledLater      = "command that is not due during the run"
	paused              = "pause of a replica between a read and a write"
	isolated            = "replica cut off from NATS"
)

// fault is a fault that the injector chooses at random.
type fault struct {
	name   string
	inject func(*Scenario, context.Context) error
}

// faults are injected in random order, all of them, and again until there were enough kills.
var faults = []fault{
	killFault("directory-svc"), killFault("directory-svc"), killFault("directory-svc"),
	killFault("mailbox-svc"),
	killFault("delegation-svc"),
	killFault("inventory-svc"),
	killFault("projection-svc"),
	killFault(stack.NATS),
	killFault(stack.Postgres),
	killFault(stack.Sandbox),
	{replicaLeft, (*Scenario).joinAndLeave},
	{replicaKilled, (*Scenario).joinAndLeave},
	{clockJumped, (*Scenario).jumpClocks},
	{throttling, (*Scenario).throttle},
	{dayLater, (*Scenario).resend},
}

func killFault(part string) fault {
	return fault{killKind(part), func(s *Scenario, ctx context.Context) error { return s.killAndRestart(ctx, part) }}
}

func killKind(part string) string { return "kill of " + part }

// InjectFaults injects faults until ctx ends: first a kill at every step, then the faults of the
// list.
func (s *Scenario) InjectFaults(ctx context.Context) error {
	if s.NoFaults {
		return nil
	}
	if slices.Contains(s.Unsafe, string(failpoint.Leases)) {
		return s.loseLeases(ctx) // another fault could hide the effect of a late write
	}
	s.expectFaults(crashAtStep, twoKeys, malformedMessage, forgedRecord, forgedReference)
	s.expectFaults(unauthorizedCommand, sameID, scheduledSoon, scheduledLater, paused, isolated)
	for _, f := range faults {
		s.expectFaults(f.name)
	}
	if err := s.addVendorFaults(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.loseLeases(ctx) })
	group.Go(func() error {
		if len(s.Unsafe) == 0 { // a protection that is switched off has no steps
			if err := s.killAtEveryStep(ctx); err != nil {
				return err
			}
		}
		return s.injectInRandomOrder(ctx)
	})
	return group.Wait()
}

// injectInRandomOrder injects every fault of the list, in random order, until there were enough
// kills.
func (s *Scenario) injectInRandomOrder(ctx context.Context) error {
	for injected := 0; injected < len(faults) || s.Kills() < s.Plan.Kills; {
		for _, at := range s.rng.Perm(len(faults)) {
			pause(ctx, s.jitter(100, 700))
			if ctx.Err() != nil {
				return nil
			}
			if err := faults[at].inject(s, ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", faults[at].name, err)
			}
			injected++
			s.reportProgress("%d commands, %d faults, %d kills", s.published(), s.Faults(), s.Kills())
		}
	}
	return nil
}

// killAtEveryStep kills every service at each of its steps, the services side by side.
func (s *Scenario) killAtEveryStep(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for lane, w := range steps {
		group.Go(func() error {
			began := time.Now()
			err := s.killAtSteps(ctx, w.service, w.points, w.nth, s.newRNG(lane))
			s.Progress("a replica of %s was killed at each step in %v", w.service, time.Since(began).Round(time.Second))
			return err
		})
	}
	err := group.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	hit := 0
	for _, p := range s.evidence.Points {
		if p.Hit {
			hit++
		}
	}
	s.Progress("a replica was killed at %d of %d steps", hit, len(s.evidence.Points))
	return err
}

// writeFaults strike a share of the calls that write, each.
var writeFaults = []map[string]any{
	{"kind": "timeout-after", "probability": 0.02},
	{"kind": "timeout-before", "probability": 0.01},
	{"kind": "reset", "probability": 0.01, "params": map[string]any{"when": "after"}},
	{"kind": "status", "probability": 0.03, "params": map[string]any{"status": 429, "retryAfter": "1"}},
	{"kind": "status", "probability": 0.02, "params": map[string]any{"status": 503}},
	{"kind": "status", "probability": 0.01, "params": map[string]any{"status": 500, "when": "after"}},
}

// readFaults strike a share of the calls that only read.
var readFaults = []map[string]any{
	{"kind": "status", "probability": 0.02, "params": map[string]any{"status": 503}},
}

// addVendorFaults gives the sandbox its faults. A restart of the sandbox forgets them.
func (s *Scenario) addVendorFaults(ctx context.Context) error {
	// Each page of an inventory takes a while, so that some kills come in the middle of one.
	slowPages := map[string]any{"delay": "20ms"}
	rules := []map[string]any{{"vendor": "enpower", "call": "list-mailboxes", "kind": "latency", "params": slowPages}}
	add := func(vendor, call string, kinds []map[string]any) {
		for _, f := range kinds {
			rule := map[string]any{"vendor": vendor, "call": call}
			for name, value := range f {
				rule[name] = value
			}
			rules = append(rules, rule)
		}
	}
	for _, k := range commandKinds {
		if k.call != "" {
			add(k.vendor, k.call, writeFaults)
		}
		if k.read != "" {
			add(k.vendor, k.read, readFaults)
		}
	}
	for _, f := range rules {
		if err := s.control(ctx, http.MethodPost, "faults", f); err != nil {
			return err
		}
	}
	return nil
}

// killAndRestart kills a part, and starts it again after a while.
func (s *Scenario) killAndRestart(ctx context.Context, part string) error {
	if err := s.stack.Kill(part); err != nil {
		return err
	}
	s.countKill(killKind(part))
	pause(ctx, s.jitter(0, 1200))
	if err := s.stack.Restart(context.WithoutCancel(ctx), part); err != nil {
		return err
	}
	if part == stack.Sandbox {
		return s.addVendorFaults(ctx)
	}
	return nil
}

// joinAndLeave starts one to three further replicas of a service at once, long enough for them to
// acquire partitions. Every second one leaves by kill -9, the others by SIGTERM.
func (s *Scenario) joinAndLeave(ctx context.Context) error {
	services := workers()
	service := services[s.rng.IntN(len(services))]
	return s.join(ctx, service, 1+s.rng.IntN(3))
}

// jumpClocks starts a replica whose clock is wrong and jumps while it works: it is two hours
// behind, and goes 25 hours ahead and back.
func (s *Scenario) jumpClocks(ctx context.Context) error {
	s.countFault(clockJumped)
	return s.join(ctx, commandKinds[0].service, 1, "--clock-jumps", "25h", "--clock-off", "-2h")
}

func (s *Scenario) join(ctx context.Context, service string, number int, args ...string) error {
	var joined []*replica
	defer func() {
		for _, r := range joined {
			r.kill()
		}
	}()
	for range number {
		r, err := s.replica(ctx, service, args...)
		if err != nil {
			return err
		}
		joined = append(joined, r)
	}
	pause(ctx, s.jitter(1500, 1500))
	for _, r := range joined {
		if s.departures++; s.departures%2 == 0 {
			r.kill()
			s.countKill(replicaKilled)
		} else {
			r.stop()
			s.countFault(replicaLeft)
		}
	}
	return nil
}

// throttle makes the sandbox answer every call with 429 for a while.
func (s *Scenario) throttle(ctx context.Context) error {
	raw, err := json.Marshal(map[string]any{"kind": "status", "params": map[string]any{"status": 429, "retryAfter": "1"}})
	if err != nil {
		return err
	}
	answer, err := s.controlRaw(ctx, http.MethodPost, "faults", raw)
	if err != nil {
		return err
	}
	var rule struct{ ID int }
	if err := json.Unmarshal(answer, &rule); err != nil {
		return err
	}
	s.countFault(throttling)
	pause(ctx, s.jitter(2500, 1500))
	_, err = s.controlRaw(ctx, http.MethodDelete, fmt.Sprint("faults/", rule.ID), nil)
	return err
}

// workers are the services that carry commands out.
func workers() (list []string) {
	for _, k := range commandKinds {
		if !slices.Contains(list, k.service) {
			list = append(list, k.service)
		}
	}
	return list
}

// jitter draws a time from minimum up to minimum+spread, in milliseconds; with FastKills a third of
// it.
func (s *Scenario) jitter(minimum, spread int) time.Duration {
	d := time.Duration(minimum+s.rng.IntN(spread)) * time.Millisecond
	if s.FastKills {
		d /= 3
	}
	return d
}

// pause is a part of the timing of the faults. It does not wait for a condition.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
