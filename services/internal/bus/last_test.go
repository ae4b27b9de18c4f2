package bus_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/internal/bus"
)

// latestOf is a reader of a stream S with subjects S.>.
func latestOf(tb testing.TB, js jetstream.JetStream, storage jetstream.StorageType) *bus.LastMessageReader {
	tb.Helper()
	return bus.NewLastMessageReader(js, must(js.CreateStream(tb.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"S.>"}, Storage: storage, AllowDirect: true}))(tb))
}

// TestLatest: many ask at once, more than share a request.
func TestLatest(t *testing.T) {
	t.Parallel()
	const n = 2000
	js := startJetStream(t)
	latest := latestOf(t, js, jetstream.FileStorage)
	for i := range n {
		must(js.PublishAsync(fmt.Sprint("S.", i), []byte("old")))(t)
		must(js.PublishAsync(fmt.Sprint("S.", i), fmt.Append(nil, i)))(t)
	}
	<-js.PublishAsyncComplete()
	var questions []bus.PendingRead
	for i := range n + 10 {
		questions = append(questions, latest.Request(fmt.Sprint("S.", i)))
	}
	for i, q := range questions {
		last, found, err := q.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if found != (i < n) || found && (string(last.Data) != fmt.Sprint(i) || last.Subject != fmt.Sprint("S.", i)) {
			t.Fatalf("subject %d: found %v, %s on %s", i, found, last.Data, last.Subject)
		}
	}
}

// TestLatestRefusesPatterns, which have more answers than one, without a word to those who ask at
// the same time.
func TestLatestRefusesPatterns(t *testing.T) {
	t.Parallel()
	const n = 50
	js := startJetStream(t)
	latest := latestOf(t, js, jetstream.FileStorage)
	for i := range n {
		publish(t, js, fmt.Sprint("S.a.", i), "")
	}
	patterns := []string{"S.a.*", "S.*.1", "S.>", ">", "S.", ""}
	type asked struct {
		bus.PendingRead
		subject string
		refused bool
	}
	var questions []asked
	for i := range n {
		subject, pattern := fmt.Sprint("S.a.", i), patterns[i%len(patterns)]
		questions = append(questions, asked{latest.Request(pattern), pattern, true}, asked{latest.Request(subject), subject, false})
	}
	for _, q := range questions {
		last, found, err := q.Wait()
		if q.refused != (err != nil) || found == q.refused || found && last.Subject != q.subject {
			t.Errorf("%q: found %v on %q, %v", q.subject, found, last.Subject, err)
		}
	}
}

// TestLatestOfLargeMessages: together they are more than the server sends at once.
func TestLatestOfLargeMessages(t *testing.T) {
	t.Parallel()
	const n = 20
	js := startJetStream(t)
	latest := latestOf(t, js, jetstream.FileStorage)
	for i := range n {
		publishMany(t, js, fmt.Sprint("S.", i), 1, make([]byte, 900_000))
	}
	var questions []bus.PendingRead
	for i := range n {
		questions = append(questions, latest.Request(fmt.Sprint("S.", i)))
	}
	for i, q := range questions {
		if _, found, err := q.Wait(); err != nil || !found {
			t.Errorf("%d: found %v, %v", i, found, err)
		}
	}
}

// TestLatestWithoutAStream: the answer is an error at once, and the next request is answered.
func TestLatestWithoutAStream(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	// NATS may still be clearing the files away when the stream is made again
	const storage = jetstream.MemoryStorage
	latest := latestOf(t, js, storage)
	for range 5 {
		if err := js.DeleteStream(t.Context(), "S"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := latest.Request("S.a").Wait(); err == nil {
			t.Error("a stream that is gone was read")
		}
		latestOf(t, js, storage)
		publish(t, js, "S.a", "")
		if _, found, err := latest.Request("S.a").Wait(); err != nil || !found {
			t.Errorf("found %v, %v", found, err)
		}
	}
}

// TestRead: what a publisher has put where the server puts what it knows of a message does not
// count.
func TestRead(t *testing.T) {
	t.Parallel()
	for name, direct := range map[string]bool{"direct": true, "of the leader": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := startJetStream(t)
			stream := must(js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"S.>"}, AllowDirect: direct}))(t)
			m := &nats.Msg{Subject: "S.a", Data: []byte("a"), Header: nats.Header{
				jetstream.SubjectHeader: {"S.b"}, jetstream.SequenceHeader: {"x"}, jetstream.StreamHeader: {"T"}, jetstream.TimeStampHeaer: {"x"},
			}}
			if _, err := js.PublishMsg(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			d, found, err := bus.Read(t.Context(), js, stream, 1)
			if err != nil || !found || d.Subject != "S.a" || d.Sequence != 1 || d.Stream != "S" || string(d.Data) != "a" || d.StoredAt.IsZero() {
				t.Errorf("got %+v, %v, %v", d, found, err)
			}
			if _, found, err := bus.Read(t.Context(), js, stream, 2); found || err != nil {
				t.Errorf("a message that is not there: %v, %v", found, err)
			}
		})
	}
}
