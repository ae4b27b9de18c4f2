package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/embedded"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/operation"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/client"
)

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

const patience = 20 * time.Second

func command(t *testing.T, id, eventType, data string) event.Event {
	t.Helper()
	e, err := event.New(id, "/test", eventType, nil)
	if err != nil {
		t.Fatal(err)
	}
	e.DataEncoded = []byte(data)
	return e
}

func TestKey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ eventType, data, want string }{
		"cn":              {event.ObjectCreate, `{"properties":[{"propertyName":"sAMAccountName","values":["jsmith"]},{"propertyName":"CN","values":["John Smith"]}]}`, "john smith"},
		"ou":              {event.ObjectCreate, `{"properties":[{"propertyName":"ou","values":["Sales"]}]}`, "sales"},
		"account name":    {event.ObjectCreate, `{"properties":[{"propertyName":"userPrincipalName","values":["b@x"]},{"propertyName":"sAMAccountName","values":["a"]}]}`, "a"},
		"empty cn":        {event.ObjectCreate, `{"properties":[{"propertyName":"cn","values":[]},{"propertyName":"userPrincipalName","values":["b@x"]}]}`, "b@x"},
		"nothing named":   {event.ObjectCreate, `{"properties":[{"propertyName":"cn","values":[7]}]}`, ""},
		"business user":   {event.BusinessUserCreate, `{"userPrincipalName":" Admin@Contoso.com "}`, "admin@contoso.com"},
		"mailbox":         {event.MailboxCreate, `{"directoryObject":"CN=John Smith,DC=example"}`, "cn=john smith,dc=example"},
		"delegation":      {event.DelegationSet, `{"mailbox":"Alex@contoso.com"}`, "alex@contoso.com"},
		"one read":        {event.DelegationRead, `{"mailbox":"alex@contoso.com"}`, "alex@contoso.com"},
		"every read":      {event.DelegationRead, `{}`, "all"},
		"inventory":       {event.InventorySync, `{"tenant":"Contoso"}`, "contoso"},
		"every inventory": {event.InventorySync, `{}`, "all"},
		"cancel":          {event.OperationCancel, `{"operationId":"abc"}`, "abc"},
		"not JSON":        {event.InventorySync, `{`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := client.Key(command(t, "1", c.eventType, c.data)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestTypesHaveAShortForm(t *testing.T) {
	t.Parallel()
	for _, long := range append(event.CommandTypes(), event.ResultTypes()...) {
		short := client.Short(long)
		if strings.HasPrefix(short, "io.") || client.Long(short) != long || client.Long(long) != long {
			t.Errorf("%s, in short %s, is %s in full", long, short, client.Long(short))
		}
	}
}

func TestNoTextMovesTheCursor(t *testing.T) {
	t.Parallel()
	const hostile = "a\x1b[2Jb\r\nc\u202ed\u2028e"
	e := command(t, "1", event.FailedType(event.Mailbox), fmt.Sprintf(`{"operation":{"key":"k"},"failure":{"kind":"refused","text":%q}}`, "\u001b[2J"))
	e.SetSubject(hostile)
	for _, text := range []string{
		client.Describe(e), client.LineOf(e).Format(false), client.DescribeDead(operation.DeadLetter{Reason: "x", Detail: hostile}),
		client.DescribeFaults([]event.Fault{{Field: hostile, Problem: hostile}}),
	} {
		if strings.ContainsAny(text, "\x1b\r\n\u202e\u2028") {
			t.Errorf("%q", text)
		}
	}
}

func TestLineInColumns(t *testing.T) {
	t.Parallel()
	l := client.Line{Time: time.Now(), Operation: "ng35avuion24apfva3ib6qhif3", Domain: "mailbox", State: "failed", About: strings.Repeat("ä", 40), Text: "text"}
	now := l.Time.Format(time.TimeOnly)
	if got, want := l.Format(false), now+"  ng35avui  mailbox     failed     "+strings.Repeat("ä", 27)+"…  text"; got != want {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
	if got := l.Format(true); !strings.Contains(got, "\x1b[31mfailed   \x1b[0m") {
		t.Errorf("without its colour: %q", got)
	}
}

// confirm answers every delegation.change.
func confirm(_ context.Context, r *operation.Run) (operation.Result, error) {
	return operation.Result{Type: event.DelegationChanged, Data: event.DelegationChangedData{
		Operation: r.Operation, Mailbox: "a@contoso.com", Delegates: []string{}, Added: []string{}, Removed: []string{},
	}}, nil
}

const change = `{"mailbox":"a@contoso.com","add":["b@contoso.com"]}`

func TestAwait(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	s.Serve(t, event.Delegation, map[string]operation.Handler{event.DelegationChange: {Perform: confirm}})
	ctx := within(t, patience)

	receipt, err := client.Publish(ctx, s.JS, command(t, "1", event.DelegationChange, change), client.Target{}, event.Binary)
	if err != nil {
		t.Fatal(err)
	}
	heard := 0
	outcome, err := client.Await(ctx, s.JS, receipt, func(event.Event) { heard++ })
	if err != nil || outcome.Type() != event.DelegationChanged || heard != 1 {
		t.Errorf("%v after %d events, %v", outcome, heard, err)
	}

	again, err := client.Publish(ctx, s.JS, command(t, "1", event.DelegationChange, change), client.Target{}, event.Structured)
	if err != nil || !again.Duplicate || again.Sequence != receipt.Sequence {
		t.Errorf("published again: %+v, %v", again, err)
	}

	other, err := client.Publish(ctx, s.JS, command(t, "1", event.DelegationChange, strings.Replace(change, "b@", "c@", 1)), client.Target{}, event.Binary)
	if err != nil || other.Duplicate {
		t.Fatalf("other data under the same id: %+v, %v", other, err)
	}
	_, err = client.Await(ctx, s.JS, other, nil)
	if dead, ok := errors.AsType[*client.DeadError](err); !ok || dead.Letter.Reason != operation.Conflict {
		t.Errorf("awaited a conflict: %v", err)
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t) // nobody serves
	receipt, err := client.Publish(t.Context(), s.JS, command(t, "1", event.DelegationChange, change), client.Target{}, event.Binary)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Await(within(t, 100*time.Millisecond), s.JS, receipt, nil); !errors.Is(err, client.ErrNoOutcome) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestAwaitAllOfMoreThanOneConsumerTakes(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	s.Serve(t, event.Delegation, map[string]operation.Handler{event.DelegationChange: {Perform: confirm}})
	ctx := within(t, patience)
	var receipts []client.Receipt
	for i := range 600 {
		r, err := client.Publish(ctx, s.JS, command(t, strconv.Itoa(i), event.DelegationChange, change), client.Target{Key: strconv.Itoa(i)}, event.Binary)
		if err != nil {
			t.Fatal(err)
		}
		receipts = append(receipts, r)
	}
	settled := map[uint64]int{}
	if err := client.AwaitAll(ctx, s.JS, receipts, func(n client.News) {
		if n.Settled() {
			settled[n.Receipt.Sequence]++
		}
	}); err != nil {
		t.Fatal(err)
	}
	for _, r := range receipts {
		if settled[r.Sequence] != 1 {
			t.Errorf("%d outcomes of %s", settled[r.Sequence], r.OperationID)
		}
	}
	if err := client.AwaitAll(ctx, s.JS, nil, nil); err != nil {
		t.Errorf("nothing to wait for: %v", err)
	}
}

// TestFollowGoesOnAfterARestart stores messages before, while nobody is connected, and after.
func TestFollowGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, err := embedded.StartNATS(embedded.NATSConfig{StoreDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	natsURL := server.URL()
	js := dial(t, natsURL)
	ctx := within(t, 60*time.Second)
	if err := bus.Ensure(ctx, js, bus.Config{Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	publish := func(text string) {
		t.Helper()
		if _, err := dial(t, natsURL).Publish(ctx, bus.DeadSubject(event.Mailbox, ""), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	publish("before: not followed")
	messages, err := client.Follow(ctx, js, client.Source{Stream: bus.Dead, OrderedConsumerConfig: jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy}})
	if err != nil {
		t.Fatal(err)
	}
	server.Shutdown()
	server = restart(t, dir, natsURL)
	t.Cleanup(server.Shutdown)
	publish("one")
	publish("two")

	var got []string
	for m := range messages {
		if got = append(got, string(m.Data())); len(got) == 2 {
			break
		}
	}
	if strings.Join(got, " ") != "one two" {
		t.Errorf("got %q", got)
	}
}

func dial(t *testing.T, natsURL string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(natsURL, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func restart(t *testing.T, dir, natsURL string) *embedded.NATS {
	t.Helper()
	u, err := url.Parse(natsURL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	server, err := embedded.StartNATS(embedded.NATSConfig{StoreDir: dir, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	return server
}
