package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/mailwright/mailwright/services/guarantees/internal/check"
	"github.com/mailwright/mailwright/services/guarantees/internal/scenario"
)

// publishUnderFaults publishes the commands while faults are injected.
func publishUnderFaults(ctx context.Context, s *scenario.Scenario) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	var failed error
	go func() {
		defer close(done)
		failed = s.InjectFaults(ctx)
	}()
	err := s.Publish(ctx, done)
	if err != nil {
		stop()
	}
	<-done
	return errors.Join(err, failed)
}

// What attacks the guarantees, as the table prints it.
const (
	faultsOfParts = "kill -9 of each service at every step and at random, restarts of NATS, Postgres, sandbox; " +
		"clocks that jump; lost answers; 429, 5xx"
	faultsOfOrder    = faultsOfParts + "; replicas join and leave, are paused, and are cut off; commands with notbefore"
	malformedInput   = "malformed and expensive messages, misplaced secrets, steering headers, foreign records and references"
	foreignPublisher = "cancels of another's operation, same source and id, foreign tenantid, commands that are not due"
)

// attackWithFaults attacks G1, G2, G3, G5, G6, G7 and G9 in one run. missing names the attacks that
// the run did not make.
func (o *options) attackWithFaults(ctx context.Context) (rows []row, missing check.Violations, err error) {
	plan := o.plan()
	s, err := scenario.Start(ctx, plan)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		err = errors.Join(err, s.Close(true))
		if err == nil {
			err = o.recordState(s.Dir())
		}
	}()
	e, err := o.collectEvidence(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	if !plan.NoFaults {
		printFaults(e)
		missing = e.MissingAttacks()
	}
	line := func(name, promise, attack string, v check.Violations) row {
		return newRow(name, promise, attack, len(e.Commands), s.Faults(), v)
	}
	effects := append(e.OnceAtTheVendor(), e.InventoryIsTrue()...)
	return []row{
		line("G1", "one outcome a command", faultsOfParts+"; duplicates a day later", e.OneOutcome()),
		line("G2", "one effect a command", faultsOfParts+"; duplicates at once", effects),
		line("G3", "order of a key", faultsOfOrder, e.InOrder()),
		line("G5", "rows equal replay", faultsOfParts, e.RowsEqualReplay()),
		line("G6", "no secret anywhere", faultsOfParts+"; dead letters", e.NoSecret()),
		line("G7", "nothing vanishes, crashes or loops", malformedInput, e.NothingVanishes()),
		line("G9", "tenants and sources are apart", foreignPublisher, e.TenantsAreApart()),
	}, missing, nil
}

// collectEvidence runs the scenario to its end and gathers what it left. A command without an
// outcome is no error here: the checkers report it.
func (o *options) collectEvidence(ctx context.Context, s *scenario.Scenario) (check.Evidence, error) {
	if err := publishUnderFaults(ctx, s); err != nil {
		return check.Evidence{}, err
	}
	progress("no more faults are injected: %d faults, %d kills", s.Faults(), s.Kills())
	if err := s.AwaitOutcomes(ctx, o.OutcomeTimeout); err != nil {
		progress("outcomes are missing: %v", err)
	}
	if err := s.Bombs(ctx); err != nil {
		return check.Evidence{}, err
	}
	if err := errors.Join(s.PublishFinalCommands(ctx), s.AwaitOutcomes(ctx, o.OutcomeTimeout)); err != nil {
		progress("the final commands have no outcome: %v", err)
	}
	e, err := s.Evidence(ctx)
	if err != nil {
		return check.Evidence{}, err
	}
	if o.Long {
		e.MinKills = o.Kills
	}
	progress("the evidence is gathered: %d commands, %d events, %d effects, %d dead letters",
		len(e.Commands), len(e.Events), len(e.Effects), len(e.DeadLetters))
	return e, nil
}

// attackWithoutFaults attacks G4 and G8 side by side, each in a system of its own: both wait most
// of the time.
func (o *options) attackWithoutFaults(ctx context.Context) (slow, hostile row, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if slow, err = o.attackWithSlowTargets(ctx); err != nil {
			return fmt.Errorf("slow targets: %w", err)
		}
		return nil
	})
	group.Go(func() (err error) {
		if hostile, err = o.attackWithHostileVendor(ctx); err != nil {
			return fmt.Errorf("hostile answers: %w", err)
		}
		return nil
	})
	err = group.Wait()
	return slow, hostile, err
}

// maxSlowTargetCommands bounds the commands beside the slow ones: their number does not matter to
// G4, and each of them is published twice.
const maxSlowTargetCommands = 300

// attackWithSlowTargets attacks G4.
func (o *options) attackWithSlowTargets(ctx context.Context) (r row, err error) {
	plan := o.plan()
	plan.Commands = min(plan.Commands, maxSlowTargetCommands)
	plan.Services = []string{"directory-svc", "projection-svc"}
	plan.VendorTimeout = scenario.MaxVendorTimeout
	plan.VendorCalls = scenario.UnlimitedVendorCalls
	s, err := scenario.Start(ctx, plan)
	if err != nil {
		return r, err
	}
	keep := o.Keep
	defer func() { err = errors.Join(err, s.Close(keep || err != nil)) }()
	progress("slow targets")
	delay, err := s.RunSlowTargets(ctx)
	if err != nil {
		return r, err
	}
	if err := s.AwaitOutcomes(ctx, o.OutcomeTimeout); err != nil {
		progress("outcomes are missing: %v", err) // the checker reports which
		keep = true
	}
	e, err := s.Events(ctx)
	const attack = "slow targets, a throttled one, a missing one"
	return newRow("G4", "no other key is delayed", attack, len(e.Commands), s.Faults(), e.NoDelay(delay)), err
}

// attackWithHostileVendor attacks G8.
func (o *options) attackWithHostileVendor(ctx context.Context) (r row, err error) {
	plan := o.plan()
	plan.Services = []string{"directory-svc", "projection-svc"} // the scenario starts the attacked one
	s, err := scenario.Start(ctx, plan)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Close(o.Keep || err != nil)) }()
	progress("hostile answers")
	h, err := s.RunHostileVendor(ctx)
	const attack = "nextLink and redirect elsewhere, loops, endless and huge answers"
	return newRow("G8", "credentials stay, walks end", attack, len(h.Tried), s.Faults(), h.DidNoHarm()), err
}
