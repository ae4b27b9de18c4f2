package scenario

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/guarantees/internal/check"
)

// bomb is the data of a command that is cheap to send and expensive to check. A service must reject
// it.
type bomb struct {
	kind string
	data func() string
}

// bombSize is close to 1 MiB, NATS' default for the largest message.
const bombSize = 900_000

// bombs are one for each kind of work that a checker may do.
var bombs = []bomb{
	{"numbers with huge exponents", func() string { return listOf(func(i int) string { return fmt.Sprint("1e", 999_999-i) }) }},
	{"numbers with huge negative exponents", func() string {
		return listOf(func(i int) string { return fmt.Sprint("1e-", 999_999-i) })
	}},
	{"nearly the maximum of large numbers", func() string {
		return valuesOf(nearlyMaxItems(func(i int) string { return fmt.Sprintf("%d.0e20", i) }))
	}},
	{"a number of many digits", func() string { return valuesOf(strings.Repeat("9", bombSize)) }},
	{"100,000 items", func() string { return listOf(func(int) string { return "1234567" }) }},
	{"a deep object", func() string { return nested(`{"createIn":`, "1", "}") }},
	{"a deep array", func() string { return nested("[", "1", "]") }},
	{"a member over and over", func() string {
		return "{" + strings.TrimSuffix(strings.Repeat(`"createIn":"x",`, bombSize/15), ",") + "}"
	}},
	{"1 MiB of unknown members", func() string { return objectOf(bombSize/20, 1) }},
	{"nearly the maximum of long unknown members", func() string { return objectOf(4_900, 170) }},
	{"nearly the maximum of wrong properties", func() string {
		return `{"createIn":"x","objectType":"user","properties":[` + nearlyMaxItems(func(i int) string { return strconv.Itoa(i) }) + `]}`
	}},
	{"escapes", func() string { return `{"createIn":"` + strings.Repeat(`\ud83d\ude00`, bombSize/12) + `"}` }},
	{"a long text", func() string { return `{"createIn":"` + strings.Repeat("x", bombSize) + `"}` }},
}

// valuesOf makes the data of a command that sets one property to the given values.
func valuesOf(values string) string {
	return `{"createIn":"x","objectType":"user","properties":[{"propertyName":"title","propertyType":"Integer","values":[` + values + `]}]}`
}

// listOf fills a list of values up to bombSize.
func listOf(item func(i int) string) string {
	var b strings.Builder
	for i := 0; b.Len() < bombSize; i++ {
		b.WriteString(item(i) + ",")
	}
	return valuesOf(strings.TrimSuffix(b.String(), ","))
}

// nearlyMaxItems makes nearly as many items as a command may have values.
func nearlyMaxItems(item func(i int) string) string {
	const values = 4_900
	items := make([]string, values)
	for i := range items {
		items[i] = item(i)
	}
	return strings.Join(items, ",")
}

func objectOf(members, length int) string {
	list := make([]string, members)
	for i := range list {
		list[i] = fmt.Sprintf(`"%s%d":1`, strings.Repeat("m", length), i)
	}
	return "{" + strings.Join(list, ",") + "}"
}

func nested(open, core, end string) string {
	depth := bombSize / (len(open) + len(end))
	return strings.Repeat(open, depth) + core + strings.Repeat(end, depth)
}

const (
	// bombRounds is how often each bomb is published, one right after another.
	bombRounds = 4
	// bombTimeout bounds each wait for an outcome behind the bombs.
	bombTimeout = time.Minute
)

// Bombs publishes every bomb a few times while the system is idle, and then one ordinary command.
// It measures the processor time of the service, and the time from the command to its outcome.
func (s *Scenario) Bombs(ctx context.Context) error {
	cost := &s.evidence.Bombs
	var err error
	if cost.Alone, err = s.roundTrip(ctx, "alone"); err != nil {
		return err
	}
	before, err := s.cpuTime(ctx, directoryService)
	if err != nil {
		return err
	}
	for i := range bombRounds * len(bombs) {
		b, id := bombs[i%len(bombs)], fmt.Sprint("bomb-", i)
		m := message(event.DomainDirectory, id, id, event.TypeObjectCreate, b.data())
		if err := s.storeMalformed(ctx, m, check.Malformed{Kind: b.kind, OperationID: operationOf(id), Want: rejected}); err != nil {
			return err
		}
		cost.Messages++
		cost.Bytes += int64(len(m.Data))
	}
	if cost.Behind, err = s.roundTrip(ctx, "behind"); err != nil {
		return err
	}
	if err := s.awaitBombsRejected(ctx); err != nil {
		return err
	}
	after, err := s.cpuTime(ctx, directoryService)
	cost.CPU = after - before
	s.Progress("%d expensive messages of %d MB in all took %v of CPU",
		cost.Messages, cost.Bytes/1_000_000, cost.CPU.Round(time.Millisecond))
	s.Progress("a command behind them had its outcome after %v, without them after %v",
		cost.Behind.Round(time.Millisecond), cost.Alone.Round(time.Millisecond))
	return err
}

// awaitBombsRejected waits until every bomb has its outcome.
func (s *Scenario) awaitBombsRejected(ctx context.Context) error {
	deadline := time.Now().Add(bombTimeout)
	for i := range bombRounds * len(bombs) {
		if _, err := s.awaitOutcome(ctx, operationOf(fmt.Sprint("bomb-", i)), time.Until(deadline)); err != nil {
			return err
		}
	}
	return nil
}

// roundTrip publishes a command on a key of its own and measures the time to its outcome, by
// JetStream's timestamps. A command without an outcome counts as bombTimeout.
func (s *Scenario) roundTrip(ctx context.Context, name string) (time.Duration, error) {
	id := "bombs-" + name
	data := fmt.Sprintf(`{"operationId":%q}`, operationOf("0"))
	ack, err := s.store(ctx, message(event.DomainDirectory, id, id, event.TypeOperationCancel, data))
	if err != nil {
		return 0, err
	}
	stream, err := s.js.Stream(ctx, topology.StreamCommands)
	if err != nil {
		return 0, err
	}
	command, err := stream.GetMsg(ctx, ack.Sequence)
	if err != nil {
		return 0, err
	}
	at, err := s.awaitOutcome(ctx, operationOf(id), bombTimeout)
	if err != nil || at.IsZero() {
		return bombTimeout, err
	}
	return at.Sub(command.Time), nil
}

// awaitOutcome waits for the outcome of an operation of directory-svc. at is when the outcome was
// stored; it is zero after the timeout.
func (s *Scenario) awaitOutcome(ctx context.Context, id string, timeout time.Duration) (at time.Time, err error) {
	events, err := s.js.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return at, err
	}
	late := until(ctx, timeout, func(ctx context.Context) (string, error) {
		m, err := events.GetLastMsgForSubject(ctx, topology.EventSubject(stack.SandboxTenant, event.DomainDirectory, id))
		if err != nil || !isOutcome(m) {
			return "no outcome", nil
		}
		at = m.Time
		return "", nil
	})
	if late != nil {
		s.Progress("operation %s: %v", id, late) // the checker reports it
	}
	return at, ctx.Err()
}

func isOutcome(m *jetstream.RawStreamMsg) bool {
	v, err := event.Decode(m.Header, m.Data)
	if err != nil {
		return false
	}
	state, _ := event.StateOf(v)
	return state.Terminal()
}

// cpuTime is the processor time that a service has used since its start, from its metrics.
func (s *Scenario) cpuTime(ctx context.Context, service string) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.stack.Endpoints.Services[service]+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "process_cpu_seconds_total "); ok {
			seconds, err := strconv.ParseFloat(text, 64)
			return time.Duration(seconds * float64(time.Second)), err
		}
	}
	return 0, fmt.Errorf("the metrics of %s have no process_cpu_seconds_total", service)
}
