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

const outcomeTimeout = time.Minute

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
	env := setupStreams(t, domain)
	env.serve(commandType, handler, change...)
	return env
}

const partitions = 4

// setupStreams has the streams, and nobody who serves.
func setupStreams(t *testing.T, domain event.Domain) *env {
	t.Helper()
	return &env{T: t, js: operation.StartStreams(t, topology.Config{Partitions: partitions}), log: &logBuffer{}, domain: domain}
}

func (env *env) serve(commandType string, handler operation.Handler, change ...func(*operation.Config)) {
	env.Helper()
	cfg := operation.Config{
		Domain: env.domain, JS: env.js, Log: env.logger(),
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
	engine, err := operation.New(env.Context(), cfg)
	if err != nil {
		env.Fatal(err)
	}
	env.engine = engine
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Serve(ctx) }()
	env.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			env.Errorf("serve: %v", err)
		}
	})
	env.Cleanup(env.stop)
}

func (env *env) logger() *slog.Logger { return slog.New(slog.NewTextHandler(env.log, nil)) }

const source = "/test"

func command(id, data string) *nats.Msg {
	return &nats.Msg{
		Subject: topology.CommandSubject("contoso", event.DomainDelegation, "alex"), Data: []byte(data),
		Header: nats.Header{"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {source}, "ce-type": {event.TypeDelegationChange}, "ce-correlationid": {"T-1"}},
	}
}

const valid = `{"mailbox":"alex@contoso.com","add":["d@contoso.com"]}`

func (env *env) publish(m *nats.Msg) {
	env.Helper()
	env.remember(m)
	if _, err := env.js.PublishMsg(env.Context(), m); err != nil {
		env.Fatal(err)
	}
}

// remember keeps where the results of a command will stand.
func (env *env) remember(m *nats.Msg) {
	e, err := event.Decode(m.Header, m.Data)
	if err != nil {
		return
	}
	env.mu.Lock()
	defer env.mu.Unlock()
	if env.events == nil {
		env.events = map[string]string{}
	}
	env.events[e.ID()] = resultsOf(m)
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
func (env *env) subject(id string) string {
	env.mu.Lock()
	defer env.mu.Unlock()
	if subject, ok := env.events[id]; ok {
		return subject
	}
	return topology.EventSubject("contoso", env.domain, event.OperationID("contoso", source, id))
}

// outcome waits for an operation's outcome.
func (env *env) outcome(id string) event.Event {
	env.Helper()
	return env.outcomeOn(env.subject(id))
}

// outcomeOn waits for the outcome that stands on a subject.
func (env *env) outcomeOn(subject string) event.Event {
	env.Helper()
	return env.await(topology.StreamEvents, subject, func(e event.Event) bool {
		s, ok := event.StateOf(e)
		return ok && s.Terminal()
	})
}

func (env *env) await(stream, subject string, enough func(event.Event) bool) event.Event {
	env.Helper()
	ctx, cancel := context.WithTimeout(env.Context(), outcomeTimeout)
	defer cancel()
	cons, err := env.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		env.Fatal(err)
	}
	for {
		m, err := cons.Next(jetstream.FetchContext(ctx))
		if err != nil {
			env.Fatalf("nothing on %s: %v\n%s", subject, err, env.log)
		}
		e, err := event.Decode(m.Headers(), m.Data())
		if err != nil {
			env.Fatal(err)
		}
		if enough(e) {
			return e
		}
	}
}

// dead waits for a dead letter with a reason.
func (env *env) dead(reason string) event.DeadLetter {
	env.Helper()
	return env.deadWhere(reason, func(l event.DeadLetter) bool { return l.Reason == reason })
}

// deadWhere waits for a dead letter that is wanted.
func (env *env) deadWhere(what string, meant func(event.DeadLetter) bool) event.DeadLetter {
	env.Helper()
	ctx, cancel := context.WithTimeout(env.Context(), outcomeTimeout)
	defer cancel()
	cons, err := env.js.OrderedConsumer(ctx, topology.StreamDead, jetstream.OrderedConsumerConfig{})
	if err != nil {
		env.Fatal(err)
	}
	for {
		m, err := cons.Next(jetstream.FetchContext(ctx))
		if err != nil {
			env.Fatalf("no dead letter %s: %v\n%s", what, err, env.log)
		}
		var l event.DeadLetter
		if err := json.Unmarshal(m.Data(), &l); err != nil {
			env.Fatal(err)
		}
		if meant(l) {
			return l
		}
	}
}

// deadLetters counts what DEAD holds.
func (env *env) deadLetters() uint64 { return env.stream(topology.StreamDead).CachedInfo().State.Msgs }

// count counts what the record of an operation holds.
func (env *env) count(id string) uint64 {
	env.Helper()
	s := env.stream(topology.StreamEvents)
	info, err := s.Info(env.Context(), jetstream.WithSubjectFilter(env.subject(id)))
	if err != nil {
		env.Fatal(err)
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
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) })
	env.publish(command("1", valid))
	e := env.outcome("1")
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
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		calls.Add(1)
		return changed(run)
	})
	for range 3 {
		env.publish(command("1", valid))
	}
	env.publish(command("2", valid)) // the same key: handled after the three
	env.outcome("2")
	if calls.Load() != 2 || env.count("1") != 1 {
		t.Errorf("%d calls, %d events", calls.Load(), env.count("1"))
	}
}

func TestOtherDataUnderTheSameIDIsDeadLettered(t *testing.T) {
	t.Parallel()
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) })
	env.publish(command("1", valid))
	env.publish(command("1", `{"mailbox":"other@contoso.com","add":["d@contoso.com"]}`))
	l := env.dead(operation.Conflict)
	if l.Sequence != 2 || l.Stream != topology.StreamCommands || l.ID != "1" || l.OperationID != event.OperationID("contoso", source, "1") || !strings.Contains(string(l.Excerpt), "other@") {
		t.Errorf("%+v", l)
	}
}

func TestUnreadableIsDeadLetteredAndTheNextRuns(t *testing.T) {
	t.Parallel()
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) })
	bad := command("x", "")
	bad.Header, bad.Data = nil, []byte("\xff\x00 unreadable")
	env.publish(bad)
	twice := command("y", valid)
	twice.Header["ce-id"] = []string{"y", "z"}
	env.publish(twice)
	env.publish(command("2", valid))
	env.outcome("2")
	if l := env.dead(operation.Unreadable); l.Sequence != 1 || l.Detail == "" || l.Size != len(bad.Data) || l.SHA256 != "" || l.Shape == nil {
		t.Errorf("%+v", l)
	}
}

func TestWrongCommandIsRejectedWithEveryFault(t *testing.T) {
	t.Parallel()
	env := setup(t, func(context.Context, *operation.Attempt) (operation.Reply, error) {
		return operation.Reply{}, operation.Reject("tenantid", "names no tenant that is configured for exchangeonline")
	})
	schema := command("1", `{"mailbox":7,"ad":[]}`)
	unknown := command("2", valid)
	unknown.Header["ce-type"] = []string{"com.example.nonsense"}
	otherDomain := command("3", valid)
	otherDomain.Header["ce-type"] = []string{event.TypeMailboxCreate}
	for _, m := range []*nats.Msg{schema, unknown, otherDomain, command("4", valid)} {
		env.publish(m)
	}
	for id, want := range map[string][]string{
		"1": {"/ad is not known", "/mailbox must be string", " needs one of: add, remove"},
		"2": {`type "com.example.nonsense" is not a type`},
		"3": {"type io.mailwright.mailbox.create.v1 is carried out on mailwright.cmd.contoso.mailbox.<key>"},
		"4": {"tenantid names no tenant"},
	} {
		e := env.outcome(id)
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
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		if calls.Add(1) < 4 {
			return operation.Reply{}, &failure.Error{Kind: failure.Unavailable, Vendor: "exchangeonline", Text: "the vendor could not be reached"}
		}
		return changed(run)
	})
	env.publish(command("1", valid))
	e := env.outcome("1")
	var data event.DelegationChangedData
	if err := e.DataAs(&data); err != nil || data.Operation.Attempt != 4 || env.count("1") != 7 { // three times waiting and started
		t.Errorf("attempt %d, %d events, %v", data.Operation.Attempt, env.count("1"), err)
	}
}

func TestWhatDoesNotPassFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want event.FailureData
	}{
		"refused at once":                  {&failure.Error{Kind: failure.Refused, Vendor: "exchangeonline", Code: "X", Text: "no"}, event.FailureData{Kind: "refused", Vendor: "exchangeonline", Code: "X", Text: "no"}},
		"not found, horizon":               {failure.New(failure.NotFound, "there is no such mailbox"), event.FailureData{Kind: "not-found", Text: "there is no such mailbox"}},
		"an error of another type, hidden": {errors.New("dial 10.1.2.3: hunter2"), event.FailureData{Kind: "internal", Text: "an internal error; the service's log has the details"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := setup(t, func(context.Context, *operation.Attempt) (operation.Reply, error) { return operation.Reply{}, c.err })
			env.publish(command("1", valid))
			e := env.outcome("1")
			var data event.FailedData
			if err := e.DataAs(&data); err != nil || e.Type() != event.FailedType(event.DomainDelegation) || data.Failure != c.want {
				t.Errorf("%s %+v %v", e.Type(), data.Failure, err)
			}
		})
	}
}

func TestPanickingHandlerFailsItsCommandOnly(t *testing.T) {
	t.Parallel()
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		if run.Command.ID() == "1" {
			panic("hunter2")
		}
		return changed(run)
	})
	env.publish(command("1", valid))
	env.publish(command("2", valid))
	if e := env.outcome("1"); e.Type() != event.FailedType(event.DomainDelegation) || strings.Contains(string(e.Data()), "hunter2") {
		t.Errorf("%s", e)
	}
	env.outcome("2")
}

func TestASecretThatTheVendorQuotesIsScrubbed(t *testing.T) {
	t.Parallel()
	const secret = `hunter"2\1`
	env := setupDomain(t, event.DomainDirectory, event.TypeBusinessUserCreate, operation.Handler{Perform: func(context.Context, *operation.Attempt) (operation.Reply, error) {
		return operation.Reply{}, &failure.Error{Kind: failure.Refused, Text: "the password " + secret + " is too short", Cause: errors.New("really too short")}
	}})
	data, err := json.Marshal(event.BusinessUserCreateData{Container: "LDAP://OU=x", UserPrincipalName: "a@b", PreferredDomainController: "dc", NewPassword: secret})
	if err != nil {
		t.Fatal(err)
	}
	m := command("1", string(data))
	m.Subject = topology.CommandSubject("contoso", event.DomainDirectory, "a")
	m.Header["ce-type"] = []string{event.TypeBusinessUserCreate}
	env.publish(m)
	e := env.outcome("1")
	if text := string(e.Data()); strings.Contains(text, "hunter") || !strings.Contains(text, "the password [redacted] is too short") {
		t.Error(text)
	}
	env.stop()
	if strings.Contains(env.log.String(), "hunter") {
		t.Error("the log has it:\n" + env.log.String())
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
	env := setup(t, handler)
	second, err := operation.New(t.Context(), operation.Config{Domain: event.DomainDelegation, JS: env.js, Log: slog.New(slog.DiscardHandler), Handlers: map[string]operation.Handler{event.TypeDelegationChange: {Perform: handler}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- second.Serve(ctx) }()
	const commands = 200
	for i := range commands {
		m := command(fmt.Sprint(i), valid)
		m.Subject = topology.CommandSubject("contoso", event.DomainDelegation, fmt.Sprint(i%10))
		env.publish(m)
		env.publish(m)
	}
	for i := range commands {
		env.outcome(fmt.Sprint(i))
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for i := range commands {
		h := env.history(fmt.Sprint(i)) // some have waited for a free call, or behind others
		if outcomes := slices.DeleteFunc(h, func(t string) bool { return t != "delegation.changed" }); len(outcomes) != 1 {
			t.Errorf("command %d has %d outcomes", i, len(outcomes))
		}
	}
}

// throttledFor is a failure after which a vendor wants to be left alone for some seconds.
func throttledFor(seconds int) error {
	return &failure.Error{Kind: failure.Throttled, RetryAfter: time.Duration(seconds) * time.Second, Text: "later"}
}
