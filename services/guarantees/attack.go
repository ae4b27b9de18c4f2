package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/mailwright/mailwright/services/guarantees/internal/check"
	"github.com/mailwright/mailwright/services/guarantees/internal/trial"
)

// rage runs the storm while the commands are published.
func rage(ctx context.Context, t *trial.Trial) error {
	ctx, calm := context.WithCancel(ctx)
	defer calm()
	stormed := make(chan struct{})
	var failed error
	go func() {
		defer close(stormed)
		failed = t.Storm(ctx)
	}()
	err := t.Publish(ctx, stormed)
	if err != nil {
		calm()
	}
	<-stormed
	return errors.Join(err, failed)
}

// storm attacks G1, G2, G3, G5, G6 and G7 at once.
func (o *options) storm(ctx context.Context) (rows []row, lacking check.Violations, err error) {
	plan := o.plan()
	t, err := trial.Start(ctx, plan)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		err = errors.Join(err, t.Close(true))
		if err == nil {
			err = o.leave(t.Dir())
		}
	}()
	if err := rage(ctx, t); err != nil {
		return nil, nil, err
	}
	progress("the storm is over: %d faults, %d kills", t.Faults(), t.Kills())
	if err := t.Settle(ctx, o.Patience); err != nil {
		progress("not settled: %v", err) // the checkers say what is missing
	}
	if err := t.Bombs(ctx); err != nil {
		return nil, nil, err
	}
	if err := errors.Join(t.TakeStock(ctx), t.Settle(ctx, o.Patience)); err != nil {
		progress("the last inventory is not taken: %v", err)
	}
	e, err := t.Evidence(ctx)
	if err != nil {
		return nil, nil, err
	}
	if o.Long {
		e.LeastKills = o.Kills
	}
	progress("the evidence is gathered: %d commands, %d events, %d effects, %d dead letters", len(e.Commands), len(e.Events), len(e.Effects), len(e.Dead))
	if !plan.NoFaults {
		printFaults(e)
		lacking = e.Lacking()
	}
	const storm = "kill -9 of each service at every step and at random, restarts of NATS, Postgres, sandbox; clocks that jump; lost answers; 429, 5xx"
	line := func(name, promise, fault string, v check.Violations) row {
		return newRow(name, promise, fault, len(e.Commands), t.Faults(), v)
	}
	return []row{
		line("G1", "one outcome a command", storm+"; duplicates a day later", e.OneOutcome()),
		line("G2", "one effect a command", storm+"; duplicates at once", append(e.OnceAtTheVendor(), e.InventoryIsTrue()...)),
		line("G3", "order of a key", storm+"; replicas join and leave, are paused, and are cut off; commands with notbefore", e.InOrder()),
		line("G5", "rows equal replay", storm, e.RowsEqualReplay()),
		line("G6", "no secret anywhere", storm+"; dead letters", e.NoSecret()),
		line("G7", "nothing vanishes, crashes or loops", "malformed and expensive messages, misplaced secrets, steering headers, foreign records and references", e.NothingVanishes()),
		line("G9", "tenants and sources are apart", "cancels of another's operation, same source and id, foreign tenantid, commands that are not due", e.TenantsAreApart()),
	}, lacking, nil
}

// calm attacks G4 and G8 side by side, each in a system of its own: both wait most of the time.
func (o *options) calm(ctx context.Context) (quiet, lured row, err error) {
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		if quiet, err = o.stuck(ctx); err != nil {
			return fmt.Errorf("stuck targets: %w", err)
		}
		return nil
	})
	both.Go(func() (err error) {
		if lured, err = o.lure(ctx); err != nil {
			return fmt.Errorf("hostile answers: %w", err)
		}
		return nil
	})
	err = both.Wait()
	return quiet, lured, err
}

// stuck attacks G4.
func (o *options) stuck(ctx context.Context) (r row, err error) {
	plan := o.plan()
	plan.Commands, plan.Services = min(plan.Commands, 300), []string{"directory-svc", "projection-svc"}
	plan.VendorTimeout, plan.VendorCalls = trial.LongestCall, trial.AnyNumber
	t, err := trial.Start(ctx, plan)
	if err != nil {
		return r, err
	}
	keep := o.Keep
	defer func() { err = errors.Join(err, t.Close(keep || err != nil)) }()
	progress("stuck targets")
	delay, err := t.Stuck(ctx)
	if err != nil {
		return r, err
	}
	if err := t.Settle(ctx, o.Patience); err != nil {
		progress("not settled: %v", err) // the checker says what is missing
		keep = true
	}
	e, err := t.Events(ctx)
	return newRow("G4", "no other key is delayed", "slow targets, a throttled one, a missing one", len(e.Commands), t.Faults(), e.NoDelay(delay)), err
}

// lure attacks G8.
func (o *options) lure(ctx context.Context) (r row, err error) {
	plan := o.plan()
	plan.Services = []string{"directory-svc", "projection-svc"} // and the one that is lured
	t, err := trial.Start(ctx, plan)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, t.Close(o.Keep || err != nil)) }()
	progress("hostile answers")
	l, err := t.Lure(ctx)
	return newRow("G8", "credentials stay, walks end", "nextLink and redirect elsewhere, loops, endless and huge answers", len(l.Tried), t.Faults(), l.NotLured()), err
}
