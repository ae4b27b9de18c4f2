package trial

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

// walkTime is about how long the walk over all steps takes.
const walkTime = 35 * time.Second

// Kinds of faults that are no kill of a part; each must happen.
const (
	atStep           = "crash at a step"
	replicaKilled    = "kill of a replica"
	replicaLeft      = "replica that joined and left"
	clockJumped      = "clock that jumps"
	throttling       = "429 storm"
	dayLater         = "duplicate after JetStream forgot its id"
	twoKeys          = "command on two keys at once"
	malformedMessage = "malformed message"
	forgedRecord     = "event that no service wrote"
	forgedReference  = "reference that no service wrote"
	trespass         = "command that reaches for another's operation"
	sameID           = "source and id of another tenant's command"
	scheduledSoon    = "command that is due during the run"
	scheduledLater   = "command that is not due during the run"
	paused           = "pause of a replica between a read and a write"
	isolated         = "replica cut off from NATS"
)

// card is a fault that the storm deals.
type card struct {
	name string
	deal func(*Trial, context.Context) error
}

// deck is dealt in random order, whole, and again where that is not enough.
var deck = []card{
	killing("directory-svc"), killing("directory-svc"), killing("directory-svc"), killing("mailbox-svc"), killing("delegation-svc"), killing("inventory-svc"),
	killing("projection-svc"), killing(stack.NATS), killing(stack.Postgres), killing(stack.Sandbox),
	{replicaLeft, (*Trial).joinAndLeave}, {replicaKilled, (*Trial).joinAndLeave}, {clockJumped, (*Trial).jumpClocks}, {throttling, (*Trial).throttle}, {dayLater, (*Trial).resend},
}

func killing(part string) card {
	return card{killOf(part), func(t *Trial, ctx context.Context) error { return t.killAndRestart(ctx, part) }}
}

func killOf(part string) string { return "kill of " + part }

// Storm injects faults until ctx ends: first the walk over every step, then the deck.
func (t *Trial) Storm(ctx context.Context) error {
	if t.NoFaults {
		return nil
	}
	if slices.Contains(t.Unsafe, string(failpoint.Leases)) { // a late write meets no other fault, and shows
		return t.overtake(ctx)
	}
	t.expect(atStep, twoKeys, malformedMessage, forgedRecord, forgedReference, trespass, sameID, scheduledSoon, scheduledLater, paused, isolated)
	for _, c := range deck {
		t.expect(c.name)
	}
	if err := t.breakVendors(ctx); err != nil {
		return err
	}
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return t.overtake(ctx) })
	both.Go(func() error {
		if len(t.Unsafe) == 0 { // what is switched off has no steps
			if err := t.walk(ctx); err != nil {
				return err
			}
		}
		return t.injectFaults(ctx)
	})
	return both.Wait()
}

// injectFaults injects every kind of fault, in random order, until there were enough kills.
func (t *Trial) injectFaults(ctx context.Context) error {
	for dealt := 0; dealt < len(deck) || t.Kills() < t.Plan.Kills; {
		for _, at := range t.rng.Perm(len(deck)) {
			pause(ctx, t.breath(100, 700))
			if ctx.Err() != nil {
				return nil
			}
			if err := deck[at].deal(t, ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", deck[at].name, err)
			}
			dealt++
			t.tell("%d commands, %d faults, %d kills", t.published(), t.Faults(), t.Kills())
		}
	}
	return nil
}

// walk kills every service at each of its steps, those of different services side by side.
func (t *Trial) walk(ctx context.Context) error {
	walks, ctx := errgroup.WithContext(ctx)
	for lane, w := range steps {
		walks.Go(func() error {
			began := time.Now()
			err := t.walkSteps(ctx, w.service, w.points, w.nth, t.dice(lane))
			t.Progress("the steps of %s are walked in %v", w.service, time.Since(began).Round(time.Second))
			return err
		})
	}
	err := walks.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	hit := 0
	for _, p := range t.evidence.Points {
		if p.Hit {
			hit++
		}
	}
	t.Progress("%d of %d steps were walked: a replica was killed at each", hit, len(t.evidence.Points))
	return err
}

// vendorFaults strike a share of the calls that write, each a few of those that read.
var writeFaults, readFaults = []map[string]any{
	{"kind": "timeout-after", "probability": 0.02},
	{"kind": "timeout-before", "probability": 0.01},
	{"kind": "reset", "probability": 0.01, "params": map[string]any{"when": "after"}},
	{"kind": "status", "probability": 0.03, "params": map[string]any{"status": 429, "retryAfter": "1"}},
	{"kind": "status", "probability": 0.02, "params": map[string]any{"status": 503}},
	{"kind": "status", "probability": 0.01, "params": map[string]any{"status": 500, "when": "after"}},
}, []map[string]any{
	{"kind": "status", "probability": 0.02, "params": map[string]any{"status": 503}},
}

// breakVendors gives the sandbox its faults; a restart of the sandbox forgets them.
func (t *Trial) breakVendors(ctx context.Context) error {
	// A page of an inventory takes a while, so that a walk is killed in its middle.
	faults := []map[string]any{{"vendor": "enpower", "call": "list-mailboxes", "kind": "latency", "params": map[string]any{"delay": "20ms"}}}
	strike := func(vendor, call string, kinds []map[string]any) {
		for _, f := range kinds {
			aimed := map[string]any{"vendor": vendor, "call": call}
			for name, value := range f {
				aimed[name] = value
			}
			faults = append(faults, aimed)
		}
	}
	for _, k := range kinds {
		if k.call != "" {
			strike(k.vendor, k.call, writeFaults)
		}
		if k.read != "" {
			strike(k.vendor, k.read, readFaults)
		}
	}
	for _, f := range faults {
		if err := t.control(ctx, http.MethodPost, "faults", f); err != nil {
			return err
		}
	}
	return nil
}

// killAndRestart kills a part, and brings it back after a while.
func (t *Trial) killAndRestart(ctx context.Context, part string) error {
	if err := t.Kill(part); err != nil {
		return err
	}
	t.killed(killOf(part))
	pause(ctx, t.breath(0, 1200))
	if err := t.Restart(context.WithoutCancel(ctx), part); err != nil {
		return err
	}
	if part == stack.Sandbox {
		return t.breakVendors(ctx)
	}
	return nil
}

// joinAndLeave lets one to three further replicas of a service join, all at once, for long enough
// to own partitions; by turns they leave in order, and by kill -9.
func (t *Trial) joinAndLeave(ctx context.Context) error {
	services := workers()
	service := services[t.rng.IntN(len(services))]
	return t.join(ctx, service, 1+t.rng.IntN(3))
}

// jumpClocks does the same with two replicas whose clocks jump, one ahead and one back, while they
// are at work.
func (t *Trial) jumpClocks(ctx context.Context) error {
	t.injected(clockJumped)
	return t.join(ctx, kinds[0].service, 1, "--clock-jumps", "25h", "--clock-off", "-2h")
}

func (t *Trial) join(ctx context.Context, service string, number int, args ...string) error {
	var joined []*replica
	defer func() {
		for _, r := range joined {
			r.kill()
		}
	}()
	for range number {
		r, err := t.replica(ctx, service, args...)
		if err != nil {
			return err
		}
		joined = append(joined, r)
	}
	pause(ctx, t.breath(1500, 1500))
	for _, r := range joined {
		if t.leaves++; t.leaves%2 == 0 {
			r.kill()
			t.killed(replicaKilled)
		} else {
			r.stop()
			t.injected(replicaLeft)
		}
	}
	return nil
}

// throttle has every call to any vendor refused with 429 for a while.
func (t *Trial) throttle(ctx context.Context) error {
	raw, err := json.Marshal(map[string]any{"kind": "status", "params": map[string]any{"status": 429, "retryAfter": "1"}})
	if err != nil {
		return err
	}
	answer, err := t.controlRaw(ctx, http.MethodPost, "faults", raw)
	if err != nil {
		return err
	}
	var rule struct{ ID int }
	if err := json.Unmarshal(answer, &rule); err != nil {
		return err
	}
	t.injected(throttling)
	pause(ctx, t.breath(2500, 1500))
	_, err = t.controlRaw(ctx, http.MethodDelete, fmt.Sprint("faults/", rule.ID), nil)
	return err
}

// workers are the services that carry commands out.
func workers() (list []string) {
	for _, k := range kinds {
		if !slices.Contains(list, k.service) {
			list = append(list, k.service)
		}
	}
	return list
}

// breath draws a time between a least one and so much more, in milliseconds; a third of it in a
// hurry.
func (t *Trial) breath(least, more int) time.Duration {
	d := time.Duration(least+t.rng.IntN(more)) * time.Millisecond
	if t.Hurry {
		d /= 3
	}
	return d
}

// pause is a part of the storm's timing, not a wait for something.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
