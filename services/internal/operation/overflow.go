package operation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
)

// The overflow of a tenant in a lane is where its commands wait, whatever their keys, that would
// fill a partition's window while they are held back. It is a queue in PARKED, of runs: each refers
// to up to maxRun commands. One wake-up has all of it worked off.
//
// As long as there is an overflow, the tenant's newer commands of the lane join it, so each key
// keeps its order. A command that cannot go on at once is parked by its key, as any other.

const (
	// maxRun is how many commands a run has at most, and maxRunBytes about how large it is.
	maxRun      = 64
	maxRunBytes = 256 << 10
	// wakeUpGrid spaces the wake-ups of an overflow that grows. A wake-up that is scheduled anew
	// for the same time is not put off.
	wakeUpGrid = 250 * time.Millisecond
	// permitRetry is when an overflow that has got no permit for ParkAfter comes back.
	permitRetry = time.Second
)

// commandRun refers to commands that wait in an overflow, in the order of their stream.
type commandRun struct {
	Commands []runCommand `json:"commands"`
}

// runCommand refers to one command.
type runCommand struct {
	Sequence uint64 `json:"sequence"`
	// StoredAt is when COMMANDS stored it, in nanoseconds. It is compared before the command is
	// carried out: a stream that was restored or made again holds another command under the
	// sequence, from another time.
	StoredAt int64  `json:"storedAt"`
	Key      string `json:"key"`
	Type     string `json:"type"`
	// OperationID tells whether a command that is gone has its outcome: one with a secret is
	// removed after that. "" if it cannot be read.
	OperationID string `json:"operationId,omitempty"`
}

func runCommandOf(d bus.Delivery, address topology.Address) runCommand {
	c := runCommand{Sequence: d.Sequence, StoredAt: d.StoredAt.UnixNano(), Key: address.Key, Type: typeOf(d)}
	if command, err := event.Decode(d.Header, d.Data); err == nil {
		c.OperationID = event.OperationOf(address.Tenant, command)
	}
	return c
}

// parkedRun is a run as PARKED holds it.
type parkedRun struct {
	commandRun
	sequence uint64    // in PARKED
	parkedAt time.Time // when it was stored there
	invalid  []byte    // the message, if it is no run; else nil
}

// overflows is when this process added to each overflow last.
type overflows struct {
	mu      sync.Mutex
	addedAt map[topology.Address]time.Time
}

// wakeUpAt is when an overflow that has just grown is to be woken: at once, or if that was done
// before, at the next time of the grid.
func (o *overflows) wakeUpAt(a topology.Address, now time.Time) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	last, known := o.addedAt[a]
	if len(o.addedAt) > 1000 {
		clear(o.addedAt)
	}
	o.addedAt[a] = now
	if !known || now.Sub(last) > wakeUpGrid {
		return now
	}
	return now.Truncate(wakeUpGrid).Add(wakeUpGrid)
}

// setAside adds commands to the overflows of their tenants and lanes.
func (p *parking) setAside(ctx context.Context, messages []bus.Delivery) error {
	byOverflow := map[topology.Address][]runCommand{}
	for _, d := range messages {
		address, ok := topology.ParseCommandSubject(d.Subject)
		if !ok {
			return fmt.Errorf("subject %s is not one of a stored command", d.Subject)
		}
		o := address.Overflow()
		byOverflow[o] = append(byOverflow[o], runCommandOf(d, address))
	}
	for o, commands := range byOverflow {
		if err := p.overflow(ctx, o, commands); err != nil {
			return err
		}
	}
	return nil
}

// overflow adds commands to an overflow, and has it woken. To add them twice does no harm: the
// second time they are taken up, their records have their outcomes.
func (p *parking) overflow(ctx context.Context, o topology.Address, commands []runCommand) error {
	for _, part := range split(commands) {
		raw, err := json.Marshal(commandRun{part})
		if err != nil {
			return err
		}
		p.failpoints.Reach(failpoint.Park)
		if _, err := p.js.Publish(ctx, topology.ParkedSubject(o), raw); err != nil {
			return fmt.Errorf("set %d commands aside: %w", len(part), err)
		}
		p.failpoints.Reach(failpoint.Parked)
	}
	return p.scheduleWakeUp(ctx, o, p.overflows.wakeUpAt(o, p.now()))
}

// split makes runs of commands.
func split(commands []runCommand) (runs [][]runCommand) {
	bytes := 0
	for _, c := range commands {
		bytes += len(c.Key) + len(c.Type)
		if last := len(runs) - 1; last >= 0 && len(runs[last]) < maxRun && bytes <= maxRunBytes {
			runs[last] = append(runs[last], c)
			continue
		}
		runs = append(runs, []runCommand{c})
		bytes = len(c.Key) + len(c.Type)
	}
	return runs
}

// firstRun reads the oldest run of an overflow.
func (p *parking) firstRun(ctx context.Context, o topology.Address) (r parkedRun, found bool, err error) {
	return p.nextRun(ctx, o, 1)
}

// nextRun reads the oldest run of an overflow from a sequence of PARKED on.
func (p *parking) nextRun(ctx context.Context, o topology.Address, from uint64) (r parkedRun, found bool, err error) {
	msg, err := p.first(ctx, o, from)
	if err != nil || msg == nil {
		return r, false, err
	}
	r.sequence, r.parkedAt = msg.Sequence, msg.Time
	if json.Unmarshal(msg.Data, &r.commandRun) != nil || len(r.Commands) == 0 {
		r.invalid = slices.Clone(msg.Data)
	}
	return r, true, nil
}

// firstRuns reads the oldest runs of an overflow, up to maxRun commands or so.
func (p *parking) firstRuns(ctx context.Context, o topology.Address) (runs []parkedRun, err error) {
	from, commands := uint64(1), 0
	for commands < maxRun {
		r, found, err := p.nextRun(ctx, o, from)
		if err != nil || !found {
			return runs, err
		}
		runs = append(runs, r)
		from, commands = r.sequence+1, commands+len(r.Commands)
	}
	return runs, nil
}

// joinOverflow sets a command aside that was started although older ones of its tenant wait there.
func (e *Engine) joinOverflow(ctx context.Context, t *task) error {
	a := t.attempt
	return e.parking.overflow(ctx, a.address.Overflow(), []runCommand{runCommandOf(t.command, a.address)})
}

// onOverflow works off an overflow when it is woken. Detached calls are waited for beyond that.
func (e *Engine) onOverflow(ctx context.Context, o topology.Address, wakeUp bus.Delivery, ack func()) error {
	var calls sync.WaitGroup
	if err := e.drainOverflow(ctx, o, wakeUp, &calls); err != nil {
		e.background.Go(calls.Wait)
		return err
	}
	ack()
	calls.Wait()
	return nil
}

// drainOverflow takes the commands of an overflow through the pipeline, some runs at a time, until
// none is left. After ParkAfter it is scheduled anew, so that the partition can be given to another
// replica.
func (e *Engine) drainOverflow(ctx context.Context, o topology.Address, wakeUp bus.Delivery, calls *sync.WaitGroup) error {
	for began := time.Now(); ; {
		runs, err := e.parking.firstRuns(ctx, o)
		if err != nil || len(runs) == 0 {
			return err
		}
		var commands []runCommand
		for _, r := range runs {
			commands = append(commands, r.Commands...)
			if r.invalid == nil {
				continue
			}
			err := e.deadLetter(ctx, deadLetter{reason: Unreadable, detail: "it waits in an overflow, and refers to no commands"},
				bus.Delivery{Stream: topology.StreamParked, Sequence: r.sequence, Subject: topology.ParkedSubject(o), Data: r.invalid})
			if err != nil {
				return err
			}
		}
		if err := newDrain(e, o, commands, wakeUp, calls).run(ctx); err != nil {
			return err
		}
		for _, r := range runs {
			if err := e.parking.removeSequence(ctx, r.sequence); err != nil {
				return err
			}
		}
		if time.Since(began) > e.cfg.ParkAfter {
			return e.parking.scheduleWakeUp(ctx, o, e.Now())
		}
	}
}

// drain works off some commands: those of a key one after another, different keys at the same time.
type drain struct {
	engine   *Engine
	overflow topology.Address
	wakeUp   bus.Delivery
	calls    *sync.WaitGroup

	ready   []runCommand            // the first of its key each
	behind  map[string][]runCommand // the others, by key
	ended   chan drained
	permits *bus.PermitQueue
}

// drained is what became of a command.
type drained struct {
	command runCommand
	err     error
}

func newDrain(e *Engine, o topology.Address, commands []runCommand, wakeUp bus.Delivery, calls *sync.WaitGroup) *drain {
	d := &drain{engine: e, overflow: o, wakeUp: wakeUp, calls: calls, behind: map[string][]runCommand{}, ended: make(chan drained, len(commands)), permits: bus.NewPermitQueue()}
	seen := map[string]bool{}
	for _, c := range commands {
		if seen[c.Key] {
			d.behind[c.Key] = append(d.behind[c.Key], c)
			continue
		}
		seen[c.Key] = true
		d.ready = append(d.ready, c)
	}
	return d
}

// errNoPermit is the error that an overflow has got no permit for a while. It comes back soon.
var errNoPermit = &redeliverAfter{permitRetry}

// run returns when each command is finished, or parked by its key. It asks for one permit at a
// time, so the overflows of a tenant take turns with its partitions.
func (d *drain) run(ctx context.Context) error {
	defer d.withdraw()
	var failed error
	underWay, asked := 0, false
	permitTimeout := time.NewTimer(d.engine.cfg.ParkAfter)
	defer permitTimeout.Stop()
	for underWay > 0 || failed == nil && len(d.ready) > 0 {
		if failed == nil && len(d.ready) > 0 && !asked {
			permit, ok := d.engine.budgets.Admit(d.group(), d.permits)
			if ok {
				d.start(ctx, permit)
				underWay++
				continue
			}
			asked = true
			permitTimeout.Reset(d.engine.cfg.ParkAfter)
		}
		select {
		case <-d.permits.Arrived():
			for _, permit := range d.permits.Take() {
				if asked = false; failed != nil {
					permit.Release()
					continue
				}
				d.start(ctx, permit)
				underWay++
			}
		case end := <-d.ended:
			underWay--
			failed = errors.Join(failed, end.err)
			if behind := d.behind[end.command.Key]; len(behind) > 0 {
				d.ready, d.behind[end.command.Key] = append(d.ready, behind[0]), behind[1:]
			}
		case <-permitTimeout.C:
			if asked && failed == nil {
				failed = errNoPermit
			}
		case <-d.engine.stopping.Done():
			if failed == nil {
				failed = &redeliverAfter{}
			}
			if underWay > 0 {
				failed = errors.Join(failed, (<-d.ended).err)
				underWay--
			}
		}
	}
	return failed
}

// group is that of the command that is next.
func (d *drain) group() string {
	handler, known := d.engine.cfg.Handlers[d.ready[0].Type]
	if !known {
		return ""
	}
	return groupOf(d.overflow.Tenant, handler.Vendor)
}

func (d *drain) withdraw() {
	d.engine.budgets.Withdraw(d.permits)
	for _, permit := range d.permits.Take() {
		permit.Release()
	}
}

// start takes the next command through the pipeline. A call that is detached has parked its
// command: the drain goes on, and the call does so beside it.
func (d *drain) start(ctx context.Context, permit bus.Permit) {
	c := d.ready[0]
	d.ready = d.ready[1:]
	var once sync.Once
	end := func(err error) { once.Do(func() { d.ended <- drained{c, err} }) }
	d.calls.Go(func() {
		defer permit.Release()
		end(d.carryOut(ctx, c, permit, func() { end(nil) }))
	})
}

// carryOut reads a command and takes it through the pipeline. A command that ends with an error
// waits on its key from then on: in the overflow it would hold up all of its tenant's.
func (d *drain) carryOut(ctx context.Context, c runCommand, permit bus.Permit, detached func()) error {
	e := d.engine
	command, err := e.parking.readCommand(ctx, parkedCommand{Sequence: c.Sequence})
	if err != nil {
		return err
	}
	if hasOutcome, err := d.hasOutcome(c, command); err != nil || hasOutcome {
		return err
	}
	if lost := d.lost(c, command); lost != nil {
		address := d.overflow
		address.Key = c.Key
		return e.deadLetter(ctx, *lost, bus.Delivery{Stream: topology.StreamCommands, Sequence: c.Sequence, Subject: topology.PublishedSubject(address)})
	}
	err = d.process(ctx, task{
		queue: commandQueue{e.parking}, command: command, wasSetAside: true,
		deliveries: 1, // those of the key's wake-up count, if it comes to that
		lease:      d.wakeUp.Lease(), ack: detached, releasePermit: permit.Release,
	})
	if err == nil || ctx.Err() != nil || e.stopping.Err() != nil {
		return err
	}
	return d.parkOnKey(ctx, c, command, err)
}

// process takes a command through the pipeline. A panic in the engine is an error: no router
// recovers the goroutines of a drain. Its value may quote a secret, so the error has its type.
func (d *drain) process(ctx context.Context, t task) (err error) {
	defer func() {
		if value := recover(); value != nil {
			d.engine.cfg.Log.Error("a command in an overflow panicked", "sequence", t.command.Sequence, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %T", value)
		}
	}()
	_, err = d.engine.process(ctx, t)
	return err
}

// parkOnKey parks a command on its key after an error. The wake-up of the key meets the error
// again, and holds up that key alone.
func (d *drain) parkOnKey(ctx context.Context, c runCommand, command bus.Delivery, why error) error {
	e := d.engine
	at := e.Now()
	if r, ok := errors.AsType[*redeliverAfter](why); ok {
		at = at.Add(r.delay)
	} else {
		e.cfg.Log.Warn("a command in an overflow waits on its key now", "sequence", c.Sequence, "type", c.Type, "error", why)
	}
	attempt, err := e.decode(command)
	if err == nil {
		err = commandQueue{e.parking}.Postpone(ctx, &task{attempt: attempt}, at)
	}
	if err != nil {
		return errors.Join(why, err)
	}
	return nil
}

// hasOutcome reports whether a command that is gone was removed because its operation has its
// outcome.
func (d *drain) hasOutcome(c runCommand, command bus.Delivery) (bool, error) {
	if command.Sequence > 0 || c.OperationID == "" {
		return false, nil
	}
	last, err := d.engine.records.lastOf(d.overflow.Tenant, d.engine.cfg.Domain, c.OperationID)
	if isRecordUnreadable(err) {
		return false, nil
	}
	return err == nil && last.state.Terminal(), err
}

// lost says why a command cannot be carried out any more; nil: it can.
func (d *drain) lost(c runCommand, command bus.Delivery) *deadLetter {
	address, _ := topology.ParseCommandSubject(command.Subject)
	same := command.StoredAt.UnixNano() == c.StoredAt && address.Key == c.Key && address.Overflow() == d.overflow
	switch {
	case d.engine.disabled(failpoint.References):
		return nil
	case command.Sequence == 0:
		return &deadLetter{reason: Expired, detail: "COMMANDS no longer holds the command that waits"}
	case !same:
		return &deadLetter{reason: ReferenceMismatch, detail: "COMMANDS holds another command where the one that waits should be: the stream was restored or made again"}
	default:
		return nil
	}
}
