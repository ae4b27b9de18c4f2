package streamreader_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/internal/natstest"
	"github.com/mailwright/mailwright/services/internal/streamreader"
)

// newStream makes the stream S with n messages, alternately on S.even and S.odd.
func newStream(t *testing.T, n int) (jetstream.JetStream, jetstream.Stream) {
	t.Helper()
	js := natstest.Start(t)
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"S.*"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		subject := []string{"S.even", "S.odd"}[i%2]
		if _, err := js.Publish(t.Context(), subject, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	return js, stream
}

// read gives the messages' contents; each is called for each message.
func read(t *testing.T, js jetstream.JetStream, config jetstream.OrderedConsumerConfig, each func(streamreader.Message)) (got []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for m, err := range streamreader.Messages(ctx, js, "S", config) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(m.Data()))
		each(m)
	}
	return got
}

func nothing(streamreader.Message) {}

func TestMessages(t *testing.T) {
	t.Parallel()
	js, _ := newStream(t, 5)
	if got, want := read(t, js, jetstream.OrderedConsumerConfig{}, nothing), []string{"0", "1", "2", "3", "4"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	odd := jetstream.OrderedConsumerConfig{FilterSubjects: []string{"S.odd"}}
	if got, want := read(t, js, odd, nothing), []string{"1", "3"}; !slices.Equal(got, want) {
		t.Errorf("of one subject: got %q, want %q", got, want)
	}
	none := jetstream.OrderedConsumerConfig{FilterSubjects: []string{"S.none"}}
	if got := read(t, js, none, nothing); len(got) > 0 {
		t.Errorf("of a subject without messages: got %q", got)
	}
}

// TestTheLastMessagesAreDeletedMeanwhile: more messages than one request brings, of which the first
// deletes all that are behind it.
func TestTheLastMessagesAreDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	const n = 1200
	js, stream := newStream(t, n)
	got := read(t, js, jetstream.OrderedConsumerConfig{}, func(m streamreader.Message) {
		if m.Metadata.Sequence.Stream == 1 {
			if err := stream.Purge(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	if len(got) == 0 || len(got) == n || got[0] != "0" {
		t.Errorf("read %d messages", len(got))
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	js, _ := newStream(t, 2)
	for _, err := range streamreader.Messages(t.Context(), js, "T", jetstream.OrderedConsumerConfig{}) {
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("a stream that is not there: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range streamreader.Messages(ctx, js, "S", jetstream.OrderedConsumerConfig{}) {
		cancel()
		if n++; n == 2 && !errors.Is(err, context.Canceled) {
			t.Errorf("after the end of the context: %v", err)
		}
	}
	if n != 2 {
		t.Errorf("%d turns of the loop, want a message and an error", n)
	}
}
