package bus_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// BenchmarkConsume delivers 20,000 commands of 1 KB in each way, to handlers that do nothing. It
// reports the rate, and its ratio to the floor: batches of 250 with plain acknowledgements and no
// order.
func BenchmarkConsume(b *testing.B) {
	const n = 20_000
	js := startJetStream(b)
	if err := topology.Ensure(b.Context(), js, topology.Config{}); err != nil {
		b.Fatal(err)
	}
	for i := range n {
		must(js.PublishAsync(topology.CommandSubject("contoso", event.DomainMailbox, fmt.Sprint(i%1000)), make([]byte, 1024), jetstream.WithStallWait(time.Minute)))(b)
	}
	<-js.PublishAsyncComplete()

	var floor float64
	measure := func(name string, once func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				once(b)
			}
			rate := n * float64(b.N) / b.Elapsed().Seconds()
			if floor == 0 {
				floor = rate
			}
			b.ReportMetric(rate, "msg/s")
			b.ReportMetric(rate/floor, "of-floor")
			b.ReportMetric(0, "ns/op")
		})
	}
	all := func(name string, inFlight int) jetstream.ConsumerConfig {
		return jetstream.ConsumerConfig{Durable: name, FilterSubject: "mailwright.cmd.contoso.mailbox.*.*", AckPolicy: jetstream.AckExplicitPolicy, AckWait: bus.AckWait, MaxAckPending: inFlight}
	}
	fresh := func(b *testing.B, c jetstream.ConsumerConfig) jetstream.Consumer {
		_ = js.DeleteConsumer(b.Context(), topology.StreamCommands, c.Durable)
		return must(js.CreateConsumer(b.Context(), topology.StreamCommands, c))(b)
	}
	subscriber := func(b *testing.B, consumers []jetstream.ConsumerConfig, parallel int) {
		byTopic := map[string]jetstream.ConsumerConfig{}
		s := bus.NewSubscriber(bus.SubscriberConfig{JS: js, Parallel: parallel, Logger: quiet, Consumer: func(topic string) (string, jetstream.ConsumerConfig) {
			return topology.StreamCommands, byTopic[topic]
		}})
		var done sync.WaitGroup
		done.Add(n)
		for _, c := range consumers {
			fresh(b, c)
			byTopic[c.Durable] = c
			messages := must(s.Subscribe(b.Context(), c.Durable))(b)
			go func() {
				for m := range messages {
					m.Ack()
					done.Done()
				}
			}()
		}
		done.Wait()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}

	measure("floor", func(b *testing.B) {
		c := fresh(b, all("floor", 1000))
		for got := 0; got < n; {
			batch := must(c.Fetch(250))(b)
			for m := range batch.Messages() {
				_ = m.Ack()
				got++
			}
		}
		_ = js.Conn().Flush()
	})
	measure("subscriber/1", func(b *testing.B) { subscriber(b, []jetstream.ConsumerConfig{all("s1", 1)}, 1) })
	measure("subscriber/32", func(b *testing.B) { subscriber(b, []jetstream.ConsumerConfig{all("s32", 32)}, 32) })
	measure(fmt.Sprint("partitions/", topology.DefaultPartitions), func(b *testing.B) {
		var consumers []jetstream.ConsumerConfig
		for p := range topology.DefaultPartitions {
			consumers = append(consumers, bus.CommandConsumer(event.DomainMailbox, 0, p))
		}
		subscriber(b, consumers, 1)
	})
	measure("library-next/1", func(b *testing.B) {
		c := fresh(b, all("next", 1))
		for range n {
			_ = must(c.Next(jetstream.FetchMaxWait(5*time.Second), jetstream.FetchHeartbeat(500*time.Millisecond)))(b).Ack()
		}
		_ = js.Conn().Flush()
	})
}
