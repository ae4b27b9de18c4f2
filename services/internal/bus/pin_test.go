package bus_test

import (
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/internal/bus"
)

// TestTheLogTellsWhoOwnsAPartition compares the log's lines about partitions.
func TestTheLogTellsWhoOwnsAPartition(t *testing.T) {
	t.Parallel()
	const want = `level=INFO msg="partition acquired" stream=S partition=S_a outstanding=1
level=INFO msg="partition released" stream=S partition=S_a duration=D outstanding=0
level=INFO msg="partition acquired" stream=S partition=S_a outstanding=1
level=INFO msg="partition lost" stream=S partition=S_a reason="the server has forgotten the request, or cannot be reached" duration=D outstanding=1
`
	var log lockedBuffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	server := startServer(t)
	js := server.connect(t)
	createStream(t, js, "S")

	first := newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: pinnedOf(time.Minute), Logger: logger})
	publish(t, js, "S.a", "1")
	receive(t, subscribe(t, first, "S.a")).Ack()
	eventually(t, "the server has the acknowledgement", func() bool { return consumerInfo(t, js, "S_a").NumAckPending == 0 })
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	proxy, proxied := server.isolated(t)
	second := newSubscriber(t, bus.SubscriberConfig{JS: proxied, Consumer: pinnedOf(time.Minute), Logger: logger, CloseTimeout: time.Second})
	publish(t, js, "S.a", "2")
	receive(t, subscribe(t, second, "S.a"))
	proxy.Cut()
	eventually(t, "the loss is logged", func() bool { return strings.Contains(log.String(), "partition lost") })

	// On a busy machine the partition may be lost and acquired more often.
	got := linesAbout(log.String(), "partition ")
	rest := got
	for line := range strings.Lines(want) {
		_, after, found := strings.Cut(rest, line)
		if !found {
			t.Fatalf("the log is\n%s\nwant these lines in it:\n%s", got, want)
		}
		rest = after
	}
}

// linesAbout returns the lines whose message begins with a text, without times and durations.
func linesAbout(log, text string) string {
	var lines strings.Builder
	for line := range strings.Lines(log) {
		if strings.Contains(line, `msg="`+text) {
			lines.WriteString(line)
		}
	}
	plain := regexp.MustCompile(`time=\S+ `).ReplaceAllString(lines.String(), "")
	return regexp.MustCompile(`duration=\S+`).ReplaceAllString(plain, "duration=D")
}
