package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/mailwright/mailwright/services/guarantees/internal/scenario"
)

const (
	// maxBacklogMemory is what the service may take, however long the queue.
	maxBacklogMemory = 256 << 20
	// minRatio is how fast the others are worked off while keys wait, to how fast without.
	minRatio = 0.8
)

// measure is a row of build/guarantees-backlog.json.
type measure struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Target string  `json:"target,omitempty"`
	OK     bool    `json:"ok"`
}

// backlog prints how fast a heap of commands is worked off, without and with keys that wait, and
// what memory that takes. It is an error where that misses a target.
func (o *options) backlog(ctx context.Context) (err error) {
	o.setBin()
	plan := o.plan()
	plan.Commands, plan.Keys, plan.Services = o.Backlog, o.Backlog/10, []string{"directory-svc", "projection-svc"}
	s, err := scenario.Start(ctx, plan)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(o.Keep || err != nil)) }()
	var rows []measure
	var rates []float64
	for i, name := range []string{"no key waits", "one key of a hundred waits"} {
		b, err := s.Backlog(ctx, i == 1)
		if err != nil {
			return err
		}
		rates = append(rates, b.Rate())
		rows = append(rows, measure{"rate, " + name, b.Rate(), "commands/s", "", true},
			measure{"peak memory, " + name, float64(b.PeakBytes >> 20), "MiB", fmt.Sprintf("< %d", maxBacklogMemory>>20), b.PeakBytes < maxBacklogMemory})
		fmt.Printf("backlog: %s: %d commands, %d more on keys that wait: %.0f/s, peak memory %d MiB\n", name, b.Commands, b.Parked, b.Rate(), b.PeakBytes>>20)
	}
	ratio := rates[1] / rates[0]
	rows = append(rows, measure{"rate with waiting keys, of that without", ratio, "ratio", fmt.Sprintf(">= %.1f", minRatio), ratio >= minRatio})
	missed := 0
	for _, r := range rows {
		if !r.OK {
			missed++
			fmt.Printf("backlog: missed: %s is %.2f %s, not %s\n", r.Name, r.Value, r.Unit, r.Target)
		}
	}
	fmt.Printf("backlog: with waiting keys the others are worked off at %.2f of the rate without; %d targets missed\n", ratio, missed)
	if err := o.write("build/guarantees-backlog.json", rows, nil); err != nil {
		return err
	}
	if missed > 0 {
		return errors.New("a target was missed")
	}
	return nil
}
