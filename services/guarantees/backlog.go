package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/mailwright/mailwright/services/guarantees/internal/scenario"
)

const (
	// maxBacklogMemory is what the service may take, however long the queue is.
	maxBacklogMemory = 256 << 20
	// minRatio bounds the rate while some keys wait, as a share of the rate while none does.
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

// backlog prints how fast a service works off a backlog, without and with keys that wait, and how
// much memory it takes. A missed target is an error.
func (o *options) backlog(ctx context.Context) (err error) {
	o.setBin()
	plan := o.plan()
	plan.Commands = o.Backlog
	plan.Keys = o.Backlog / 10
	plan.Services = []string{"directory-svc", "projection-svc"}
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
		rows = append(rows, rateOf(name, b), memoryOf(name, b))
		fmt.Printf("backlog: %s: %d commands, %d more on keys that wait: %.0f/s, peak memory %d MiB\n",
			name, b.Commands, b.Parked, b.Rate(), b.PeakBytes>>20)
	}
	ratio := rates[1] / rates[0]
	rows = append(rows, measure{
		Name:   "rate with waiting keys, of that without",
		Value:  ratio,
		Unit:   "ratio",
		Target: fmt.Sprintf(">= %.1f", minRatio),
		OK:     ratio >= minRatio,
	})
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

func rateOf(name string, b scenario.Backlog) measure {
	return measure{Name: "rate, " + name, Value: b.Rate(), Unit: "commands/s", OK: true}
}

func memoryOf(name string, b scenario.Backlog) measure {
	return measure{
		Name:   "peak memory, " + name,
		Value:  float64(b.PeakBytes >> 20),
		Unit:   "MiB",
		Target: fmt.Sprintf("< %d", maxBacklogMemory>>20),
		OK:     b.PeakBytes < maxBacklogMemory,
	}
}
