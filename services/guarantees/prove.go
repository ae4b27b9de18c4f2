package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mailwright/mailwright/services/guarantees/internal/scenario"
	"github.com/mailwright/mailwright/services/internal/failpoint"
)

// protections lists each protection with the guarantee whose checker must report that it is off.
// faults: only a vendor's faults make the checker find it. keys: only with so few keys do commands
// of a key follow each other closely enough for one to overtake another on a fast machine.
var protections = []struct {
	name, found string
	faults      bool
	keys        int // 0: as many as were asked for
}{
	{name: string(failpoint.Guard), found: "G1"},
	{name: string(failpoint.LookUpFirst), found: "G2", faults: true},
	{name: string(failpoint.Ownership), found: "G3", keys: 6},
	{name: string(failpoint.ParkInOrder), found: "G3", faults: true},
	{name: string(failpoint.Leases), found: "G3", faults: true},
	{name: string(failpoint.Detach), found: "G4"},
	{name: scenario.AlteredRow, found: "G5"},
	{name: string(failpoint.Redaction), found: "G6"},
	{name: string(failpoint.DeadLetters), found: "G7"},
	{name: string(failpoint.UnreadableRecords), found: "G7"},
	{name: string(failpoint.References), found: "G7"},
	{name: string(failpoint.OwnRedelivery), found: "G7"},
	{name: string(failpoint.Bounds), found: "G7"},
	{name: string(failpoint.CancelRights), found: "G9"},
	{name: scenario.NaiveClient, found: "G8"},
}

// proveTimeout bounds each wait for outcomes in a system without a protection: some never come.
// With every protection on, a run without faults takes half of it, since an unreadable record is
// read again for 30 seconds.
const proveTimeout = time.Minute

// prove switches one protection after another off. Its error says that a checker did not report it.
func (o *options) prove(ctx context.Context) error {
	o.setDefaults()
	blind := 0
	tried := 0
	for _, p := range protections {
		if len(o.Unsafe) > 0 && !slices.Contains(o.Unsafe, p.name) {
			continue
		}
		tried++
		without := *o
		without.Unsafe = []string{p.name}
		without.NoFaults = !p.faults
		without.Keys = cmp.Or(p.keys, o.Keys)
		without.Kills = 0
		without.OutcomeTimeout = proveTimeout
		found, err := without.violations(ctx, p.found)
		if err != nil {
			return fmt.Errorf("without %s: %w", p.name, err)
		}
		if found == 0 {
			blind++
		}
		fmt.Printf("prove: without %-10s %s finds %d violations\n", p.name, p.found, found)
	}
	fmt.Printf("prove: %d protections, %d checkers blind\n", tried, blind)
	if blind > 0 {
		return errors.New("a checker is blind")
	}
	return nil
}

// violations attacks one guarantee and counts its violations: none where its row is missing.
func (o *options) violations(ctx context.Context, name string) (int, error) {
	var rows []row
	var err error
	switch name {
	case "G4":
		rows = make([]row, 1)
		rows[0], err = o.attackWithSlowTargets(ctx)
	case "G8":
		rows = make([]row, 1)
		rows[0], err = o.attackWithHostileVendor(ctx)
	default:
		rows, _, err = o.attackWithFaults(ctx)
	}
	for _, r := range rows {
		if r.Name == name {
			return r.Violations, err
		}
	}
	return 0, err
}
