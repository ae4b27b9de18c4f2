package bench

import (
	"fmt"
	"maps"
	"slices"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/benchmark"
)

// report gathers rows, and what came of each target.
type report struct {
	rows     []benchmark.Row
	verdicts []string
}

// add adds a row without a target.
func (r *report) add(row benchmark.Row) {
	row.OK = true
	r.rows = append(r.rows, row)
}

// atLeast adds a row whose ratio to the floor, or where it has none its value, must reach the
// target.
func (r *report) atLeast(target float64, row benchmark.Row) {
	got := row.Value
	if row.Ratio > 0 {
		got = row.Ratio
	}
	row.Target, row.OK = target, got >= target
	r.rows = append(r.rows, row)
	r.judge(row, got, "at least", target)
}

// atMost adds a row whose value must not exceed the target.
func (r *report) atMost(target float64, row benchmark.Row) {
	row.Target, row.OK = target, row.Value <= target
	r.rows = append(r.rows, row)
	r.judge(row, row.Value, "at most", target)
}

// report adds a row whose value should not exceed the target. Nothing fails where it does.
func (r *report) report(target float64, row benchmark.Row) {
	row.OK = row.Value <= target
	r.rows = append(r.rows, row)
	r.judge(row, row.Value, "at most", target)
}

func (r *report) judge(row benchmark.Row, got float64, bound string, target float64) {
	verdict := map[bool]string{true: "met", false: "missed"}[row.OK]
	r.verdicts = append(r.verdicts, fmt.Sprintf("target %s: %s: %.2f, %s %v", verdict, row.Name, got, bound, target))
}

// The targets.
const (
	minOfFloor         = 0.75 // of a burst of one tenant without latency, by default settings
	minOfFloorInRound  = 0.65 // the same in every round
	minOfFloorCreating = 0.5
	minOfLimit         = 0.95 // where limit and latency bound a tenant
	maxEvents          = 1.1  // a command, where they do
	maxCPU             = 1.5  // times that of the floor
	maxDelay           = 1.5  // the same, from publish to outcome
	maxDelayToRow      = 300  // ms
	maxServiceMemory   = 100  // MiB, at full load
	maxIdle            = 3    // % of a core
	maxBesideBacklog   = 2    // times the p99 without it
	maxGrowth          = 1.1  // times the CPU of a command in a burst that is a twentieth as long
)

// burst adds the rows of a variant of a scenario.
func (r *report) burst(s scenario, v variant, results, floors []round) {
	name := fmt.Sprintf("end to end, %s: %s", s.name(), v.name)
	usual := v.name == ours.name && s.tenants == 1 && !s.hot // the targets are about this
	rates := pick(results, func(r round) float64 { return r.rate })
	row := benchmark.Row{Name: name, Value: median(rates), Unit: "commands/s", CPU: median(pick(results, round.cpuOfAll))}
	if !v.floor {
		row.Ratio = row.Value / median(pick(floors, func(r round) float64 { return r.rate }))
	}
	switch {
	case usual && s.latency == 0 && s.create:
		r.atLeast(minOfFloorCreating, row)
	case usual && s.latency == 0:
		r.atLeast(minOfFloor, row)
	default:
		r.add(row)
	}
	r.add(benchmark.Row{Name: name + ", slowest round", Value: slices.Min(rates), Unit: "commands/s"})
	r.add(benchmark.Row{Name: name + ", fastest round", Value: slices.Max(rates), Unit: "commands/s"})
	r.add(benchmark.Row{Name: name + ", to the last row", Value: median(pick(results, func(r round) float64 { return r.rowRate })), Unit: "commands/s"})
	if !v.floor {
		r.ratios(name, usual, s, v, results, floors)
		r.events(name, usual, s, results)
	}
	r.costs(name, usual && s.latency == 0, results, floors)
	r.memory(name, usual, results)
}

// ratios adds the lowest ratio to the floor, and the ratio to what limit and latency allow.
func (r *report) ratios(name string, usual bool, s scenario, v variant, results, floors []round) {
	lowest := results[0].rate / floors[0].rate
	for i := range results {
		lowest = min(lowest, results[i].rate/floors[i].rate)
	}
	row := benchmark.Row{Name: name + ", lowest ratio of a round", Value: lowest, Unit: "of the floor"}
	if usual && s.latency == 0 && !s.create {
		r.atLeast(minOfFloorInRound, row)
	} else {
		r.add(row)
	}
	if s.latency == 0 || s.hot || v.name != ours.name {
		return
	}
	rate := median(pick(results, func(r round) float64 { return r.rate }))
	row = benchmark.Row{Name: name + ", of what limit and latency allow", Value: rate / s.allowed(), Unit: "of the limit"}
	if usual && !s.create {
		r.atLeast(minOfLimit, row)
	} else {
		r.add(row)
	}
}

// events adds how many events a command has, and of which types where there is more than one.
func (r *report) events(name string, usual bool, s scenario, results []round) {
	row := benchmark.Row{Name: name + ", events", Value: median(pick(results, round.eventsOfAll)), Unit: "a command"}
	if usual && s.latency > 0 && !s.create {
		r.atMost(maxEvents, row)
	} else {
		r.add(row)
	}
	for _, state := range []event.State{event.StateStarted, event.StateWaiting, event.StateUnknown} {
		t := event.Prefix + string(s.domain()) + "." + string(state) + ".v1"
		if n := median(pick(results, func(r round) float64 { return r.events[t] })); n > 0 {
			r.add(benchmark.Row{Name: fmt.Sprintf("%s, events %s", name, state), Value: n, Unit: "a command"})
		}
	}
	if calls := median(pick(results, func(r round) float64 { return r.calls })); calls != callsOfCommand {
		r.add(benchmark.Row{Name: name + ", calls to the vendor", Value: calls, Unit: "a command"})
	}
}

// costs adds the CPU time of a command by part, and the ratio of the sum to that of the floor.
func (r *report) costs(name string, bounded bool, results, floors []round) {
	for _, part := range slices.Sorted(maps.Keys(results[0].cpu)) {
		cost := median(pick(results, func(r round) float64 { return r.cpu[part] }))
		r.add(benchmark.Row{Name: name + ", CPU of " + part, Value: cost, Unit: "us a command"})
	}
	sum, least := median(pick(results, round.cpuOfAll)), median(pick(floors, round.cpuOfAll))
	row := benchmark.Row{Name: name + ", CPU of all", Value: sum / least, Unit: "times the floor's"}
	switch {
	case &results[0] == &floors[0]: // it is the floor
	case bounded:
		r.atMost(maxCPU, row)
	default:
		r.add(row)
	}
}

// memory adds the peak memory of each part. Postgres is left out: its processes share most of it.
func (r *report) memory(name string, bounded bool, results []round) {
	for _, part := range slices.Sorted(maps.Keys(results[0].peak)) {
		row := benchmark.Row{Name: name + ", peak memory of " + part, Value: slices.Max(pick(results, func(r round) float64 { return r.peak[part] })), Unit: "MiB"}
		switch {
		case part == partPostgres || part == "vendor":
		case bounded && part != partNATS:
			r.atMost(maxServiceMemory, row)
		default:
			r.add(row)
		}
	}
}

// latencies adds how long commands of a variant take at pacedRate, and what each costs then.
func (r *report) latencies(v variant, results, floors []round) {
	name := fmt.Sprintf("end to end, %d commands a second: %s", pacedRate, v.name)
	for _, p := range []struct {
		name  string
		share float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		toOutcome := func(r round) float64 { return percentile(r.toOutcome, p.share) }
		at := median(pick(results, toOutcome))
		r.add(benchmark.Row{Name: fmt.Sprintf("%s, %s from publish to outcome", name, p.name), Value: at, Unit: "ms"})
		if !v.floor {
			ratio := at / median(pick(floors, toOutcome))
			r.report(maxDelay, benchmark.Row{Name: fmt.Sprintf("%s, %s from publish to outcome, ratio", name, p.name), Value: ratio, Unit: "times the floor's"})
		}
		toRow := benchmark.Row{Name: fmt.Sprintf("%s, %s from publish to row", name, p.name), Value: median(pick(results, func(r round) float64 { return percentile(r.toRow, p.share) })), Unit: "ms"}
		if v.floor {
			r.add(toRow)
		} else {
			r.report(maxDelayToRow, toRow)
		}
	}
	r.costs(name, !v.floor, results, floors)
}
