package dead_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/deadletters"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/dead"
)

const (
	timeout = 20 * time.Second
	source  = "/hr"
	change  = `{"mailbox":"alex@contoso.com","add":["dana@contoso.com"]}`
)

// env is a system with dead letters, and what a test does with it.
type env struct {
	*testing.T
	*apptest.Env
}

func start(t *testing.T) *env {
	t.Helper()
	return &env{t, apptest.Start(t)}
}

func (e *env) call(c apptest.Call) apptest.Result {
	e.Helper()
	c.Name, c.Command, c.Args = "dead", &dead.Command{}, append(c.Args, "--nats-url", e.URL)
	ctx, cancel := context.WithTimeout(e.Context(), timeout)
	defer cancel()
	return apptest.Run(ctx, e.T, c)
}

// run calls dead and fails the test where it does not end as it should.
func (e *env) run(code int, err string, args ...string) string {
	e.Helper()
	r := e.call(apptest.Call{Args: args})
	if r.Code != code || !strings.Contains(r.Err, err) {
		e.Fatalf("%v: exit code %d, want %d with %q on standard error:\n%s%s", args, r.Code, code, err, r.Out, r.Err)
	}
	return r.Out
}

func (e *env) serve(change ...func(*operation.Config)) {
	e.Helper()
	e.Serve(e.T, event.DomainDelegation, map[string]operation.Handler{
		event.TypeDelegationChange: {Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
			return operation.Reply{Type: event.TypeDelegationChanged, Data: event.DelegationChangedData{
				Operation: run.Operation, Mailbox: "alex@contoso.com", Delegates: []string{}, Added: []string{}, Removed: []string{},
			}}, nil
		}},
		event.TypeDelegationSet: {NotRepeatable: true, Perform: func(context.Context, *operation.Attempt) (operation.Reply, error) {
			return operation.Reply{}, &failure.Error{Kind: failure.Unknown, Text: "no answer"}
		}},
	}, change...)
}

func command(id, data string) *nats.Msg {
	return &nats.Msg{
		Subject: topology.CommandSubject("contoso", event.DomainDelegation, "alex"), Data: []byte(data),
		Header: nats.Header{"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {source}, "ce-type": {event.TypeDelegationChange}, nats.MsgIdHdr: {id + data}},
	}
}

func (e *env) publish(m *nats.Msg) {
	e.Helper()
	if _, err := e.JS.PublishMsg(e.Context(), m); err != nil {
		e.Fatal(err)
	}
}

func (e *env) stream(name string) jetstream.Stream {
	e.Helper()
	s, err := e.JS.Stream(e.Context(), name)
	if err != nil {
		e.Fatal(err)
	}
	return s
}

func (e *env) until(what string, holds func() bool) {
	e.Helper()
	for deadline := time.Now().Add(timeout); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			e.Fatalf("still not so: %s", what)
		}
	}
}

// awaitLetters waits until DEAD has had n messages.
func (e *env) awaitLetters(n uint64) {
	e.Helper()
	e.until(fmt.Sprintf("%d letters", n), func() bool { return e.stream(topology.StreamDead).CachedInfo().State.LastSeq == n })
}

func (e *env) lettersLeft() uint64 { return e.stream(topology.StreamDead).CachedInfo().State.Msgs }

func (e *env) awaitOutcome(id string) {
	e.Helper()
	e.until("outcome of "+id, func() bool {
		m, err := e.stream(topology.StreamEvents).GetLastMsgForSubject(e.Context(), topology.EventSubject("contoso", event.DomainDelegation, event.OperationID("contoso", source, id)))
		return err == nil && strings.HasSuffix(m.Header.Get("ce-type"), "delegation.changed.v1")
	})
}

// ackExternally publishes commands and has each taken by something other than a service.
func (e *env) ackExternally(by func(jetstream.Msg) error, commands ...*nats.Msg) {
	e.Helper()
	for _, m := range commands {
		e.publish(m)
	}
	last, err := e.stream(topology.StreamCommands).GetMsg(e.Context(), e.stream(topology.StreamCommands).CachedInfo().State.LastSeq)
	if err != nil {
		e.Fatal(err)
	}
	address, _ := topology.ParseCommandSubject(last.Subject)
	partition := bus.CommandConsumer(event.DomainDelegation, 0, address.Partition)
	group := partition.PriorityGroups[0]
	cons, err := e.JS.CreateConsumer(e.Context(), topology.StreamCommands, partition)
	if err != nil {
		e.Fatal(err)
	}
	batch, err := cons.Fetch(len(commands), jetstream.FetchMaxWait(timeout), jetstream.FetchPriorityGroup(group))
	if err != nil {
		e.Fatal(err)
	}
	for m := range batch.Messages() {
		if err := by(m); err != nil {
			e.Fatal(err)
		}
	}
	if err := errors.Join(batch.Error(), e.stream(topology.StreamCommands).UnpinConsumer(e.Context(), partition.Durable, group)); err != nil {
		e.Fatal(err)
	}
}

func acknowledged(m jetstream.Msg) error { return m.DoubleAck(context.Background()) }
func terminated(m jetstream.Msg) error   { return m.TermWithReason("by hand") }

// recheckSoon is for tests that want to find what was lost.
func recheckSoon(c *operation.Config) { c.RecheckAfter = 50 * time.Millisecond }

// startWithFiveLetters has five letters: unreadable, a conflict, an unknown outcome, an advisory,
// and one whose original is gone.
func startWithFiveLetters(t *testing.T) *env {
	t.Helper()
	e := start(t)
	e.serve()
	bad := command("x", "\xff\x00")
	bad.Header = nats.Header{"Authorization": {"hunter2"}}
	e.publish(bad)
	e.publish(command("1", change))
	e.publish(command("1", strings.Replace(change, "dana", "eve", 1)))
	set := command("2", `{"mailbox":"alex@contoso.com","delegates":[]}`)
	set.Header["ce-type"] = []string{event.TypeDelegationSet}
	e.publish(set)
	e.awaitLetters(3)
	for _, l := range []struct {
		subject string
		body    any
	}{
		{"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.COMMANDS.delegation-0", map[string]any{
			"type": "io.nats.jetstream.advisory.v1.max_deliver", "timestamp": time.Now(), "stream": topology.StreamCommands, "consumer": "delegation-0", "stream_seq": 2, "deliveries": 5,
		}},
		{topology.DeadSubject("fabrikam", event.DomainMailbox, "fuom5ln32nj4obpm5vearkc6kh"), event.DeadLetter{
			Reason: operation.AckedWithoutOutcome, Detail: "acknowledged without an outcome\x1b[2J", Stream: topology.StreamCommands, Sequence: 99, Type: event.TypeMailboxCreate, Source: "/itsm", ID: "INC-1",
			Subject: "mailwright.cmd.fabrikam.mailbox.jsmith", OperationID: "fuom5ln32nj4obpm5vearkc6kh", Time: time.Now(), Excerpt: json.RawMessage(`{"alias":"jsmith"}`),
		}},
	} {
		raw, err := json.Marshal(l.body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.JS.Publish(t.Context(), l.subject, raw); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func TestHelp(t *testing.T) {
	t.Parallel()
	apptest.Golden(t, "help.txt", apptest.Help(t, "dead", &dead.Command{}))
	for _, below := range []string{"ls", "show", "replay", "discard"} {
		apptest.Golden(t, "help-"+below+".txt", apptest.Help(t, "dead", &dead.Command{}, below))
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	e := startWithFiveLetters(t)
	apptest.Golden(t, "ls.txt", e.run(0, "", "ls"))
	apptest.Golden(t, "histogram.txt", e.run(0, "", "ls", "--histogram"))
	apptest.Golden(t, "histogram-json.txt", e.run(0, "", "ls", "--histogram", "--json"))
	for name, c := range map[string]struct {
		args []string
		want []uint64
	}{
		"all":      {nil, []uint64{1, 2, 3, 4, 5}},
		"tenant":   {[]string{"--tenant", "fabrikam"}, []uint64{5}},
		"tenants":  {[]string{"--tenant", "contoso,adatum", "--dead-reason", "unreadable,max-deliveries"}, []uint64{1, 4}},
		"domain":   {[]string{"--domain", "mailbox,inventory"}, []uint64{5}},
		"advisory": {[]string{"--dead-reason", "max-deliveries", "--domain", "delegation", "--source", source, "--type", "delegation.change"}, []uint64{4}},
		"reason":   {[]string{"--dead-reason", "unreadable", "--dead-reason", "acked-without-outcome"}, []uint64{1, 5}},
		"type":     {[]string{"--type", "delegation.change,delegation.set"}, []uint64{2, 3, 4}},
		"source":   {[]string{"--source", "/itsm"}, []uint64{5}},
		"since":    {[]string{"--since", "1h"}, []uint64{1, 2, 3, 4, 5}},
		"too late": {[]string{"--since", "2999-01-01T00:00:00Z"}, nil},
		"limit":    {[]string{"--limit", "2"}, []uint64{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := &env{t, e.Env}
			var got []uint64
			for line := range strings.Lines(e.run(0, "", append([]string{"ls", "--json"}, c.args...)...)) {
				var l deadletters.Letter
				if err := json.Unmarshal([]byte(line), &l); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				got = append(got, l.Sequence)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestListMoreThanABatch(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.run(0, "no dead letters", "ls")
	const many = 1234
	for i := range uint64(many) {
		raw, err := json.Marshal(event.DeadLetter{Reason: operation.AckedWithoutOutcome, Stream: topology.StreamCommands, Sequence: i + 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.JS.PublishAsync(topology.DeadSubject("contoso", event.DomainMailbox, ""), raw); err != nil {
			t.Fatal(err)
		}
	}
	<-e.JS.PublishAsyncComplete()
	if n := strings.Count(e.run(0, "", "ls", "--json"), "\n"); n != many {
		t.Errorf("%d lines", n)
	}
	e.run(0, "1234 dead letters done", "discard", "--all", "--yes", "--reason", "CHG-1")
	if e.lettersLeft() != 0 {
		t.Errorf("%d are left", e.lettersLeft())
	}
}

func TestShow(t *testing.T) {
	t.Parallel()
	e := startWithFiveLetters(t)
	for i, name := range []string{"unreadable", "conflict", "outcome-unknown", "advisory", "gone"} {
		apptest.Golden(t, "show-"+name+".txt", e.run(0, "", "show", fmt.Sprint(i+1)))
	}
	e.run(app.ExitFailure, "there is no dead letter 17", "show", "17")
	var doc struct {
		Letter   event.DeadLetter
		Original *struct{ Body event.DelegationChangeData }
	}
	if err := json.Unmarshal([]byte(e.run(0, "", "show", "2", "--json")), &doc); err != nil || doc.Letter.Reason != operation.Conflict || doc.Original.Body.Add[0] != "eve@contoso.com" {
		t.Errorf("%+v %v", doc, err)
	}
	if err := json.Unmarshal([]byte(e.run(0, "", "show", "5", "--json")), &doc); err != nil || doc.Original != nil {
		t.Errorf("%+v %v", doc, err)
	}
}

func TestShowRedacts(t *testing.T) {
	t.Parallel()
	user := `{"container":"LDAP://OU=x","userPrincipalName":"a@b","newPassword":"hunter2-secret"}`
	whole := `{"specversion":"1.0","id":"1","source":"/hr","type":"io.mailwright.directory.businessuser.create.v1","datacontenttype":"application/json",%s}`
	for name, m := range map[string]*nats.Msg{
		"binary":             {Header: nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/hr"}, "ce-type": {event.TypeBusinessUserCreate}, "ce-userpassword": {"hunter2-secret"}}, Data: []byte(user)},
		"structured":         {Data: fmt.Appendf(nil, whole, `"userpassword":"hunter2-secret","data":`+user)},
		"base64":             {Data: fmt.Appendf(nil, whole, `"data_base64":"aHVudGVyMi1zZWNyZXQ="`)}, // hunter2-secret
		"faulty":             {Header: nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/hr"}, "ce-type": {event.TypeBusinessUserCreate}}, Data: []byte(`{"note":"hunter2-secret","mobile":["hunter2-secret"]}`)},
		"of no known type":   {Header: nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/hr"}, "ce-type": {"com.example.x"}}, Data: []byte(`{"note":"hunter2-secret"}`)},
		"no type":            {Header: nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/hr"}}, Data: []byte(`{"note":"hunter2-secret"}`)},
		"unreadable":         {Data: []byte(user)},
		"unreadable, base64": {Data: fmt.Appendf(nil, strings.Replace(whole, "1.0", "0.1", 1), `"data_base64":"aHVudGVyMi1zZWNyZXQ="`)},
		"no JSON":            {Header: nats.Header{"Authorization": {"hunter2-secret"}}, Data: []byte("password=hunter2-secret")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := start(t)
			m.Subject = topology.CommandSubject("contoso", event.DomainDirectory, "a")
			e.publishWithLetter(m)
			for _, args := range [][]string{{"show", "1"}, {"show", "1", "--json"}, {"ls"}, {"ls", "--json"}, {"replay", "1", "--dry-run"}} {
				r := e.call(apptest.Call{Args: args})
				if out := r.Out + r.Err; args[0] != "replay" && r.Code != 0 || strings.Contains(out, "hunter2") || strings.Contains(out, "aHVudGVy") {
					t.Errorf("%v: a secret shows, or exit code %d:\n%s", args, r.Code, out)
				}
			}
		})
	}
}

// TestShowTellsTheShapeOfWhatItDoesNotShow: of data that does not fit its schema.
func TestShowTellsTheShapeOfWhatItDoesNotShow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		m    *nats.Msg
		want string
	}{
		"faulty":     {command("1", `{"mailbox":7,"note":"x"}`), "object of 24 bytes with the members mailbox, note"},
		"list":       {command("1", `["x"]`), "array of 5 bytes"},
		"no JSON":    {command("1", "<x/>"), "no JSON of 4 bytes"},
		"no type":    {withHeader(command("1", change), "ce-type", ""), "object of 57 bytes with the members add, mailbox"},
		"unreadable": {withHeader(command("1", change), "ce-id", ""), "object of 57 bytes with the members add, mailbox"},
		"structured": {&nats.Msg{Subject: command("1", "").Subject, Data: []byte(`{"specversion":"1.0","id":"1","source":"/hr","type":"` + event.TypeDelegationChange + `","data":{"x":1}}`)}, "object of 7 bytes with the members x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := start(t)
			e.publishWithLetter(c.m)
			out := e.run(0, "", "show", "1")
			if !strings.Contains(out, "the data is not shown, since it does not fit a schema: "+c.want+")") {
				t.Errorf("no %q in:\n%s", c.want, out)
			}
			if name == "structured" && !strings.Contains(out, `"source": "/hr"`) {
				t.Errorf("no attributes:\n%s", out)
			}
		})
	}
}

func withHeader(m *nats.Msg, name, value string) *nats.Msg {
	m.Header.Set(name, value)
	if value == "" {
		delete(m.Header, name)
	}
	return m
}

// TestForeignTextStaysInItsCell: a writer to DEAD chooses every text of a dead letter.
func TestForeignTextStaysInItsCell(t *testing.T) {
	t.Parallel()
	e := start(t)
	const evil = "x\u009b2J\x1b[2J\nrow\tcell\u202e"
	raw, err := json.Marshal(event.DeadLetter{
		Reason: evil, Detail: evil, Stream: evil, Sequence: 9, Subject: evil, Consumer: evil, Source: evil, ID: evil, Type: evil, OperationID: evil, Tenant: evil,
		CorrelationID: evil, TraceParent: evil, Shape: &event.Shape{Kind: evil, Members: []string{evil}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.JS.PublishMsg(t.Context(), &nats.Msg{Subject: "mailwright.dead.x\u009b2J.x\u009b2J.x", Data: raw}); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"ls", "ls --json", "ls --histogram", "ls --histogram --json", "show 1", "show 1 --json", "replay 1 --dry-run", "discard 1 --dry-run", "discard 1 --dry-run --json"} {
		r := e.call(apptest.Call{Args: strings.Fields(args)})
		out := r.Out + r.Err
		if strings.ContainsAny(out, "\u009b\x1b\u202e\t") || strings.Contains(out, "\nrow") || r.Out == "" {
			t.Errorf("%s: %q", args, out)
		}
	}
}

// describe publishes a message and has a letter about it.
func (e *env) publishWithLetter(m *nats.Msg, change ...func(*event.DeadLetter)) {
	e.Helper()
	m.Header.Del(nats.MsgIdHdr)
	e.publish(m)
	e.publishLetter(e.stream(topology.StreamCommands).CachedInfo().State.LastSeq, change...)
}

// publishLetter has a letter about a message of COMMANDS.
func (e *env) publishLetter(sequence uint64, change ...func(*event.DeadLetter)) {
	e.Helper()
	letter := event.DeadLetter{Reason: operation.Unreadable, Stream: topology.StreamCommands, Sequence: sequence}
	for _, c := range change {
		c(&letter)
	}
	raw, err := json.Marshal(letter)
	if err != nil {
		e.Fatal(err)
	}
	if _, err := e.JS.Publish(e.Context(), topology.DeadSubject("contoso", event.DomainDirectory, ""), raw); err != nil {
		e.Fatal(err)
	}
}
