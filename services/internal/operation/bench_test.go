//go:build failpoints

package operation_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/benchmark"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/operation"
)

const (
	// benchCommands are carried out by each variant in each round. The first warmUp of them are not
	// measured: consumers are made, and stacks and heap grow to their size.
	benchCommands = 50_000
	warmUp        = benchCommands / 5
	// benchRounds is how often each variant runs, one after another, so that what else the
	// machine does meets all alike; the median counts. A further round before them warms up.
	benchRounds = 5
)

// BenchmarkPipeline measures the delivery of commands from COMMANDS to their outcomes on EVENTS
// while it is going on, with a handler that does nothing, as a ratio to a hand-written loop without
// any guarantee, in the same run on the same kind of server. BENCH_JSON names a file for the
// results.
func BenchmarkPipeline(b *testing.B) {
	create := operation.Handler{NotRepeatable: true, LookUp: func(context.Context, *operation.Attempt) (operation.Reply, bool, error) {
		return operation.Reply{}, false, nil
	}}
	variants := []struct {
		name string
		run  variant
	}{
		{"floor: batch pull, 32 workers, no guarantees", floor},
		{"ours, everything on", engineWith(operation.Handler{})},
		{"ours, without the look for parked commands", engineWith(operation.Handler{}, failpoint.ParkInOrder)},
		{"ours, without the guard of the record", engineWith(operation.Handler{}, failpoint.Guard)},
		{"ours, without the order of a partition", engineWith(operation.Handler{}, failpoint.Ownership)},
		{"ours, a create: looked up and announced", engineWith(create)},
	}
	for b.Loop() {
		rows := make([]benchmark.Row, len(variants))
		rates, cpus := make([][]float64, len(variants)), make([][]float64, len(variants))
		for round := range 1 + benchRounds {
			for i, v := range variants {
				rate, cpu := measure(b, v.run)
				if round > 0 {
					rates[i], cpus[i] = append(rates[i], rate), append(cpus[i], float64(cpu.Nanoseconds())/1e3)
				}
			}
		}
		for i, v := range variants {
			rows[i] = benchmark.Row{Name: v.name, Value: median(rates[i]), Unit: "commands/s", CPU: median(cpus[i]), Ratio: median(rates[i]) / median(rates[0])}
		}
		rows[1].Target, rows[1].OK = 0.6, rows[1].Ratio >= 0.6
		b.ReportMetric(rows[1].Ratio, "of-floor")
		benchmark.Report(b, append(rows, steps(b)...)...)
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// steps measures what an operation is made of, one step after another on an idle server: what
// remains when nothing else is going on.
func steps(b *testing.B) (rows []benchmark.Row) {
	b.Helper()
	const n = 2000
	js, stop := benchServer(b)
	defer stop()
	events, err := js.Stream(b.Context(), topology.StreamEvents)
	if err != nil {
		b.Fatal(err)
	}
	parked, err := js.Stream(b.Context(), topology.StreamParked)
	if err != nil {
		b.Fatal(err)
	}
	m := command("1", valid)
	e, err := event.Decode(m.Header, m.Data)
	if err != nil {
		b.Fatal(err)
	}
	document := event.Read(e)
	header, body, err := event.Encode(e, event.Binary)
	if err != nil {
		b.Fatal(err)
	}
	subject := func(i int) string {
		return topology.EventSubject("contoso", event.DomainDelegation, event.OperationID("contoso", source, fmt.Sprint(i)))
	}
	for _, step := range []struct {
		name string
		do   func(int) error
	}{
		{"decode the command", func(int) error { _, err := event.Decode(m.Header, m.Data); return err }},
		{"read its data, fingerprint, secrets", func(int) error { d := event.Read(e); d.Secrets(); d.Fingerprint(); return nil }},
		{"check it against its schema", func(int) error { document.Check(); return nil }},
		{"read the record", func(i int) error { _, err := events.GetLastMsgForSubject(b.Context(), subject(i)); return none(err) }},
		{"look for what waits on the key", func(i int) error {
			_, err := parked.GetMsg(b.Context(), 1, jetstream.WithGetMsgSubject(topology.ParkedSubject(topology.Address{Tenant: "contoso", Domain: event.DomainDelegation, Key: fmt.Sprint(i)})))
			return none(err)
		}},
		{"write the event", func(int) error { _, _, err := event.Encode(e, event.Binary); return err }},
		{"publish the outcome under the guard", func(i int) error {
			_, err := js.PublishMsg(b.Context(), &nats.Msg{Subject: subject(i), Header: header, Data: body}, jetstream.WithExpectLastSequencePerSubject(0))
			return err
		}},
	} {
		began := time.Now()
		for i := range n {
			if err := step.do(i); err != nil {
				b.Fatal(step.name, err)
			}
		}
		rows = append(rows, benchmark.Row{Name: "step: " + step.name, Value: float64(time.Since(began).Nanoseconds()) / n / 1e3, Unit: "us", OK: true})
	}
	return rows
}

// none takes it as an answer that there is no message.
func none(err error) error {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	return err
}

// variant carries out the commands of a new server, and reports each. ctx ends with the last.
type variant func(ctx context.Context, b *testing.B, js jetstream.JetStream, performed func())

// measure fills a new server with commands, lets a variant carry them out, and gives its rate and
// the CPU time of each.
func measure(b *testing.B, run variant) (rate float64, cpu time.Duration) {
	b.Helper()
	js, stop := benchServer(b)
	defer stop()
	fill(b, js)
	var performed atomic.Int64
	var began, ended time.Time
	var used time.Duration
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	run(ctx, b, js, func() {
		switch performed.Add(1) {
		case warmUp:
			began, used = time.Now(), cpuTime(b)
		case benchCommands:
			ended, used = time.Now(), cpuTime(b)-used
			cancel()
		}
	})
	const measured = benchCommands - warmUp
	return measured / ended.Sub(began).Seconds(), used / measured
}

// fill publishes the commands.
func fill(b *testing.B, js jetstream.JetStream) {
	b.Helper()
	for i := range benchCommands {
		m := command(fmt.Sprint(i), valid)
		m.Subject = topology.CommandSubject("contoso", event.DomainDelegation, fmt.Sprint(i%5000))
		if _, err := js.PublishMsgAsync(m); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	runtime.GC()
}

// benchServer is a new server with the streams, in this process.
func benchServer(b *testing.B) (js jetstream.JetStream, stop func()) {
	b.Helper()
	server, err := embedded.StartNATS(embedded.NATSConfig{StoreDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	nc, err := nats.Connect(server.URL())
	if err != nil {
		b.Fatal(err)
	}
	js, err = jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(1000))
	if err != nil {
		b.Fatal(err)
	}
	if err := topology.Ensure(b.Context(), js, topology.Config{}); err != nil {
		b.Fatal(err)
	}
	return js, func() { nc.Close(); server.Shutdown() }
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// engineWith carries the commands out by an engine.
func engineWith(h operation.Handler, disabled ...failpoint.Protection) variant {
	return func(ctx context.Context, b *testing.B, js jetstream.JetStream, performed func()) {
		b.Helper()
		counted := h
		counted.Perform = func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
			performed()
			return changed(run)
		}
		engine, err := operation.New(b.Context(), operation.Config{
			Domain: event.DomainDelegation, JS: js, Log: slog.New(slog.DiscardHandler), Failpoints: failpoint.New(nil, disabled...),
			Handlers: map[string]operation.Handler{event.TypeDelegationChange: counted}, Budget: operation.Budget{Tenant: 24},
		})
		if err != nil {
			b.Fatal(err)
		}
		if err := engine.Serve(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// floor is what a careful hand would write that promises nothing: pull in batches, decode, publish
// the result, acknowledge.
func floor(_ context.Context, b *testing.B, js jetstream.JetStream, performed func()) {
	b.Helper()
	consumer, err := js.CreateOrUpdateConsumer(b.Context(), topology.StreamCommands, jetstream.ConsumerConfig{Durable: "floor", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 2000})
	if err != nil {
		b.Fatal(err)
	}
	work := make(chan jetstream.Msg)
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for m := range work {
				if err := floorHandle(b.Context(), js, m, performed); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for n := 0; n < benchCommands; {
		batch, err := consumer.Fetch(200)
		if err != nil {
			b.Fatal(err)
		}
		for m := range batch.Messages() {
			work <- m
			n++
		}
	}
	close(work)
	workers.Wait()
}

func floorHandle(ctx context.Context, js jetstream.JetStream, m jetstream.Msg, performed func()) error {
	e, err := event.Decode(m.Headers(), m.Data())
	if err != nil {
		return err
	}
	result, err := event.New(e.ID(), "floor", event.TypeDelegationChanged, event.DelegationChangedData{Mailbox: "alex@contoso.com", Delegates: []string{}, Added: []string{}, Removed: []string{}})
	if err != nil {
		return err
	}
	header, body, err := event.Encode(result, event.Binary)
	if err != nil {
		return err
	}
	id := event.OperationID("contoso", e.Source(), e.ID())
	if _, err := js.PublishMsg(ctx, &nats.Msg{Subject: topology.EventSubject("contoso", event.DomainDelegation, id), Header: header, Data: body}); err != nil {
		return err
	}
	performed()
	return m.Ack()
}
