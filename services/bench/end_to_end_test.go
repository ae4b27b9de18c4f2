package bench

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/internal/benchmark"
)

const (
	// rounds is how often each variant of a scenario is run, one variant after another, so that
	// what else the machine does meets all alike; the median counts.
	rounds = 3
	// maxFullRun is how long a run of BENCH_FULL may take at the rate that limit and latency allow.
	maxFullRun = time.Minute
	// fullCommands is the number of commands of a run of BENCH_FULL.
	fullCommands = 20_000
	// pacedRate is the load at which latencies are measured, in commands a second: about a tenth of
	// what the services do at full load.
	pacedRate = 100
	// idleTime is how long an idle system is watched.
	idleTime = 20 * time.Second
)

func full() bool { return os.Getenv("BENCH_FULL") != "" }

// runTimeout bounds the measured part of one run.
func runTimeout() time.Duration {
	if full() {
		return 30 * time.Minute
	}
	return 3 * time.Minute
}

// BenchmarkEndToEnd carries commands out in real processes: NATS with file storage, a service, a
// vendor over HTTP, projection-svc and Postgres. Each scenario is run with our services and with a
// hand-written floor of the same work (package floor). BENCH_FULL=1 takes 20,000 commands in each
// run, and all combinations. BENCH_JSON names a file for the results.
//
// A target is a ratio to the floor of the same run, a share of what limits and latency allow, a
// count or a size. A missed one fails the benchmark, as in the others. A target on how long
// something takes is only reported: what else the machine does decides too much of it.
func BenchmarkEndToEnd(b *testing.B) {
	h := newHost(b)
	var verdicts []string
	run := func(name string, measure func(*testing.B, *report)) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var r report
				measure(b, &r)
				verdicts = append(verdicts, r.verdicts...)
				benchmark.Report(b, r.rows...)
			}
		})
	}
	for _, s := range scenarios() {
		run(s.name(), func(b *testing.B, r *report) { h.compare(b, r, s) })
	}
	run("TLS and permissions", h.secured)
	run("100 commands a second", h.latencies)
	run("backlog", h.backlog)
	run("idle", h.idle)
	if full() {
		run("growth", h.growth)
	}
	for _, v := range verdicts {
		fmt.Println("bench:", v)
	}
}

// compare runs each variant of a scenario, and holds ours against the floor.
func (h *host) compare(b *testing.B, r *report, s scenario) {
	results := h.byTurns(b, s)
	for i, v := range s.variants {
		r.burst(s, v, results[i], results[0])
	}
}

// byTurns runs each variant of a scenario, one after another, in several rounds.
func (h *host) byTurns(b *testing.B, s scenario) [][]round {
	b.Helper()
	results := make([][]round, len(s.variants))
	for range rounds {
		for i, v := range s.variants {
			results[i] = append(results[i], h.once(b, s, v, func(y *system) round { return y.burst(s) }))
		}
	}
	return results
}

// once measures one run on a new system.
func (h *host) once(b *testing.B, s scenario, v variant, measure func(*system) round) round {
	b.Helper()
	y := h.start(b, s, v)
	defer y.stop()
	return measure(y)
}

// latencies measures how long commands take at a tenth of full load.
func (h *host) latencies(b *testing.B, r *report) {
	s := scenario{tenants: 1, commands: 500}
	if full() {
		s.commands = 2000
	}
	variants := []variant{floor, ours}
	results := make([][]round, len(variants))
	for range rounds {
		for i, v := range variants {
			results[i] = append(results[i], h.once(b, s, v, func(y *system) round { return y.paced(s, pacedRate) }))
		}
	}
	for i, v := range variants {
		r.latencies(v, results[i], results[0])
	}
}

// backlog measures how long the commands of 19 tenants take, without and with a backlog of the
// twentieth.
func (h *host) backlog(b *testing.B, r *report) {
	waiting := 10_000
	if full() {
		waiting = 100_000
	}
	s := scenario{latency: 20 * time.Millisecond, tenants: 20, commands: 500}
	var without, beside []float64 // the p99 of each round
	for range rounds {
		without = append(without, h.besideBacklog(b, s, 0))
		beside = append(beside, h.besideBacklog(b, s, waiting))
	}
	name := "end to end, 20 tenants, latency 20 ms: p99 of 19 of them from publish to outcome"
	r.add(benchmark.Row{Name: name, Value: median(without), Unit: "ms"})
	r.add(benchmark.Row{Name: fmt.Sprintf("%s, beside a backlog of %d", name, waiting), Value: median(beside), Unit: "ms"})
	r.report(maxBesideBacklog, benchmark.Row{Name: name + ", beside the backlog", Value: median(beside) / median(without), Unit: "times"})
}

// besideBacklog gives the p99 from publish to outcome, in milliseconds, of all tenants but the
// first, who has a backlog.
func (h *host) besideBacklog(b *testing.B, s scenario, waiting int) float64 {
	b.Helper()
	y := h.start(b, s, ours)
	defer y.stop()
	tenants := s.tenantNames()
	backlog, l := y.newLoad(s, tenants[:1], "backlog", waiting), y.newLoad(s, tenants[1:], "paced", s.commands)
	y.deadline = time.Now().Add(runTimeout())
	from := y.lastEvent()
	y.publish(backlog)
	due := y.pace(l, pacedRate)
	return percentile(l.delays(due, y.follow(s, from, l).outcomes), 0.99)
}

// growth holds what a command costs in a long burst against what it costs in a short one.
func (h *host) growth(b *testing.B, r *report) {
	s := scenario{tenants: 1, commands: 10_000}
	short := h.once(b, s, ours, func(y *system) round { return y.burst(s) })
	s.commands = 200_000
	long := h.once(b, s, ours, func(y *system) round { return y.burst(s) })
	name := fmt.Sprintf("end to end, latency 0, %d commands: ours", s.commands)
	r.atMost(maxGrowth, benchmark.Row{Name: name + ", CPU of all", Value: long.cpuOfAll() / short.cpuOfAll(), Unit: "times that of 10,000"})
	r.memory(name, true, []round{long})
}

// idle measures what the whole of 'mailwright dev' costs while nothing happens, but for the process
// that watches over the others: here that is this one.
func (h *host) idle(b *testing.B, r *report) {
	dir, err := os.MkdirTemp(h.dir, "idle-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // for Postgres
	}
	if err != nil {
		b.Fatal(err)
	}
	system, err := stack.Start(b.Context(), stack.Options{Dir: dir, Bin: h.bin})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := system.Stop(); err != nil {
			b.Error(err)
		}
	}()
	time.Sleep(5 * time.Second) // until what the start brought about has ended
	before := h.children(b)
	time.Sleep(idleTime)
	after := h.children(b)
	var total float64
	for _, part := range slices.Sorted(maps.Keys(after)) {
		share := 100 * (after[part].cpu - before[part].cpu) / idleTime.Seconds()
		total += share
		r.add(benchmark.Row{Name: "end to end, idle: CPU of " + part, Value: share, Unit: "% of a core"})
	}
	r.atMost(maxIdle, benchmark.Row{Name: "end to end, idle: CPU of all of 'mailwright dev'", Value: total, Unit: "% of a core"})
}

// children gives what each part of 'mailwright dev' has used. NATS is the program mailwright there.
func (h *host) children(b *testing.B) map[string]usage {
	b.Helper()
	list := processes(b)
	parts := map[string]usage{}
	for _, p := range list {
		if p.parent != os.Getpid() || p.pid == h.postgres.PID() {
			continue
		}
		name := p.name
		switch name {
		case "mailwright":
			name = partNATS
		case "postgres":
			name = partPostgres
		}
		parts[name] = tree(list, p.pid)
	}
	return parts
}
