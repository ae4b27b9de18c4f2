package operation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/embedded"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/operation"
)

// benchCommands are carried out by each variant; a tenth of them in the machine's warm-up.
const benchCommands = 20_000

// BenchmarkPipeline measures the delivery of commands from COMMANDS to their outcomes on EVENTS, with a handler that does nothing, as a ratio to a
// hand-written loop without any guarantee, in the same run on the same server. BENCH_JSON names a file for the results.
func BenchmarkPipeline(b *testing.B) {
	idle := operation.Handler{Perform: func(_ context.Context, run *operation.Run) (operation.Result, error) { return changed(run) }}
	create := idle
	create.Once = true
	create.LookUp = func(context.Context, *operation.Run) (operation.Result, bool, error) {
		return operation.Result{}, false, nil
	}
	variants := []struct {
		name string
		run  func(*testing.B, jetstream.JetStream)
	}{
		{"floor: batch pull, 32 workers, no guarantees", floor},
		{"ours, everything on", engineWith(idle)},
		{"ours, without the look for parked commands", engineWith(idle, operation.Park)},
		{"ours, without the guard of the record", engineWith(idle, operation.Guard)},
		{"ours, without the order of a partition", engineWith(idle, operation.Partition)},
		{"ours, a create: looked up and announced", engineWith(create)},
	}
	for b.Loop() {
		var rows []benchRow
		for _, v := range variants {
			rate := measure(b, v.run)
			row := benchRow{Name: v.name, Value: rate, Unit: "commands/s"}
			if len(rows) > 0 {
				row.Ratio = rate / rows[0].Value
			}
			rows = append(rows, row)
			b.Logf("%-50s %8.0f commands/s  %.2f of the floor", v.name, rate, max(row.Ratio, rate/rows[0].Value))
		}
		rows[1].Target, rows[1].OK = 0.6, rows[1].Ratio >= 0.6
		b.ReportMetric(rows[1].Ratio, "of-floor")
		writeBench(b, rows)
	}
}

type benchRow struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Ratio  float64 `json:"ratio,omitempty"`
	Target float64 `json:"target,omitempty"`
	OK     bool    `json:"ok"`
}

func writeBench(b *testing.B, rows []benchRow) {
	b.Helper()
	file := os.Getenv("BENCH_JSON")
	if file == "" {
		return
	}
	raw, err := json.MarshalIndent(map[string]any{"machine": map[string]any{"cpus": runtime.NumCPU(), "go": runtime.Version()}, "rows": rows}, "", "  ")
	if err == nil {
		err = os.WriteFile(file, raw, 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// measure fills a new server with commands, lets a variant carry them out, and gives its rate.
func measure(b *testing.B, run func(*testing.B, jetstream.JetStream)) float64 {
	b.Helper()
	server, err := embedded.StartNATS(embedded.NATSConfig{StoreDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Shutdown()
	nc, err := nats.Connect(server.URL())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(1000))
	if err != nil {
		b.Fatal(err)
	}
	if err := bus.Ensure(b.Context(), js, bus.Config{}); err != nil {
		b.Fatal(err)
	}
	for i := range benchCommands {
		m := command(fmt.Sprint(i), valid)
		m.Subject = bus.CommandSubject(event.Delegation, fmt.Sprint(i%5000))
		if _, err := js.PublishMsgAsync(m); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	began := time.Now()
	run(b, js)
	return benchCommands / time.Since(began).Seconds()
}

// outcomes waits until EVENTS holds as many outcomes as there were commands, by events of a type.
func awaitOutcomes(b *testing.B, js jetstream.JetStream) {
	b.Helper()
	consumer, err := js.OrderedConsumer(b.Context(), bus.Events, jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		b.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		b.Fatal(err)
	}
	defer messages.Stop()
	for n := 0; n < benchCommands; {
		m, err := messages.Next()
		if err != nil {
			b.Fatal(err)
		}
		if m.Headers().Get("ce-type") == event.DelegationChanged {
			n++
		}
	}
}

func engineWith(h operation.Handler, unsafe ...string) func(*testing.B, jetstream.JetStream) {
	return func(b *testing.B, js jetstream.JetStream) {
		b.Helper()
		engine, err := operation.New(b.Context(), operation.Config{
			Domain: event.Delegation, JS: js, Log: slog.New(slog.DiscardHandler), Unsafe: unsafe,
			Handlers: map[string]operation.Handler{event.DelegationChange: h}, Budget: operation.Budget{Tenant: 24},
		})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- engine.Serve(ctx, bus.DefaultPartitions) }()
		awaitOutcomes(b, js)
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

// floor is what a careful hand would write that promises nothing: pull in batches, decode, publish the result, acknowledge.
func floor(b *testing.B, js jetstream.JetStream) {
	b.Helper()
	consumer, err := js.CreateOrUpdateConsumer(b.Context(), bus.Commands, jetstream.ConsumerConfig{Durable: "floor", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 2000})
	if err != nil {
		b.Fatal(err)
	}
	work := make(chan jetstream.Msg)
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for m := range work {
				if err := floorHandle(b.Context(), js, m); err != nil {
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

func floorHandle(ctx context.Context, js jetstream.JetStream, m jetstream.Msg) error {
	e, err := event.Decode(m.Headers(), m.Data())
	if err != nil {
		return err
	}
	result, err := event.New(e.ID(), "floor", event.DelegationChanged, event.DelegationChangedData{Mailbox: "alex@contoso.com", Delegates: []string{}, Added: []string{}, Removed: []string{}})
	if err != nil {
		return err
	}
	header, body, err := event.Encode(result, event.Binary)
	if err != nil {
		return err
	}
	id := event.OperationID(e.Source(), e.ID())
	if _, err := js.PublishMsg(ctx, &nats.Msg{Subject: bus.EventSubject(event.Delegation, id), Header: header, Data: body}); err != nil {
		return err
	}
	return m.Ack()
}
