package bus_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/internal/bus"
)

// newReader creates a stream S of the subjects S.> and returns its reader.
func newReader(tb testing.TB, js jetstream.JetStream, storage jetstream.StorageType) *bus.LastMessageReader {
	tb.Helper()
	return bus.NewLastMessageReader(js, must(js.CreateStream(tb.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"S.>"}, Storage: storage, AllowDirect: true}))(tb))
}

func TestLastMessageReaderSharesRequests(t *testing.T) {
	t.Parallel()
	const n = 2000
	js := startJetStream(t)
	reader := newReader(t, js, jetstream.FileStorage)
	for i := range n {
		must(js.PublishAsync(fmt.Sprint("S.", i), []byte("old")))(t)
		must(js.PublishAsync(fmt.Sprint("S.", i), fmt.Append(nil, i)))(t)
	}
	<-js.PublishAsyncComplete()
	var reads []bus.PendingRead
	for i := range n + 10 {
		reads = append(reads, reader.Request(fmt.Sprint("S.", i)))
	}
	for i, r := range reads {
		last, found, err := r.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if found != (i < n) || found && (string(last.Data) != fmt.Sprint(i) || last.Subject != fmt.Sprint("S.", i)) {
			t.Fatalf("subject %d: found %v, %s on %s", i, found, last.Data, last.Subject)
		}
	}
}

// TestLastMessageReaderRefusesWildcards, and reads the subjects that were requested at the same
// time.
func TestLastMessageReaderRefusesWildcards(t *testing.T) {
	t.Parallel()
	const n = 50
	js := startJetStream(t)
	reader := newReader(t, js, jetstream.FileStorage)
	for i := range n {
		publish(t, js, fmt.Sprint("S.a.", i), "")
	}
	patterns := []string{"S.a.*", "S.*.1", "S.>", ">", "S.", ""}
	type requested struct {
		bus.PendingRead
		subject string
		refused bool
	}
	var reads []requested
	for i := range n {
		subject, pattern := fmt.Sprint("S.a.", i), patterns[i%len(patterns)]
		reads = append(reads, requested{reader.Request(pattern), pattern, true}, requested{reader.Request(subject), subject, false})
	}
	for _, r := range reads {
		last, found, err := r.Wait()
		if r.refused != (err != nil) || found == r.refused || found && last.Subject != r.subject {
			t.Errorf("%q: found %v on %q, %v", r.subject, found, last.Subject, err)
		}
	}
}

func TestLastMessageReaderContinuesACutOffReply(t *testing.T) {
	t.Parallel()
	const n = 20
	js := startJetStream(t)
	reader := newReader(t, js, jetstream.FileStorage)
	for i := range n {
		publishMany(t, js, fmt.Sprint("S.", i), 1, make([]byte, 900_000))
	}
	var reads []bus.PendingRead
	for i := range n {
		reads = append(reads, reader.Request(fmt.Sprint("S.", i)))
	}
	for i, r := range reads {
		if _, found, err := r.Wait(); err != nil || !found {
			t.Errorf("%d: found %v, %v", i, found, err)
		}
	}
}

// TestLastMessageReaderReportsAMissingStream at once, and reads again when it is back.
func TestLastMessageReaderReportsAMissingStream(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	// with files, the server may still delete the old ones when the stream is created again
	const storage = jetstream.MemoryStorage
	reader := newReader(t, js, storage)
	for range 5 {
		if err := js.DeleteStream(t.Context(), "S"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := reader.Request("S.a").Wait(); err == nil {
			t.Error("a deleted stream was read")
		}
		newReader(t, js, storage)
		publish(t, js, "S.a", "")
		if _, found, err := reader.Request("S.a").Wait(); err != nil || !found {
			t.Errorf("found %v, %v", found, err)
		}
	}
}

// TestReadIgnoresThePublishersHeaders that have the names of the server's.
func TestReadIgnoresThePublishersHeaders(t *testing.T) {
	t.Parallel()
	for name, direct := range map[string]bool{"direct": true, "from the leader": false} {
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
				t.Errorf("a missing message: found %v, %v", found, err)
			}
		})
	}
}
