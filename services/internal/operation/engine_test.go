package operation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

const patience = time.Minute

// env is a NATS server of the test's own with the streams, and what the test does with it.
type env struct {
	*testing.T
	js     jetstream.JetStream
	log    *logBuffer
	domain event.Domain
	engine *operation.Engine // the one served last
	stop   func()            // ends the service and waits for it

	mu     sync.Mutex
	events map[string]string // subjects of results, by the id of the command
}

// logBuffer collects the log for a look at the end.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// setup serves the delegation domain with one handler for delegation.change.
func setup(t *testing.T, perform func(context.Context, *operation.Attempt) (operation.Reply, error)) *env {
	t.Helper()
	return setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{Perform: perform})
}

func setupDomain(t *testing.T, domain event.Domain, commandType string, handler operation.Handler, change ...func(*operation.Config)) *env {
	t.Helper()
	b := setupStreams(t, domain)
	b.serve(commandType, handler, change...)
	return b
}

const partitions = 4

// setupStreams has the streams, and nobody who serves.
func setupStreams(t *testing.T, domain event.Domain) *env {
	t.Helper()
	return &env{T: t, js: operation.StartStreams(t, topology.Config{Partitions: partitions}), log: &logBuffer{}, domain: domain}
}

func (b *env) serve(commandType string, handler operation.Handler, change ...func(*operation.Config)) {
	b.Helper()
	cfg := operation.Config{
		Domain: b.domain, JS: b.js, Log: b.logger(),
		Handlers: map[string]operation.Handler{commandType: handler}, CallTimeout: 300 * time.Millisecond, ParkAfter: 100 * time.Millisecond, Budget: operation.Budget{Tenant: 8},
		Retries: operation.Retries{
			failure.Unavailable: {First: time.Millisecond, Max: time.Millisecond, Horizon: time.Hour},
			failure.NotFound:    {First: time.Millisecond, Max: time.Millisecond, Horizon: 20 * time.Millisecond},
			failure.Unknown:     {First: time.Millisecond, Max: time.Millisecond, Horizon: time.Hour},
			failure.Internal:    {First: time.Millisecond, Max: time.Millisecond, Horizon: 20 * time.Millisecond},
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	engine, err := operation.New(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.engine = engine
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Serve(ctx, partitions) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.Errorf("serve: %v", err)
		}
	})
	b.Cleanup(b.stop)
}

func (b *env) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b.log, nil)) }

const source = "/test"

func command(id, data string) *nats.Msg {
	return &nats.Msg{
		Subject: topology.CommandSubject("contoso", event.DomainDelegation, "alex"), Data: []byte(data),
		Header: nats.Header{"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {source}, "ce-type": {event.TypeDelegationChange}, "ce-correlationid": {"T-1"}},
	}
}

const valid = `{"mailbox":"alex@contoso.com","add":["d@contoso.com"]}`

func (b *env) publish(m *nats.Msg) {
	b.Helper()
	b.remember(m)
	if _, err := b.js.PublishMsg(b.Context(), m); err != nil {
		b.Fatal(err)
	}
}

// remember keeps where the results of a command will stand.
func (b *env) remember(m *nats.Msg) {
	e, err := event.Decode(m.Header, m.Data)
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.events == nil {
		b.events = map[string]string{}
	}
	b.events[e.ID()] = resultsOf(m)
}

// resultsOf is the subject where the results of a command stand; "" where it is none.
func resultsOf(m *nats.Msg) string {
	address, ok := topology.ParsePublishedSubject(m.Subject)
	c, err := event.ReadCommand(m.Header, m.Data)
	if !ok || err != nil {
		return ""
	}
	return topology.EventSubject(address.Tenant, address.Domain, event.OperationOf(address.Tenant, c.Event))
}

// subject is where the results of a command stand.
func (b *env) subject(id string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if subject, ok := b.events[id]; ok {
		return subject
	}
	return topology.EventSubject("contoso", b.domain, event.OperationID("contoso", source, id))
}

// outcome waits for an operation's outcome.
func (b *env) outcome(id string) event.Event {
	b.Helper()
	return b.outcomeOn(b.subject(id))
}

// outcomeOn waits for the outcome that stands on a subject.
func (b *env) outcomeOn(subject string) event.Event {
	b.Helper()
	return b.await(topology.StreamEvents, subject, func(e event.Event) bool {
		s, ok := event.StateOf(e)
		return ok && s.Terminal()
	})
}

func (b *env) await(stream, subject string, enough func(event.Event) bool) event.Event {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	cons, err := b.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		b.Fatal(err)
	}
	for {
		m, err := cons.Next(jetstream.FetchContext(ctx))
		if err != nil {
			b.Fatalf("nothing on %s: %v\n%s", subject, err, b.log)
		}
		e, err := event.Decode(m.Headers(), m.Data())
		if err != nil {
			b.Fatal(err)
		}
		if enough(e) {
			return e
		}
	}
}

// dead waits for a dead letter with a reason.
func (b *env) dead(reason string) event.DeadLetter {
	b.Helper()
	return b.deadWhere(reason, func(l event.DeadLetter) bool { return l.Reason == reason })
}

// deadWhere waits for a dead letter that is meant.
func (b *env) deadWhere(what string, meant func(event.DeadLetter) bool) event.DeadLetter {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	cons, err := b.js.OrderedConsumer(ctx, topology.StreamDead, jetstream.OrderedConsumerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	for {
		m, err := cons.Next(jetstream.FetchContext(ctx))
		if err != nil {
			b.Fatalf("no dead letter %s: %v\n%s", what, err, b.log)
		}
		var l event.DeadLetter
		if err := json.Unmarshal(m.Data(), &l); err != nil {
			b.Fatal(err)
		}
		if meant(l) {
			return l
		}
	}
}

// letters counts what DEAD holds.
func (b *env) letters() uint64 { return b.stream(topology.StreamDead).CachedInfo().State.Msgs }

// count counts what the record of an operation holds.
func (b *env) count(id string) uint64 {
	b.Helper()
	s := b.stream(topology.StreamEvents)
	info, err := s.Info(b.Context(), jetstream.WithSubjectFilter(b.subject(id)))
	if err != nil {
		b.Fatal(err)
	}
	var n uint64
	for _, count := range info.State.Subjects {
		n += count
	}
	return n
}

func changed(run *operation.Attempt) (operation.Reply, error) {
	return operation.Reply{Type: event.TypeDelegationChanged, Data: event.DelegationChangedData{Operation: run.Operation, Mailbox: "alex@contoso.com", Delegates: []string{}, Added: []string{}, Removed: []string{}, Changed: true}}, nil
}

func TestSuccessCarriesTheCommandsContext(t *testing.T) {
	t.Parallel()
	b := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) })
	b.publish(command("1", valid))
	e := b.outcome("1")
	if faults := event.Check(e); len(faults) > 0 {
		t.Error(faults)
	}
	for name, want := range map[string]string{
		event.AttrTenantID: "contoso", event.AttrCorrelationID: "T-1", event.AttrCausationID: "1", event.AttrCommandID: "1", event.AttrCommandSource: source,
		event.AttrOperationID: event.OperationID("contoso", source, "1"),
	} {
		if got := event.Extension(e, name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	var data event.DelegationChangedData
	if err := e.DataAs(&data); err != nil {
		t.Fatal(err)
	}
	if data.Operation.Key != "alex" || data.Operation.Attempt != 1 || data.Operation.CommandType != event.TypeDelegationChange || data.Operation.ReceivedAt.IsZero() {
		t.Errorf("%+v", data.Operation)
	}
}

func TestTheSameCommandTwiceHasOneOutcomeAndOneCall(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	b := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		calls.Add(1)
		return changed(run)
	})
	for range 3 {
		b.publish(command("1", valid))
	}
	b.publish(command("2", valid)) // the same key: handled after the three
	b.outcome("2")
	if calls.Load() != 2 || b.count("1") != 1 {
		t.Errorf("%d calls, %d events", calls.Load(), b.count("1"))
	}
}

func TestOtherDataUnderTheSameIDIsDeadLettered(t *testing.T) {
	t.Parallel()
	b := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) })
	b.publish(command("1", valid))
	b.publish(command("1", `{"mailbox":"other@contoso.com","add":["d@contoso.com"]}`))
	l := b.dead(operation.Conflict)
	if l.Sequence != 2 || l.Stream != topology.StreamCommands || l.ID != "1" || l.OperationID != event.OperationID("contoso", source, "1") || !strings.Contains(string(l.Excerpt), "other@") {
		t.Errorf("%+v", l)
	}
}

func TestUnreadableIsDeadLetteredAndTheNextRuns(t *testing.T) {
	t.Parallel()
	b := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) })
	bad := command("x", "")
	bad.Header, bad.Data = nil, []byte("\xff\x00 unreadable")
	b.publish(bad)
	twice := command("y", valid)
	twice.Header["ce-id"] = []string{"y", "z"}
	b.publish(twice)
	b.publish(command("2", valid))
	b.outcome("2")
	if l := b.dead(operation.Unreadable); l.Sequence != 1 || l.Detail == "" || l.Size != len(bad.Data) || l.SHA256 != "" || l.Shape == nil {
		t.Errorf("%+v", l)
	}
}

func TestWrongCommandIsRejectedWithEveryFault(t *testing.T) {
	t.Parallel()
	b := setup(t, func(context.Context, *operation.Attempt) (operation.Reply, error) {
		return operation.Reply{}, operation.Reject("tenantid", "names no tenant that is configured for exchangeonline")
	})
	schema := command("1", `{"mailbox":7,"ad":[]}`)
	unknown := command("2", valid)
	unknown.Header["ce-type"] = []string{"com.example.nonsense"}
	foreign := command("3", valid)
	foreign.Header["ce-type"] = []string{event.TypeMailboxCreate}
	for _, m := range []*nats.Msg{schema, unknown, foreign, command("4", valid)} {
		b.publish(m)
	}
	for id, want := range map[string][]string{
		"1": {"/ad is not known", "/mailbox must be string", " needs one of: add, remove"},
		"2": {`type "com.example.nonsense" is not a type`},
		"3": {"type io.mailwright.mailbox.create.v1 is carried out on mailwright.cmd.contoso.mailbox.<key>"},
		"4": {"tenantid names no tenant"},
	} {
		e := b.outcome(id)
		var data event.RejectedData
		if err := e.DataAs(&data); err != nil || e.Type() != event.RejectedType(event.DomainDelegation) {
			t.Fatalf("%s: %v, %v", id, e.Type(), err)
		}
		text := (&operation.Rejection{Faults: data.Faults}).Error()
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %s lacks %q", id, text, w)
			}
		}
	}
}

func TestWhatMayPassIsTriedAgain(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	b := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		if calls.Add(1) < 4 {
			return operation.Reply{}, &failure.Error{Kind: failure.Unavailable, Vendor: "exchangeonline", Text: "the vendor could not be reached"}
		}
		return changed(run)
	})
	b.publish(command("1", valid))
	e := b.outcome("1")
	var data event.DelegationChangedData
	if err := e.DataAs(&data); err != nil || data.Operation.Attempt != 4 || b.count("1") != 7 { // three times waiting and started
		t.Errorf("attempt %d, %d events, %v", data.Operation.Attempt, b.count("1"), err)
	}
}

func TestWhatDoesNotPassFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want event.FailureData
	}{
		"refused at once":        {&failure.Error{Kind: failure.Refused, Vendor: "exchangeonline", Code: "X", Text: "no"}, event.FailureData{Kind: "refused", Vendor: "exchangeonline", Code: "X", Text: "no"}},
		"not found, horizon":     {failure.New(failure.NotFound, "there is no such mailbox"), event.FailureData{Kind: "not-found", Text: "there is no such mailbox"}},
		"a foreign error hidden": {errors.New("dial 10.1.2.3: hunter2"), event.FailureData{Kind: "internal", Text: "an internal error; the service's log has the details"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(context.Context, *operation.Attempt) (operation.Reply, error) { return operation.Reply{}, c.err })
			b.publish(command("1", valid))
			e := b.outcome("1")
			var data event.FailedData
			if err := e.DataAs(&data); err != nil || e.Type() != event.FailedType(event.DomainDelegation) || data.Failure != c.want {
				t.Errorf("%s %+v %v", e.Type(), data.Failure, err)
			}
		})
	}
}

func TestPanickingHandlerFailsItsCommandOnly(t *testing.T) {
	t.Parallel()
	b := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		if run.Command.ID() == "1" {
			panic("hunter2")
		}
		return changed(run)
	})
	b.publish(command("1", valid))
	b.publish(command("2", valid))
	if e := b.outcome("1"); e.Type() != event.FailedType(event.DomainDelegation) || strings.Contains(string(e.Data()), "hunter2") {
		t.Errorf("%s", e)
	}
	b.outcome("2")
}

func TestASecretThatTheVendorQuotesIsScrubbed(t *testing.T) {
	t.Parallel()
	const secret = `hunter"2\1`
	b := setupDomain(t, event.DomainDirectory, event.TypeBusinessUserCreate, operation.Handler{Perform: func(context.Context, *operation.Attempt) (operation.Reply, error) {
		return operation.Reply{}, &failure.Error{Kind: failure.Refused, Text: "the password " + secret + " is too short", Cause: errors.New("really too short")}
	}})
	data, err := json.Marshal(event.BusinessUserCreateData{Container: "LDAP://OU=x", UserPrincipalName: "a@b", PreferredDomainController: "dc", NewPassword: secret})
	if err != nil {
		t.Fatal(err)
	}
	m := command("1", string(data))
	m.Subject = topology.CommandSubject("contoso", event.DomainDirectory, "a")
	m.Header["ce-type"] = []string{event.TypeBusinessUserCreate}
	b.publish(m)
	e := b.outcome("1")
	if text := string(e.Data()); strings.Contains(text, "hunter") || !strings.Contains(text, "the password [redacted] is too short") {
		t.Error(text)
	}
	b.stop()
	if strings.Contains(b.log.String(), "hunter") {
		t.Error("the log has it:\n" + b.log.String())
	}
}

func TestTwoReplicasGiveEachCommandOneOutcome(t *testing.T) {
	t.Parallel()
	var calls sync.Map
	handler := func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		n, _ := calls.LoadOrStore(run.Command.ID(), new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
		return changed(run)
	}
	b := setup(t, handler)
	second, err := operation.New(t.Context(), operation.Config{Domain: event.DomainDelegation, JS: b.js, Log: slog.New(slog.DiscardHandler), Handlers: map[string]operation.Handler{event.TypeDelegationChange: {Perform: handler}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- second.Serve(ctx, 4) }()
	const commands = 200
	for i := range commands {
		m := command(fmt.Sprint(i), valid)
		m.Subject = topology.CommandSubject("contoso", event.DomainDelegation, fmt.Sprint(i%10))
		b.publish(m)
		b.publish(m)
	}
	for i := range commands {
		b.outcome(fmt.Sprint(i))
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for i := range commands {
		h := b.history(fmt.Sprint(i)) // some have waited for a turn, or in line
		if outcomes := slices.DeleteFunc(h, func(t string) bool { return t != "delegation.changed" }); len(outcomes) != 1 {
			t.Errorf("command %d has %d outcomes", i, len(outcomes))
		}
	}
}

// throttledFor is a failure after which a vendor wants to be left alone for some seconds.
func throttledFor(seconds int) error {
	return &failure.Error{Kind: failure.Throttled, RetryAfter: time.Duration(seconds) * time.Second, Text: "later"}
}
