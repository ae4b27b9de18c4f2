package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/mailwright/mailwright/services/guarantees/internal/check"
	"github.com/mailwright/mailwright/services/guarantees/internal/scenario"
)

// publishUnderFaults runs the storm while the commands are published.
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

// attackWithFaults attacks G1, G2, G3, G5, G6 and G7 at once.
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
	if err := publishUnderFaults(ctx, s); err != nil {
		return nil, nil, err
	}
	progress("the storm is over: %d faults, %d kills", s.Faults(), s.Kills())
	if err := s.AwaitOutcomes(ctx, o.OutcomeTimeout); err != nil {
		progress("not settled: %v", err) // the checkers say what is missing
	}
	if err := s.Bombs(ctx); err != nil {
		return nil, nil, err
	}
	if err := errors.Join(s.PublishFinalCommands(ctx), s.AwaitOutcomes(ctx, o.OutcomeTimeout)); err != nil {
		progress("the last inventory is not taken: %v", err)
	}
	e, err := s.Evidence(ctx)
	if err != nil {
		return nil, nil, err
	}
	if o.Long {
		e.MinKills = o.Kills
	}
	progress("the evidence is gathered: %d commands, %d events, %d effects, %d dead letters", len(e.Commands), len(e.Events), len(e.Effects), len(e.DeadLetters))
	if !plan.NoFaults {
		printFaults(e)
		missing = e.MissingAttacks()
	}
	const storm = "kill -9 of each service at every step and at random, restarts of NATS, Postgres, sandbox; clocks that jump; lost answers; 429, 5xx"
	line := func(name, promise, fault string, v check.Violations) row {
		return newRow(name, promise, fault, len(e.Commands), s.Faults(), v)
	}
	return []row{
		line("G1", "one outcome a command", storm+"; duplicates a day later", e.OneOutcome()),
		line("G2", "one effect a command", storm+"; duplicates at once", append(e.OnceAtTheVendor(), e.InventoryIsTrue()...)),
		line("G3", "order of a key", storm+"; replicas join and leave, are paused, and are cut off; commands with notbefore", e.InOrder()),
		line("G5", "rows equal replay", storm, e.RowsEqualReplay()),
		line("G6", "no secret anywhere", storm+"; dead letters", e.NoSecret()),
		line("G7", "nothing vanishes, crashes or loops", "malformed and expensive messages, misplaced secrets, steering headers, foreign records and references", e.NothingVanishes()),
		line("G9", "tenants and sources are apart", "cancels of another's operation, same source and id, foreign tenantid, commands that are not due", e.TenantsAreApart()),
	}, missing, nil
}

// attackWithoutFaults attacks G4 and G8 side by side, each in a system of its own: both wait most of the time.
func (o *options) attackWithoutFaults(ctx context.Context) (slow, hostile row, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if slow, err = o.attackWithSlowTargets(ctx); err != nil {
			return fmt.Errorf("stuck targets: %w", err)
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

// attackWithSlowTargets attacks G4.
func (o *options) attackWithSlowTargets(ctx context.Context) (r row, err error) {
	plan := o.plan()
	plan.Commands, plan.Services = min(plan.Commands, 300), []string{"directory-svc", "projection-svc"}
	plan.VendorTimeout, plan.VendorCalls = scenario.MaxVendorTimeout, scenario.UnlimitedVendorCalls
	s, err := scenario.Start(ctx, plan)
	if err != nil {
		return r, err
	}
	keep := o.Keep
	defer func() { err = errors.Join(err, s.Close(keep || err != nil)) }()
	progress("stuck targets")
	delay, err := s.RunSlowTargets(ctx)
	if err != nil {
		return r, err
	}
	if err := s.AwaitOutcomes(ctx, o.OutcomeTimeout); err != nil {
		progress("not settled: %v", err) // the checker says what is missing
		keep = true
	}
	e, err := s.Events(ctx)
	return newRow("G4", "no other key is delayed", "slow targets, a throttled one, a missing one", len(e.Commands), s.Faults(), e.NoDelay(delay)), err
}

// attackWithHostileVendor attacks G8.
func (o *options) attackWithHostileVendor(ctx context.Context) (r row, err error) {
	plan := o.plan()
	plan.Services = []string{"directory-svc", "projection-svc"} // and the one that is lured
	s, err := scenario.Start(ctx, plan)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Close(o.Keep || err != nil)) }()
	progress("hostile answers")
	l, err := s.RunHostileVendor(ctx)
	return newRow("G8", "credentials stay, walks end", "nextLink and redirect elsewhere, loops, endless and huge answers", len(l.Tried), s.Faults(), l.DidNoHarm()), err
}
