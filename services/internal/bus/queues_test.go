package bus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// queueEnv drives keyQueues by short commands. A message is a key and a stream sequence, such as
// a3.
type queueEnv struct {
	t       *testing.T
	queues  *keyQueues
	now     time.Time
	groupOf map[string]string // by key
	free    map[string]int    // permits of a group; one that is not named has any number
}

func newQueueEnv(t *testing.T) *queueEnv {
	return &queueEnv{t: t, queues: newKeyQueues(), now: time.Now()}
}

// do carries out commands:
//
//	+a3   the server delivers a3
//	ok a3, retry a3    its handler has acked, or nacked, a3
//	return    all but the started messages go back to the server
//	permit G  a permit of the group G is granted
//
// It returns what was started, in order, and what was overtaken.
func (e *queueEnv) do(commands ...string) (result string) {
	e.t.Helper()
	var log []string
	for _, command := range commands {
		verb, name, _ := strings.Cut(command, " ")
		switch {
		case strings.HasPrefix(command, "+"):
			p, overtaking := e.queues.add(e.delivery(command[1:]), e.groupOf[command[1:2]], 100)
			if overtaking != nil {
				log = append(log, fmt.Sprintf("%s<%s", nameOf(p), nameOf(overtaking)))
			}
		case verb == "ok":
			e.queues.done(e.pending(name))
		case verb == "retry":
			e.queues.retry(e.pending(name), e.now.Add(time.Minute))
		case verb == "return":
			e.queues.removeUnstarted()
		case verb == "permit":
			e.free[name]++
			e.queues.resume(name)
		}
		var begun []string
		for p, ok := e.queues.next(); ok; p, ok = e.queues.next() {
			if free, limited := e.free[p.group]; limited && free == 0 {
				e.queues.hold(p)
				continue
			} else if limited {
				e.free[p.group]--
			}
			e.queues.start(p)
			begun = append(begun, nameOf(p))
		}
		log = append(log, begun...)
	}
	return strings.Join(log, " ")
}

func (e *queueEnv) delivery(name string) Delivery {
	var sequence uint64
	if _, err := fmt.Sscan(name[1:], &sequence); err != nil {
		e.t.Fatal(err)
	}
	return Delivery{Subject: name[:1], Sequence: sequence, replyTo: name, Data: []byte("x"), Header: nats.Header{}}
}

func (e *queueEnv) pending(name string) *pending {
	p := e.queues.bySequence[e.delivery(name).Sequence]
	if p == nil {
		e.t.Fatalf("%s is not pending", name)
	}
	return p
}

func nameOf(p *pending) string { return fmt.Sprint(p.key, p.delivery.Sequence) }

func TestKeyQueuesStartOneMessageOfAKeyInTheOrderOfTheStream(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		commands []string
		started  string
	}{
		"different keys start at the same time":                     {[]string{"+a1", "+b2", "+c3"}, "a1 b2 c3"},
		"a key's next starts after its first":                       {[]string{"+a1", "+a2", "+b3", "ok a1"}, "a1 b3 a2"},
		"a retried message blocks its key":                          {[]string{"+a1", "+a2", "+b3", "retry a1"}, "a1 b3"},
		"a retried message starts first":                            {[]string{"+a1", "+a2", "retry a1", "+a1", "ok a1"}, "a1 a1 a2"},
		"a retried message does not block other keys":               {[]string{"+a1", "retry a1", "+b2"}, "a1 b2"},
		"a started message that is redelivered goes on":             {[]string{"+a1", "+a1", "+a2", "ok a1"}, "a1 a2"},
		"an older message waits for a newer started one":            {[]string{"+a3", "+a1", "ok a3"}, "a3 a1<a3 a1"},
		"an older message starts before the retry of a newer one":   {[]string{"+a3", "+a1", "retry a3", "+a3", "ok a1"}, "a3 a1<a3 a1 a3"},
		"two older messages wait for a newer started one":           {[]string{"+a5", "+a3", "+a1", "ok a5", "ok a1"}, "a5 a3<a5 a1<a5 a1 a3"},
		"a newer message does not overtake a started one":           {[]string{"+a1", "+a3", "ok a1"}, "a1 a3"},
		"an older message of another key starts":                    {[]string{"+a3", "+b1"}, "a3 b1"},
		"a redelivery that is older than the first queued is first": {[]string{"+a2", "+a4", "+a3", "ok a2", "ok a3"}, "a2 a3 a4"},
		"returned messages do not start":                            {[]string{"+a1", "+a2", "return", "ok a1"}, "a1"},
		"a retried message is returned too":                         {[]string{"+a1", "+a2", "retry a1", "return", "+a2"}, "a1 a2"},
		"returned messages may be delivered again":                  {[]string{"+a1", "+a2", "return", "+a2", "ok a1"}, "a1 a2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := newQueueEnv(t).do(c.commands...); got != c.started {
				t.Errorf("started %s, want %s", got, c.started)
			}
		})
	}
}

// TestKeyQueuesHoldBackGroups: keys a to d are of the group G, x to z of the group H.
func TestKeyQueuesHoldBackGroups(t *testing.T) {
	t.Parallel()
	groups := map[string]string{"a": "G", "b": "G", "c": "G", "d": "G", "x": "H", "y": "H", "z": "H"}
	for name, c := range map[string]struct {
		free     map[string]int
		commands []string
		started  string
	}{
		"a group that is held back lets others pass":      {map[string]int{"G": 1}, []string{"+a1", "+b2", "+x3", "+c4", "+y5"}, "a1 x3 y5"},
		"a permit starts the key that came first":         {map[string]int{"G": 0}, []string{"+a1", "+b2", "+c3", "permit G", "permit G"}, "a1 b2"},
		"a permit may come before the message":            {map[string]int{"G": 0}, []string{"permit G", "+a1", "+b2"}, "a1"},
		"a key keeps its order while it is held back":     {map[string]int{"G": 0}, []string{"+a3", "+a1", "permit G", "permit G", "ok a1"}, "a1 a3"},
		"a key's next needs a permit too":                 {map[string]int{"G": 1}, []string{"+a1", "+a2", "ok a1", "permit G"}, "a1 a2"},
		"a key's next starts behind the keys that wait":   {map[string]int{"G": 1}, []string{"+a1", "+a2", "+b3", "ok a1", "permit G", "permit G"}, "a1 b3 a2"},
		"each group has its own permits":                  {map[string]int{"G": 0, "H": 0}, []string{"+a1", "+x2", "permit H", "permit G"}, "x2 a1"},
		"what was returned takes no permit":               {map[string]int{"G": 0}, []string{"+a1", "+b2", "return", "permit G", "+c3", "+d4"}, "c3"},
		"a retried message needs a permit again":          {map[string]int{"G": 1}, []string{"+a1", "retry a1", "+a1", "permit G"}, "a1 a1"},
		"an unlimited group is never held back":           {map[string]int{"G": 0}, []string{"+k1", "+a2", "+l3"}, "k1 l3"},
		"a group whose turn has come goes behind another": {map[string]int{"G": 0, "H": 0}, []string{"+a1", "+b2", "+x3", "permit G", "permit H", "permit G"}, "a1 x3 b2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newQueueEnv(t)
			env.groupOf, env.free = groups, c.free
			if got := env.do(c.commands...); got != c.started {
				t.Errorf("started %s, want %s", got, c.started)
			}
		})
	}
}

// TestKeyQueuesGiveGroupsTurns: a group with many keys does not go before one with few.
func TestKeyQueuesGiveGroupsTurns(t *testing.T) {
	t.Parallel()
	env := newQueueEnv(t)
	for name, group := range map[string]string{"a1": "G", "x4": "H"} {
		env.queues.add(env.delivery(name), group, 100)
	}
	for _, name := range []string{"b2", "c3"} {
		env.queues.add(env.delivery(name), "G", 100)
	}
	var order []string
	for p, ok := env.queues.next(); ok; p, ok = env.queues.next() {
		order = append(order, nameOf(p))
	}
	if got := strings.Join(order, " "); got != "a1 x4 b2 c3" && got != "x4 a1 b2 c3" {
		t.Errorf("the turns are %s", got)
	}
}

// TestKeyQueuesTellWhatIsHeldBack: keys a to d are of the group G, x to z of the group H, k of
// none.
func TestKeyQueuesTellWhatIsHeldBack(t *testing.T) {
	t.Parallel()
	groups := map[string]string{"a": "G", "b": "G", "c": "G", "d": "G", "x": "H", "y": "H", "z": "H"}
	for name, c := range map[string]struct {
		free     map[string]int
		commands []string
		held     string
		after    []string // then all that is held back is set aside, and this happens
		started  string   // by then
	}{
		"nothing":                              {commands: []string{"+a1", "+x2"}},
		"keys in the order of the stream":      {free: map[string]int{"G": 0}, commands: []string{"+b3", "+a1", "+a4", "+x2"}, held: "a1 b3 a4"},
		"none of a key that is at work":        {free: map[string]int{"G": 1}, commands: []string{"+a1", "+a2", "+b3", "+b4"}, held: "b3 b4"},
		"up to one that was nacked":            {free: map[string]int{"G": 1}, commands: []string{"+a3", "retry a3", "+a1", "+a2"}, held: "a1 a2"},
		"none behind one that was nacked":      {free: map[string]int{"G": 1}, commands: []string{"+a1", "+a2", "retry a1", "+b3"}, held: "b3"},
		"a group whose turn has come is not":   {free: map[string]int{"G": 0, "H": 0}, commands: []string{"+a1", "+x2", "permit G"}, held: "x2"},
		"what comes later is held back too":    {free: map[string]int{"G": 0}, commands: []string{"+a1", "+b2"}, held: "a1 b2", after: []string{"ok a1", "+a3", "+c4", "permit G"}, started: "a3"},
		"a key goes on when it was set aside":  {free: map[string]int{"G": 0}, commands: []string{"+a1"}, held: "a1", after: []string{"+a2", "permit G", "ok a1"}, started: "a2"},
		"one that could not be comes back":     {free: map[string]int{"G": 0}, commands: []string{"+a1"}, held: "a1", after: []string{"retry a1", "+a1", "permit G"}, started: "a1"},
		"a permit that comes to nothing stays": {free: map[string]int{"G": 0}, commands: []string{"+a1"}, held: "a1", after: []string{"permit G", "ok a1", "+b2"}, started: "b2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newQueueEnv(t)
			env.groupOf, env.free = groups, c.free
			env.do(c.commands...)
			var held []string
			for g, messages := range env.queues.heldBack() {
				for _, p := range messages {
					held = append(held, nameOf(p))
				}
				env.queues.setAside(g, messages)
			}
			if got := strings.Join(held, " "); got != c.held {
				t.Errorf("held back: %s, want %s", got, c.held)
			}
			if got := env.do(c.after...); got != c.started {
				t.Errorf("started %s, want %s", got, c.started)
			}
		})
	}
}

func TestKeyQueuesCountWhatIsPending(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		commands                        []string
		messages, bytes, started, keys  int
		overdueInOneMinute, overdueInAn int // hour
	}{
		"nothing":                    {},
		"delivered":                  {commands: []string{"+a1", "+a2", "+b3"}, messages: 3, bytes: 300, started: 2, keys: 2},
		"redelivered while started":  {commands: []string{"+a1", "+a1"}, messages: 1, bytes: 100, started: 1, keys: 1},
		"redelivered while queued":   {commands: []string{"+a1", "+a2", "+a2"}, messages: 2, bytes: 200, started: 1, keys: 1},
		"acked":                      {commands: []string{"+a1", "ok a1"}},
		"awaiting redelivery":        {commands: []string{"+a1", "+b2", "retry a1"}, messages: 2, bytes: 100, started: 1, keys: 2, overdueInAn: 1},
		"redelivered":                {commands: []string{"+a1", "retry a1", "+a1"}, messages: 1, bytes: 100, started: 1, keys: 1},
		"returned":                   {commands: []string{"+a1", "+a2", "+b3", "retry b3", "return"}, messages: 1, bytes: 100, started: 1, keys: 1},
		"returned, and the rest ack": {commands: []string{"+a1", "+a2", "return", "ok a1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newQueueEnv(t)
			env.do(c.commands...)
			q := env.queues
			if len(q.bySequence) != c.messages || q.bytes != c.bytes || q.started != c.started || len(q.byKey) != c.keys {
				t.Errorf("%d messages of %d bytes in %d keys, %d started", len(q.bySequence), q.bytes, len(q.byKey), q.started)
			}
			if n := q.overdue(env.now.Add(time.Minute)); n != c.overdueInOneMinute {
				t.Errorf("%d are overdue at their time", n)
			}
			if n := q.overdue(env.now.Add(time.Hour)); n != c.overdueInAn {
				t.Errorf("%d are overdue an hour later", n)
			}
		})
	}
}

func TestKeyQueuesAckTheLastDeliveryOfAStartedMessage(t *testing.T) {
	t.Parallel()
	env := newQueueEnv(t)
	env.do("+a1")
	again := env.delivery("a1")
	again.replyTo = "second"
	p, _ := env.queues.add(again, "", 100)
	if p.state != started || p.delivery.replyTo != "second" {
		t.Errorf("state %d, acknowledged at %s", p.state, p.delivery.replyTo)
	}
}

func TestKeyQueuesDropTheContentsOfARetriedMessage(t *testing.T) {
	t.Parallel()
	env := newQueueEnv(t)
	env.do("+a1", "retry a1")
	if p := env.pending("a1"); p.delivery.Data != nil || p.delivery.Header != nil {
		t.Error("the contents stay in memory")
	}
	env.do("+a1")
	if p := env.pending("a1"); p.delivery.Data == nil {
		t.Error("the redelivery brings no contents")
	}
}
