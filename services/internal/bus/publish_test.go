package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/internal/bus"
)

func TestPublishIfLastComparesTheLastMessageOfTheSubject(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	publish(t, js, "S.other", "")
	for i, c := range []struct {
		last     uint64
		sequence uint64
		err      error
	}{
		{last: 1, err: bus.ErrNotLast}, // the last message of another subject
		{last: 0, sequence: 2},
		{last: 0, err: bus.ErrNotLast},
		{last: 2, sequence: 3},
		{last: 2, err: bus.ErrNotLast},
		{last: 3, sequence: 4},
	} {
		sequence, err := bus.PublishIfLast(t.Context(), js, nats.NewMsg("S.a"), c.last)
		if sequence != c.sequence || !errors.Is(err, c.err) {
			t.Errorf("call %d, expecting %d: sequence %d, error %v", i, c.last, sequence, err)
		}
	}
}

func TestPublishIfLastLetsOneOfManyWritersWin(t *testing.T) {
	t.Parallel()
	const writers = 20
	js := startJetStream(t)
	createStream(t, js, "S")
	var mu sync.Mutex
	winners := 0
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			_, err := bus.PublishIfLast(t.Context(), js, &nats.Msg{Subject: "S.a", Data: fmt.Append(nil, i)}, 0)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				winners++
			} else if !errors.Is(err, bus.ErrNotLast) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if winners != 1 {
		t.Errorf("%d writers won", winners)
	}
}

func TestPublishIfLastWaitsForNATS(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	js := server.connect(t)
	createStream(t, js, "S")
	restarted := make(chan struct{})
	server.server.Shutdown()
	go func() {
		defer close(restarted)
		server.restart()
	}()
	// nats.go sends a buffered message after the reconnect. If that takes longer than an attempt,
	// the next one finds the message stored.
	if _, err := bus.PublishIfLast(t.Context(), js, nats.NewMsg("S.a"), 0); err != nil && !errors.Is(err, bus.ErrNotLast) {
		t.Error(err)
	}
	<-restarted
	if n := must(must(js.Stream(t.Context(), "S"))(t).Info(t.Context()))(t).State.Msgs; n != 1 {
		t.Errorf("%d messages are stored", n)
	}
}

// refusingPublisher fails its first attempt with err. With store it stores the message
// nevertheless, as if the confirmation were lost.
type refusingPublisher struct {
	jetstream.Publisher
	store    bool
	err      error
	attempts int
}

func (p *refusingPublisher) PublishMsg(ctx context.Context, m *nats.Msg, options ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	p.attempts++
	if p.attempts > 1 {
		return p.Publisher.PublishMsg(ctx, m, options...)
	}
	if p.store {
		if _, err := p.Publisher.PublishMsg(ctx, m, options...); err != nil {
			return nil, err
		}
	}
	return nil, p.err
}

func TestPublishIfLastStoresOnceAlthoughAConfirmationIsLost(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	p := &refusingPublisher{Publisher: js, store: true, err: nats.ErrTimeout}
	if _, err := bus.PublishIfLast(t.Context(), p, nats.NewMsg("S.a"), 0); err != nil && !errors.Is(err, bus.ErrNotLast) {
		t.Error(err)
	}
	if n := must(must(js.Stream(t.Context(), "S"))(t).Info(t.Context()))(t).State.Msgs; n != 1 || p.attempts != 2 {
		t.Errorf("%d messages are stored after %d attempts", n, p.attempts)
	}
}

func TestPublishIfLastReturnsRefusalsAtOnce(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	p := &refusingPublisher{Publisher: js, err: nats.ErrMaxPayload}
	if _, err := bus.PublishIfLast(t.Context(), p, nats.NewMsg("S.a"), 0); !errors.Is(err, nats.ErrMaxPayload) || p.attempts != 1 {
		t.Errorf("error %v after %d attempts", err, p.attempts)
	}
}

func TestPublishIfLastEndsWithItsContext(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	p := &refusingPublisher{Publisher: js, err: nats.ErrNoResponders}
	_, err := bus.PublishIfLast(ctx, p, nats.NewMsg("S.a"), 0)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, nats.ErrNoResponders) || p.attempts != 1 {
		t.Errorf("error %v after %d attempts", err, p.attempts)
	}
}
