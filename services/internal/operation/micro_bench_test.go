package operation

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
)

// channelSubscriber hands out messages as package bus does: each in a goroutine that waits for the
// acknowledgement.
type channelSubscriber struct{ messages chan *message.Message }

func (s channelSubscriber) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	return s.messages, nil
}
func (channelSubscriber) Close() error { return nil }

// BenchmarkRouter compares a message's way through Watermill's Router with a plain call.
func BenchmarkRouter(b *testing.B) {
	const atOnce = 512
	handle := func(*message.Message) error { return nil }
	each := func(b *testing.B, deliver func(*message.Message)) {
		b.Helper()
		var wg sync.WaitGroup
		slots := make(chan struct{}, atOnce)
		for b.Loop() {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				m := message.NewMessage("1", nil)
				m.SetContext(context.Background())
				deliver(m)
				<-m.Acked()
			})
		}
		wg.Wait()
	}
	b.Run("direct", func(b *testing.B) {
		each(b, func(m *message.Message) {
			if handle(m) == nil {
				m.Ack()
			}
		})
	})
	for _, trace := range []bool{true, false} {
		b.Run(fmt.Sprint("router, trace ", trace), func(b *testing.B) {
			e := &Engine{cfg: Config{Log: slog.New(slog.DiscardHandler)}}
			router, err := e.router()
			if trace {
				router, err = message.NewRouter(message.RouterConfig{}, watermill.NewSlogLogger(e.cfg.Log))
			}
			if err != nil {
				b.Fatal(err)
			}
			s := channelSubscriber{make(chan *message.Message)}
			router.AddConsumerHandler("h", "t", s, handle)
			go func() { _ = router.Run(context.Background()) }()
			<-router.Running()
			each(b, func(m *message.Message) { s.messages <- m })
		})
	}
}

// BenchmarkCheckOnANewStack checks a command's data on a goroutine of its own, as every message is.
func BenchmarkCheckOnANewStack(b *testing.B) {
	header := nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/t"}, "ce-type": {event.TypeDelegationChange}}
	data := []byte(`{"mailbox":"alex@contoso.com","add":["d@contoso.com"]}`)
	for _, grow := range []bool{false, true} {
		b.Run(fmt.Sprint("grow ", grow), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				done := make(chan struct{})
				go func() {
					defer close(done)
					if grow {
						growStack(false)
					}
					c, err := event.ReadCommand(header, data)
					if err != nil || len(c.Check()) > 0 {
						b.Error(err)
					}
				}()
				<-done
			}
		})
	}
}
