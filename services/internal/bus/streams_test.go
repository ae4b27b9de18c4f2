package bus_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

func TestEnsureCreatesAndThenFindsNoDifference(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	for range 2 {
		if err := topology.Ensure(t.Context(), js, topology.Config{}); err != nil {
			t.Fatal(err)
		}
	}
	names := 0
	for range js.StreamNames(t.Context()).Name() {
		names++
	}
	if want := len(topology.Streams(topology.Config{})); names != want {
		t.Errorf("%d streams, want %d", names, want)
	}
}

func TestEnsureRefusesADifferentStream(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	if err := topology.Ensure(t.Context(), js, topology.Config{}); err != nil {
		t.Fatal(err)
	}
	edit := func(name string, change func(*jetstream.StreamConfig)) {
		c := must(js.Stream(t.Context(), name))(t).CachedInfo().Config
		change(&c)
		must(js.UpdateStream(t.Context(), c))(t)
	}
	edit(topology.StreamCommands, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
	edit(topology.StreamEvents, func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 10, jetstream.DiscardOld })
	// An operator decides these.
	edit(topology.StreamDead, func(c *jetstream.StreamConfig) {
		c.Metadata, c.MaxAge, c.MaxBytes = map[string]string{"owner": "operations"}, 40*24*time.Hour, 1<<30
	})
	edit(topology.StreamMailboxes, func(c *jetstream.StreamConfig) { c.MaxBytes, c.Duplicates, c.AllowDirect = 1<<30, time.Minute, false })

	err := topology.Ensure(t.Context(), js, topology.Config{Partitions: 16})
	if err == nil {
		t.Fatal("Ensure accepted streams that differ")
	}
	for _, want := range []string{
		"stream COMMANDS", "at least 192h0m0s, not 1h0m0s: a command is tried again for up to 7 days",
		"mailwright streams apply", "stream EVENTS", "max_msgs: want -1, got 10", "discard: want DiscardNew, got DiscardOld",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "DEAD") || strings.Contains(err.Error(), "MAILBOXES") {
		t.Errorf("the error names a stream that is as it must be:\n%v", err)
	}
	if c := must(js.Stream(t.Context(), topology.StreamCommands))(t).CachedInfo().Config; c.MaxAge != time.Hour {
		t.Errorf("Ensure changed max_age to %v", c.MaxAge)
	}
}

func TestCommandsAreSpreadOverPartitions(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	if err := topology.Ensure(t.Context(), js, topology.Config{Partitions: 4}); err != nil {
		t.Fatal(err)
	}
	stream := must(js.Stream(t.Context(), topology.StreamCommands))(t)
	seen := map[int]int{}
	for i := range 200 {
		key := fmt.Sprintf("user.%d@acme.test", i%100) // each key twice
		ack := must(js.Publish(t.Context(), topology.CommandSubject("contoso", event.DomainMailbox, key), nil))(t)
		a, ok := topology.ParseCommandSubject(must(stream.GetMsg(t.Context(), ack.Sequence))(t).Subject)
		if !ok || a.Domain != event.DomainMailbox || a.Key != event.Token(key) {
			t.Fatalf("stored at %+v", a)
		}
		if a.Lane()%4 != a.Partition { // the lanes are by the server's own hash
			t.Errorf("%s is in lane %d and in partition %d", key, a.Lane(), a.Partition)
		}
		seen[a.Partition]++
	}
	for p, n := range seen {
		if p < 0 || p > 3 || n%2 != 0 {
			t.Errorf("partition %d has %d messages of keys that were used twice each", p, n)
		}
	}
	if len(seen) != 4 {
		t.Errorf("100 keys used %d of 4 partitions", len(seen))
	}
}

func TestCommandsTakeNothingElse(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	if err := topology.Ensure(t.Context(), js, topology.Config{}); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{
		"mailwright.cmd.contoso.mailbox.7.jo", // the form of storage
		"mailwright.cmd.payroll.jo",           // no such domain
		"mailwright.cmd.mailbox",
	} {
		if _, err := js.Publish(t.Context(), subject, nil); !errors.Is(err, jetstream.ErrNoStreamResponse) {
			t.Errorf("publish to %s: %v, want no response from any stream", subject, err)
		}
	}
}

func TestEventsGuardTheRecord(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	if err := topology.Ensure(t.Context(), js, topology.Config{}); err != nil {
		t.Fatal(err)
	}
	subject := topology.EventSubject("contoso", event.DomainMailbox, "op")
	must(js.Publish(t.Context(), subject, nil, jetstream.WithExpectLastSequencePerSubject(0)))(t)
	if _, err := js.Publish(t.Context(), subject, nil, jetstream.WithExpectLastSequencePerSubject(0)); err == nil {
		t.Error("a second outcome was stored")
	}
	stream := must(js.Stream(t.Context(), topology.StreamEvents))(t)
	if err := stream.DeleteMsg(t.Context(), 1); err == nil {
		t.Error("an event could be deleted")
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject(subject)); err != nil {
		t.Errorf("an operation could not be erased: %v", err)
	}
}

func TestMailboxesKeepTheLatest(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	if err := topology.Ensure(t.Context(), js, topology.Config{}); err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"old", "new"} {
		publish(t, js, topology.MailboxSubject("acme", "jo"), data)
	}
	stream := must(js.Stream(t.Context(), topology.StreamMailboxes))(t)
	if n := must(stream.Info(t.Context()))(t).State.Msgs; n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestParkedWakesAKey(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	if err := topology.Ensure(t.Context(), js, topology.Config{}); err != nil {
		t.Fatal(err)
	}
	address := topology.Address{Tenant: "contoso", Domain: event.DomainMailbox, Partition: 7, Key: "jo"}
	wake := topology.WakeSubject(address)
	m := nats.NewMsg(topology.ScheduleSubject(address))
	m.Header.Set("Nats-Schedule", "@at "+time.Now().Add(time.Second).UTC().Format(time.RFC3339))
	m.Header.Set("Nats-Schedule-Target", wake)
	publishMsg(t, js, m)
	stream := must(js.Stream(t.Context(), topology.StreamParked))(t)
	eventually(t, "the key is woken", func() bool {
		_, err := stream.GetLastMsgForSubject(t.Context(), wake)
		return err == nil
	})
}

func TestEnsureConsumer(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	if err := topology.Ensure(t.Context(), js, topology.Config{}); err != nil {
		t.Fatal(err)
	}
	want := bus.CommandConsumer(event.DomainMailbox, 0, 3)
	if want.Durable != "mailbox-3" {
		t.Errorf("the consumer is called %s", want.Durable)
	}
	for range 2 {
		if _, err := bus.EnsureConsumer(t.Context(), js, topology.StreamCommands, want); err != nil {
			t.Fatal(err)
		}
	}
	want.MaxAckPending = 5
	if got, err := bus.EnsureConsumer(t.Context(), js, topology.StreamCommands, want); err != nil || got.MaxAckPending != 256 {
		t.Errorf("a consumer that is tuned otherwise: %v", err)
	}
	want.MaxDeliver = 5
	_, err := bus.EnsureConsumer(t.Context(), js, topology.StreamCommands, want)
	if err == nil || !strings.Contains(err.Error(), "max_deliver: want 5, got -1") {
		t.Errorf("a consumer that differs: %v", err)
	}
	if _, err := bus.EnsureConsumer(t.Context(), js, topology.StreamCommands, bus.CommandConsumer(event.DomainMailbox, 1, 3)); err == nil || !strings.Contains(err.Error(), "partitions of generation 1") {
		t.Errorf("a consumer of partitions that are not the current ones: %v", err)
	}
}

func TestTopics(t *testing.T) {
	t.Parallel()
	for _, want := range []struct{ topic, filter, stream string }{
		{topology.WakeFilter(event.DomainInventory, 31), "mailwright.wake.*.inventory.31.*", topology.StreamParked},
		{topology.CommandFilter(event.DomainInventory, 0, 31), "mailwright.cmd.*.inventory.31.*", topology.StreamCommands},
	} {
		stream, c := bus.Topics(want.topic)
		if stream != want.stream || c.Durable != "inventory-31" || c.FilterSubject != want.filter || c.MaxAckPending != 256 || c.PriorityPolicy != jetstream.PriorityPolicyPinned {
			t.Errorf("%s: got %s, %+v", want.topic, stream, c)
		}
	}
	for _, topic := range []string{"", "mailwright.cmd.payroll.1.*", "mailwright.cmd.contoso.mailbox.1.jo", "mailwright.wake.mailbox.1.jo", "mailwright.evt.>"} {
		if stream, _ := bus.Topics(topic); stream != "" {
			t.Errorf("the topic %q has the stream %s", topic, stream)
		}
	}
}

// TestAdvisoriesAreKept: of COMMANDS, JetStream also calls a message terminated that is deleted
// while a consumer has it, as each command with a secret is.
func TestAdvisoriesAreKept(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	if err := topology.Ensure(t.Context(), js, topology.Config{}); err != nil {
		t.Fatal(err)
	}
	told := must(js.Conn().SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>"))(t)
	address := topology.Address{Tenant: "contoso", Domain: event.DomainMailbox, Key: "jo"}
	for stream, subject := range map[string]string{topology.StreamCommands: topology.PublishedSubject(address), topology.StreamParked: topology.ParkedSubject(address)} {
		publish(t, js, subject, "data")
		config := jetstream.ConsumerConfig{Durable: "careless", AckPolicy: jetstream.AckExplicitPolicy}
		consumer := must(js.CreateConsumer(t.Context(), stream, config))(t)
		m := must(consumer.Next())(t)
		if err := m.TermWithReason("a person did it"); err != nil {
			t.Fatal(err)
		}
		must(told.NextMsg(10 * time.Second))(t)
	}
	stream := must(js.Stream(t.Context(), topology.StreamDead))(t)
	kept := func(of string) error {
		_, err := stream.GetLastMsgForSubject(t.Context(), "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED."+of+".careless")
		return err
	}
	eventually(t, "the advisory is stored", func() bool { return kept(topology.StreamParked) == nil })
	if err := kept(topology.StreamCommands); !errors.Is(err, jetstream.ErrMsgNotFound) {
		t.Errorf("an advisory of COMMANDS: %v", err)
	}
}

// TestAnAccountThatDemandsSizes: hosted NATS refuses a stream that does not say how large it may
// grow. An operator may also make the streams beforehand.
func TestAnAccountThatDemandsSizes(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "nats.conf")
	text := fmt.Sprintf(`port: -1
jetstream { store_dir: %q, max_file_store: 10G }
accounts { MAILWRIGHT {
  users: [ { user: mailwright, password: example } ]
  jetstream { max_file: 1G, max_mem: 0, max_streams: 20, max_consumers: 200, max_bytes_required: true }
} }`, t.TempDir())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	options := must(natsserver.ProcessConfigFile(config))(t)
	own := must(embedded.StartServer(options))(t)
	t.Cleanup(own.Shutdown)
	nc := must(nats.Connect(own.URL(), nats.UserInfo("mailwright", "example")))(t)
	t.Cleanup(nc.Close)
	js := must(jetstream.New(nc))(t)
	if err := topology.Ensure(t.Context(), js, topology.Config{}); err == nil {
		t.Error("the account takes streams without a size: the test shows nothing")
	}
	for range 2 {
		if err := topology.Ensure(t.Context(), js, topology.Config{MaxBytes: 64 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	if err := topology.Ensure(t.Context(), js, topology.Config{}); err != nil {
		t.Errorf("streams that the operator has made: %v", err)
	}
}
