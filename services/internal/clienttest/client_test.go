package client_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operation"
)

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

const answerTimeout = 20 * time.Second

func command(t *testing.T, eventType, data string) event.Event {
	t.Helper()
	e, err := event.New("1", "/test", eventType, nil)
	if err != nil {
		t.Fatal(err)
	}
	e.DataEncoded = []byte(data)
	return e
}

func TestKey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ eventType, data, want string }{
		"cn":              {event.TypeObjectCreate, `{"properties":[{"propertyName":"sAMAccountName","values":["jsmith"]},{"propertyName":"CN","values":["John Smith"]}]}`, "john smith"},
		"ou":              {event.TypeObjectCreate, `{"properties":[{"propertyName":"ou","values":["Sales"]}]}`, "sales"},
		"account name":    {event.TypeObjectCreate, `{"properties":[{"propertyName":"userPrincipalName","values":["b@x"]},{"propertyName":"sAMAccountName","values":["a"]}]}`, "a"},
		"empty cn":        {event.TypeObjectCreate, `{"properties":[{"propertyName":"cn","values":[]},{"propertyName":"userPrincipalName","values":["b@x"]}]}`, "b@x"},
		"nothing named":   {event.TypeObjectCreate, `{"properties":[{"propertyName":"cn","values":[7]}]}`, ""},
		"business user":   {event.TypeBusinessUserCreate, `{"userPrincipalName":" Admin@Contoso.com "}`, "admin@contoso.com"},
		"mailbox":         {event.TypeMailboxCreate, `{"directoryObject":"CN=John Smith,DC=example"}`, "cn=john smith,dc=example"},
		"delegation":      {event.TypeDelegationSet, `{"mailbox":"Alex@contoso.com"}`, "alex@contoso.com"},
		"one read":        {event.TypeDelegationRead, `{"mailbox":"alex@contoso.com"}`, "alex@contoso.com"},
		"every read":      {event.TypeDelegationRead, `{}`, "all"},
		"inventory":       {event.TypeInventorySync, `{"tenant":"Contoso"}`, "contoso"},
		"every inventory": {event.TypeInventorySync, `{}`, "all"},
		"cancel":          {event.TypeOperationCancel, `{"operationId":"abc"}`, "abc"},
		"not JSON":        {event.TypeInventorySync, `{`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := event.Key(command(t, c.eventType, c.data)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// start starts a NATS server with the streams.
func start(t *testing.T) jetstream.JetStream {
	t.Helper()
	return newServer(t).withStreams()
}

// server is a NATS server that can be away for a while.
type server struct {
	*testing.T
	*embedded.NATS
	dir, url string
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{T: t, dir: t.TempDir()}
	s.listen(0)
	s.url = s.URL()
	t.Cleanup(func() { s.Shutdown() })
	return s
}

func (s *server) listen(port int) {
	s.Helper()
	var err error
	if s.NATS, err = embedded.StartNATS(embedded.NATSConfig{StoreDir: s.dir, Port: port}); err != nil {
		s.Fatal(err)
	}
}

// comeBack starts it again, where it was and with what it stored.
func (s *server) comeBack() {
	s.Helper()
	u, err := url.Parse(s.url)
	if err != nil {
		s.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		s.Fatal(err)
	}
	s.listen(port)
}

// dial gives a connection of its own.
func (s *server) dial() jetstream.JetStream {
	s.Helper()
	nc, err := nats.Connect(s.url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		s.Fatal(err)
	}
	return js
}

// withStreams creates the streams.
func (s *server) withStreams() jetstream.JetStream {
	s.Helper()
	js := s.dial()
	if err := topology.Ensure(s.Context(), js, topology.Config{Partitions: partitions}); err != nil {
		s.Fatal(err)
	}
	return js
}

const partitions = 2

// serve answers every delegation.change by the real engine.
func serve(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	confirm := func(_ context.Context, r *operation.Attempt) (operation.Reply, error) {
		return operation.Reply{Type: event.TypeDelegationChanged, Data: event.DelegationChangedData{
			Operation: r.Operation, Mailbox: "a@contoso.com", Delegates: []string{}, Added: []string{}, Removed: []string{},
		}}, nil
	}
	engine, err := operation.New(t.Context(), operation.Config{
		Domain: event.DomainDelegation, Handlers: map[string]operation.Handler{event.TypeDelegationChange: {Perform: confirm}}, JS: js, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

func change(t *testing.T, id, delegate string) client.Command {
	t.Helper()
	c, err := client.New("contoso", "/test", id, event.DelegationChangeData{Mailbox: "a@contoso.com", Add: []string{delegate}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryTypeOfCommandIsMadeFromItsData(t *testing.T) {
	t.Parallel()
	var made []string
	for _, c := range []func() (client.Command, error){
		newOf[event.ObjectCreateData], newOf[event.BusinessUserCreateData], newOf[event.MailboxCreateData],
		newOf[event.DelegationSetData], newOf[event.DelegationChangeData], newOf[event.DelegationReadData],
		newOf[event.FolderGrantData], newOf[event.FolderRevokeData], newOf[event.FolderReadData],
		newOf[event.InventorySyncData], newOf[event.OperationCancelData],
	} {
		command, err := c()
		if err != nil || command.ID() != "1" || command.Source() != "/test" {
			t.Errorf("%v, %v", command, err)
		}
		made = append(made, command.Type())
	}
	if diff := cmp.Diff(event.CommandTypes(), made); diff != "" {
		t.Error(diff)
	}
}

func newOf[D client.Data]() (client.Command, error) {
	var data D
	return client.New("contoso", "/test", "1", data)
}

func TestMessageNeedsDomainAndKey(t *testing.T) {
	t.Parallel()
	cancel := client.Command{Tenant: "contoso", Event: command(t, event.TypeOperationCancel, `{"operationId":"abc"}`)}
	inDomain := cancel
	inDomain.Domain = event.DomainMailbox
	msg, receipt, err := inDomain.Message()
	if err != nil || msg.Subject != "mailwright.cmd.contoso.mailbox.abc" || receipt.Results != "mailwright.evt.contoso.mailbox."+event.OperationID("contoso", "/test", "1") {
		t.Errorf("%v %+v, %v", msg, receipt, err)
	}
	elsewhere := change(t, "1", "b@contoso.com")
	elsewhere.Domain = event.DomainMailbox
	long := change(t, "1", "b@contoso.com")
	long.Key = strings.Repeat("k", 1001)
	for want, c := range map[string]client.Command{
		"needs a domain":           cancel,
		"goes to the domain":       elsewhere,
		"to derive a key from":     {Tenant: "contoso", Event: command(t, event.TypeObjectCreate, `{}`)},
		"the key has 1001 bytes":   long,
		"belongs to no domain":     {Tenant: "contoso", Event: command(t, "com.example.v1", `{}`)},
		"id: MUST be a non-empty ": change(t, "", "b@contoso.com"),
	} {
		if _, _, err := c.Message(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestSendAndAwait(t *testing.T) {
	t.Parallel()
	js := start(t)
	serve(t, js)
	ctx := within(t, answerTimeout)

	receipt, err := client.Send(ctx, js, change(t, "1", "b@contoso.com"))
	if err != nil || receipt.Sequence == 0 {
		t.Fatalf("%+v, %v", receipt, err)
	}
	outcome, err := client.Await(ctx, js, receipt)
	if err != nil || outcome.State != event.StateSucceeded || outcome.Event.Type() != event.TypeDelegationChanged {
		t.Errorf("%v, %v", outcome, err)
	}

	again := change(t, "1", "b@contoso.com")
	again.Mode = event.Structured
	if r, err := client.Send(ctx, js, again); err != nil || r.OperationID != receipt.OperationID {
		t.Errorf("sent again: %+v, %v", r, err)
	} else if o, err := client.Await(ctx, js, r); err != nil || o.Event.ID() != outcome.Event.ID() {
		t.Errorf("sent again: %v, %v; want the outcome of before, %v", o, err, outcome)
	}

	other, err := client.Send(ctx, js, change(t, "1", "c@contoso.com"))
	if err != nil {
		t.Fatalf("other data under the same id: %+v, %v", other, err)
	}
	_, err = client.Await(ctx, js, other)
	if dead, ok := errors.AsType[*client.DeadError](err); !ok || dead.Letter.Reason != operation.Conflict {
		t.Errorf("awaited a conflict: %v", err)
	}
}

// TestAwaitWhatIsKnownByLess awaits without the receipt of Send: with what a command says of
// itself, and with the operation alone.
func TestAwaitWhatIsKnownByLess(t *testing.T) {
	t.Parallel()
	js := start(t)
	serve(t, js)
	ctx := within(t, answerTimeout)
	c := change(t, "1", "b@contoso.com")
	_, unpublished, err := c.Message()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Send(ctx, js, c); err != nil {
		t.Fatal(err)
	}
	for _, r := range []client.Receipt{unpublished, {Tenant: "contoso", OperationID: c.OperationID()}} {
		if outcome, err := client.Await(ctx, js, r); err != nil || outcome.State != event.StateSucceeded {
			t.Errorf("%+v: %v, %v", r, outcome, err)
		}
	}
	conflict := change(t, "1", "c@contoso.com")
	if _, err := client.Send(ctx, js, conflict); err != nil {
		t.Fatal(err)
	}
	if _, unpublished, err = conflict.Message(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Await(ctx, js, unpublished); !errorIs[*client.DeadError](err) {
		t.Errorf("awaited a conflict: %v", err)
	}
}

func errorIs[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	js := start(t) // nobody serves
	receipt, err := client.Send(t.Context(), js, change(t, "1", "b@contoso.com"))
	if err != nil {
		t.Fatal(err)
	}
	if o, err := client.Await(within(t, 100*time.Millisecond), js, receipt); !errors.Is(err, client.ErrNoOutcome) || !errors.Is(err, context.DeadlineExceeded) || o.State != "" {
		t.Errorf("%v, %v", o, err)
	}
	header, body, err := event.Encode(waits(t, receipt), event.Binary)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: receipt.Results, Header: header, Data: body}); err != nil {
		t.Fatal(err)
	}
	if o, err := client.Await(within(t, 5*time.Second), js, receipt); !errors.Is(err, client.ErrNoOutcome) || o.State != event.StateWaiting {
		t.Errorf("the latest that was heard: %v, %v", o, err)
	}
}

// waits is the event that a command waits.
func waits(t *testing.T, r client.Receipt) event.Event {
	t.Helper()
	e, err := event.New("w", "/test", event.WaitingType(r.Domain), event.WaitingData{Reason: event.WaitConcurrencyLimit})
	if err != nil {
		t.Fatal(err)
	}
	event.Extend(&e, event.Attribute{Name: event.AttrOperationID, Value: r.OperationID})
	return e
}

func TestNoStreams(t *testing.T) {
	t.Parallel()
	js := newServer(t).dial()
	if _, err := client.Send(within(t, answerTimeout), js, change(t, "1", "b@contoso.com")); !errors.Is(err, client.ErrNoStreams) {
		t.Errorf("send: %v", err)
	}
	if _, err := client.Await(within(t, answerTimeout), js, client.Receipt{Tenant: "contoso", OperationID: "x"}); !errors.Is(err, client.ErrNoStreams) {
		t.Errorf("await: %v", err)
	}
}

func TestAwaitAllOfMoreThanOneConsumerTakes(t *testing.T) {
	t.Parallel()
	js := start(t)
	serve(t, js)
	ctx := within(t, answerTimeout)
	var receipts []client.Receipt
	for i := range 600 {
		c := change(t, strconv.Itoa(i), "b@contoso.com")
		c.Key = strconv.Itoa(i)
		r, err := client.Send(ctx, js, c)
		if err != nil {
			t.Fatal(err)
		}
		receipts = append(receipts, r)
	}
	outcomes := map[uint64]int{}
	if err := client.AwaitAll(ctx, js, append(receipts, receipts[0]), func(n client.Update) {
		if n.Final() {
			outcomes[n.Receipt.Sequence]++
		}
	}); err != nil {
		t.Fatal(err)
	}
	for _, r := range receipts {
		if outcomes[r.Sequence] != 1 {
			t.Errorf("%d outcomes of %s", outcomes[r.Sequence], r.OperationID)
		}
	}
	if err := client.AwaitAll(ctx, js, nil, nil); err != nil {
		t.Errorf("nothing to wait for: %v", err)
	}
}

// TestWhileNATSIsAway sends and awaits while nobody answers: both hold on until NATS is back.
func TestWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	js, ctx := s.withStreams(), within(t, 3*answerTimeout)
	gone := js.Conn().StatusChanged(nats.RECONNECTING)
	s.Shutdown()
	<-gone
	c := change(t, "1", "b@contoso.com")
	type sent struct {
		client.Receipt
		error
	}
	sending, awaiting := make(chan sent, 1), make(chan error, 1)
	go func() {
		r, err := client.Send(ctx, js, c)
		sending <- sent{r, err}
	}()
	go func() {
		o, err := client.Await(ctx, js, client.Receipt{Tenant: "contoso", OperationID: c.OperationID()})
		if err == nil && o.State != event.StateSucceeded {
			err = errors.New(o.String())
		}
		awaiting <- err
	}()
	s.comeBack()
	serve(t, s.dial())
	if one := <-sending; one.error != nil || one.Sequence != 1 {
		t.Errorf("sent as %d, %v", one.Sequence, one.error)
	}
	if err := <-awaiting; err != nil {
		t.Errorf("awaited: %v", err)
	}
}

// TestFollowGoesOnAfterARestart stores messages before, while nobody is connected, and after.
func TestFollowGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	js, ctx := s.withStreams(), within(t, 3*answerTimeout)
	publish := func(text string) {
		t.Helper()
		if _, err := s.dial().Publish(ctx, topology.DeadSubject("contoso", event.DomainMailbox, ""), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	publish("before: not followed")
	messages, err := client.Follow(ctx, js, client.Source{Stream: topology.StreamDead, OrderedConsumerConfig: jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy}})
	if err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	s.comeBack()
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
