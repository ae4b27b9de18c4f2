package bus

import (
	"slices"
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/internal/lease"
)

func TestFenceOpensWhenEveryUnacknowledgedMessageIsHere(t *testing.T) {
	t.Parallel()
	type message struct {
		sequence uint64
		state    pendingState
		earlier  bool // of an earlier epoch
	}
	for name, c := range map[string]struct {
		numAckPending int
		ackFloor      uint64
		messages      []message
		exclusive     bool
		elsewhere     int
	}{
		"nothing is unacknowledged":            {0, 9, nil, true, 0},
		"all are here":                         {2, 0, []message{{sequence: 1}, {sequence: 2}}, true, 0},
		"one is elsewhere":                     {2, 0, []message{{sequence: 2}}, false, 1},
		"started ones count":                   {2, 0, []message{{sequence: 1, state: started}, {sequence: 2}}, true, 0},
		"nacked ones do not count":             {2, 0, []message{{sequence: 1, state: awaitingRedelivery}, {sequence: 2}}, false, 1},
		"a nacked one is not unacknowledged":   {1, 0, []message{{sequence: 1, state: awaitingRedelivery}, {sequence: 2}}, true, 0},
		"those of an earlier epoch":            {2, 0, []message{{sequence: 1, state: started, earlier: true}, {sequence: 2}}, false, 0},
		"an earlier one, forgotten by server":  {1, 0, []message{{sequence: 1, state: started, earlier: true}, {sequence: 2}}, true, -1},
		"an earlier one, and one is elsewhere": {3, 0, []message{{sequence: 1, state: started, earlier: true}, {sequence: 2}}, false, 1},
		"somebody else acknowledged one":       {2, 1, []message{{sequence: 1}, {sequence: 2}}, false, 1},
		"at the ack floor, and all others":     {2, 1, []message{{sequence: 1}, {sequence: 2}, {sequence: 3}}, true, 0},
		"more are here than the server counts": {1, 0, []message{{sequence: 1}, {sequence: 2}}, true, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f fence
			f.begin(connection{up: true})
			earlier := f.epoch
			f.begin(connection{up: true})
			var messages []*pending
			for _, m := range c.messages {
				p := &pending{delivery: Delivery{Sequence: m.sequence}, state: m.state, epoch: f.epoch}
				if m.earlier {
					p.epoch = earlier
				}
				messages = append(messages, p)
			}
			f.checkExclusive(c.numAckPending, c.ackFloor, slices.Values(messages))
			if f.exclusive != c.exclusive || f.elsewhere != c.elsewhere {
				t.Errorf("exclusive %v with %d elsewhere, want %v with %d", f.exclusive, f.elsewhere, c.exclusive, c.elsewhere)
			}
		})
	}
}

func TestFenceClosesWhenTheServerMayHaveDeliveredElsewhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		then      func(*fence)
		exclusive bool
	}{
		"nothing happens":             {func(*fence) {}, true},
		"the next delivery":           {func(f *fence) { f.observe(8) }, true},
		"two deliveries in a row":     {func(f *fence) { f.observe(8); f.observe(9) }, true},
		"a gap":                       {func(f *fence) { f.observe(9) }, false},
		"a gap, and the next":         {func(f *fence) { f.observe(9); f.observe(10) }, false},
		"the numbers begin again":     {func(f *fence) { f.observe(1) }, false},
		"a new epoch":                 {func(f *fence) { f.begin(connection{up: true}) }, false},
		"messages are returned":       {func(f *fence) { f.close() }, false},
		"a gap, and a check succeeds": {func(f *fence) { f.observe(9); f.checkExclusive(0, 0, slices.Values([]*pending(nil))) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fence{exclusive: true, lastDelivery: 7}
			c.then(&f)
			if f.exclusive != c.exclusive {
				t.Errorf("exclusive: %v", f.exclusive)
			}
		})
	}
}

func TestFenceChecksAgainAfterAnInterval(t *testing.T) {
	t.Parallel()
	var f fence
	now := time.Now()
	if !f.checkDue(now) {
		t.Error("the first check is not due")
	}
	f.postponeCheck(now)
	if f.checkDue(now.Add(checkInterval - 1)) {
		t.Error("a check is due before the interval ends")
	}
	if !f.checkDue(now.Add(checkInterval)) {
		t.Error("no check is due when the interval ends")
	}
	f.exclusive = true
	if f.checkDue(now.Add(checkInterval)) {
		t.Error("a check is due although the process is exclusive")
	}
}

func TestFenceNeedsAConnectionThatDidNotDropAndALease(t *testing.T) {
	t.Parallel()
	const ttl = time.Hour
	for name, c := range map[string]struct {
		connection connection
		age        time.Duration // of the lease's last confirmed heartbeat
		valid      bool
	}{
		"all well":              {connection{true, 3}, 0, true},
		"connection is down":    {connection{false, 3}, 0, false},
		"connection was down":   {connection{true, 4}, 0, false},
		"within two thirds":     {connection{true, 3}, ttl*2/3 - time.Minute, true},
		"heartbeat is too old":  {connection{true, 3}, ttl*2/3 + time.Minute, false},
		"process was suspended": {connection{true, 3}, 24 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f fence
			f.begin(connection{up: true, reconnects: 3})
			p := &pending{epoch: f.epoch, lease: lease.New(ttl, lease.Now()-c.age)}
			if got := f.leaseValid(p, c.connection); got != c.valid {
				t.Errorf("valid: %v", got)
			}
		})
	}
}
