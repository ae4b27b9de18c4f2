package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// load is a number of commands that are ready to be published.
type load struct {
	messages   []*nats.Msg
	operations []string // the operation of each
}

// newLoad makes commands of some tenants of a scenario. prefix tells their ids from those of other
// loads.
func (y *system) newLoad(s scenario, tenants []string, prefix string, n int) load {
	y.Helper()
	l := load{messages: make([]*nats.Msg, n), operations: make([]string, n)}
	for i := range n {
		c, err := s.command(tenants[i%len(tenants)], fmt.Sprint(prefix, "-", i), s.key(prefix, i, n))
		if err != nil {
			y.Fatal(err)
		}
		message, receipt, err := c.Message()
		if err != nil {
			y.Fatal(err)
		}
		l.messages[i], l.operations[i] = message, receipt.OperationID
	}
	return l
}

// key is what the i-th of n commands is about.
func (s scenario) key(prefix string, i, n int) string {
	const hotShare = 100 // one in so many keys
	if s.hot && i%2 == 0 {
		return fmt.Sprintf("%s-hot-%d", prefix, i/2%max(1, n/2/hotShare))
	}
	return fmt.Sprintf("%s-%d", prefix, i)
}

func (s scenario) command(tenant, id, key string) (client.Command, error) {
	if s.create {
		return client.New(tenant, source, id, event.MailboxCreateData{
			DirectoryObject: "CN=" + key + ",OU=People,DC=contoso,DC=com", Parameters: event.MailboxParameters{Alias: key},
		})
	}
	return client.New(tenant, source, id, event.DelegationSetData{
		Mailbox: key + "@contoso.com", Delegates: []string{"delegate1@contoso.com", "delegate2@contoso.com"},
	})
}

// publish publishes a load as fast as the stream takes it, and gives when all of it was stored.
func (y *system) publish(l load) time.Time {
	y.Helper()
	for _, m := range l.messages {
		if _, err := y.js.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute)); err != nil {
			y.Fatal(err)
		}
	}
	<-y.js.PublishAsyncComplete()
	y.published += len(l.messages)
	return time.Now()
}

// pace publishes a load at a rate, and gives when each command was due to be published. A command
// that the publisher sends late is measured from when it was due.
func (y *system) pace(l load, perSecond float64) []time.Time {
	y.Helper()
	due := make([]time.Time, len(l.messages))
	began := time.Now()
	for i, m := range l.messages {
		due[i] = began.Add(time.Duration(float64(i) / perSecond * float64(time.Second)))
		time.Sleep(time.Until(due[i]))
		if _, err := y.js.PublishMsgAsync(m); err != nil {
			y.Fatal(err)
		}
	}
	<-y.js.PublishAsyncComplete()
	y.published += len(l.messages)
	return due
}

// delays gives how long after it was due each command had what times tell.
func (l load) delays(due []time.Time, times map[string]time.Time) []time.Duration {
	delays := make([]time.Duration, len(due))
	for i, id := range l.operations {
		delays[i] = times[id].Sub(due[i])
	}
	return delays
}

// carryOut has a number of commands carried out, and waits for their rows.
func (y *system) carryOut(s scenario, prefix string, n int) {
	y.Helper()
	from := y.lastEvent()
	l := y.newLoad(s, s.tenantNames(), prefix, n)
	y.publish(l)
	y.follow(s, from, l)
	y.awaitRows()
}

// history is what EVENTS stored in a part of a run.
type history struct {
	types    map[string]int       // events of each type
	outcomes map[string]time.Time // when the outcome of each operation was stored
	pending  map[string]bool      // operations whose outcome has not come
}

// follow waits for the outcomes of a load behind a position in EVENTS. While fewer events than that
// are stored it reads none, so that it takes no time from a system that publishes one event a
// command.
func (y *system) follow(s scenario, from uint64, l load) history {
	y.Helper()
	n := len(l.operations)
	err := y.await("outcomes", func() error {
		if stored := y.lastEvent() - from; stored < uint64(n) {
			return fmt.Errorf("%d of %d", stored, n)
		}
		return nil
	})
	if err != nil {
		y.Fatal(err)
	}
	consumer, err := y.js.OrderedConsumer(y.Context(), topology.StreamEvents, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from + 1, HeadersOnly: true,
	})
	if err != nil {
		y.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		y.Fatal(err)
	}
	defer messages.Stop()
	h := history{types: map[string]int{}, outcomes: map[string]time.Time{}, pending: map[string]bool{}}
	for _, id := range l.operations {
		h.pending[id] = true
	}
	for len(h.pending) > 0 {
		var m jetstream.Msg
		err := y.await(fmt.Sprintf("%d of %d outcomes", len(h.pending), n), func() (err error) {
			m, err = messages.Next(jetstream.NextMaxWait(time.Second))
			return err
		})
		if err == nil {
			err = h.add(s, m)
		}
		if err != nil {
			y.Fatal(err)
		}
	}
	return h
}

// add counts an event.
func (h *history) add(s scenario, m jetstream.Msg) error {
	stored, err := m.Metadata()
	if err != nil {
		return err
	}
	t, d := m.Headers().Get("ce-type"), s.domain()
	h.types[t]++
	switch t {
	case s.success():
		id := m.Subject()[strings.LastIndex(m.Subject(), ".")+1:]
		h.outcomes[id] = stored.Timestamp
		delete(h.pending, id)
		return nil
	case event.StartedType(d), event.WaitingType(d), event.UnknownType(d):
		return nil
	default:
		return fmt.Errorf("a command ended with %s", t)
	}
}

func (y *system) lastEvent() uint64 {
	y.Helper()
	s, err := y.js.Stream(y.Context(), topology.StreamEvents)
	if err != nil {
		y.Fatal(err)
	}
	return s.CachedInfo().State.LastSeq
}

// awaitRows waits until every command that was published has the row of its outcome, and gives when
// each row was committed.
func (y *system) awaitRows() map[string]time.Time {
	y.Helper()
	err := y.await("rows", func() error {
		var n int
		err := y.db.QueryRow(y.Context(), "SELECT count(*) FROM mailwright.operations WHERE finished_at IS NOT NULL").Scan(&n)
		if err == nil && n < y.published {
			err = fmt.Errorf("%d of %d", n, y.published)
		}
		return err
	})
	if err != nil {
		y.Fatal(err)
	}
	rows, _ := y.db.Query(y.Context(), "SELECT operation_id, pg_xact_commit_timestamp(xmin) FROM mailwright.operations") // ForEachRow reports the error
	committed := map[string]time.Time{}
	var id string
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&id, &at}, func() error { committed[id] = at; return nil }); err != nil {
		y.Fatal(err)
	}
	return committed
}

// round is what one run of a scenario gave.
type round struct {
	rate    float64            // commands a second, to the last outcome
	rowRate float64            // the same to the last row
	events  map[string]float64 // of a command, by type
	calls   float64            // of a command, to the vendor
	cpu     map[string]float64 // of a command by part, in microseconds
	peak    map[string]float64 // memory by part, in MiB

	toOutcome, toRow []time.Duration // from when each command was due to be published
}

// burst publishes all commands of a scenario at once. The rate is that from when the last of them
// was stored: until then the publisher takes its share of the machine.
func (y *system) burst(s scenario) round {
	y.Helper()
	l := y.newLoad(s, s.tenantNames(), "burst", s.commands)
	return y.measured(s.commands, func(r *round) history {
		from := y.lastEvent()
		published := y.publish(l)
		events := y.follow(s, from, l)
		rows := y.awaitRows()
		r.rate = rate(events.outcomes, published)
		for id := range events.outcomes {
			events.outcomes[id] = rows[id]
		}
		r.rowRate = rate(events.outcomes, published)
		return events
	})
}

// paced publishes commands at a rate, and measures how long each takes.
func (y *system) paced(s scenario, perSecond float64) round {
	y.Helper()
	l := y.newLoad(s, s.tenantNames(), "paced", s.commands)
	return y.measured(s.commands, func(r *round) history {
		from := y.lastEvent()
		due := y.pace(l, perSecond)
		events := y.follow(s, from, l)
		rows := y.awaitRows()
		r.toOutcome, r.toRow = l.delays(due, events.outcomes), l.delays(due, rows)
		return events
	})
}

// measured gives what n commands take and cost.
func (y *system) measured(n int, carryOut func(*round) history) (r round) {
	y.Helper()
	y.deadline = time.Now().Add(runTimeout())
	before, calls := y.usage(), y.calls()
	events := carryOut(&r)
	after := y.usage()
	r.calls = float64(y.calls()-calls) / float64(n)
	r.events, r.cpu, r.peak = map[string]float64{}, map[string]float64{}, map[string]float64{}
	for t, count := range events.types {
		r.events[t] = float64(count) / float64(n)
	}
	for part, u := range after {
		r.cpu[part] = (u.cpu - before[part].cpu) / float64(n) * 1e6
		r.peak[part] = u.peak
	}
	return r
}

// rate is that of what happened after a time.
func rate(times map[string]time.Time, after time.Time) float64 {
	n, last := 0, after
	for _, at := range times {
		if at.After(after) {
			n++
		}
		if at.After(last) {
			last = at
		}
	}
	return float64(n) / last.Sub(after).Seconds()
}

// percentile gives the value below which a share of the values lies, in milliseconds.
func percentile(values []time.Duration, share float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
	return float64(at) / float64(time.Millisecond)
}

func median(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }

// pick gives one figure of each round.
func pick(results []round, figure func(round) float64) []float64 {
	values := make([]float64, len(results))
	for i, r := range results {
		values[i] = figure(r)
	}
	return values
}

// cpuOfAll is what a command costs in all processes, in microseconds.
func (r round) cpuOfAll() (sum float64) {
	for _, cost := range r.cpu {
		sum += cost
	}
	return sum
}

// eventsOfAll is how many events a command has.
func (r round) eventsOfAll() (sum float64) {
	for _, n := range r.events {
		sum += n
	}
	return sum
}
