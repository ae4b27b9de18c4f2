package bus

import (
	"cmp"
	"context"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/internal/lease"
)

// owner hands out the messages of a consumer with a pinned client: those of a subject one at a time
// and in the order of the stream, others side by side.
//
// The server gives all messages to one subscriber, until that stays away or gives the consumer back
// (NATS ADR-42). What one had not settled by then comes to the next late, behind messages that it
// belongs before. So each begins with a proof: while the server has more messages out than lie
// here, somebody else may be at work on one of them, and nothing is handed out. From then on the
// server's numbers of the deliveries follow each other. Where one is missing somebody else has it,
// and the proof is asked for again. Whoever may have lost the consumer gives all back that is not
// handed out, so that the next one has its proof.
//
// Only the goroutine of work tells the server of a message, so what it holds is out as far as it
// depends on this process.
type owner struct {
	*subscription
	term       int    // counts the times that a pull began
	reconnects uint64 // of the connection, when it did
	pin        string // of the last term, while it may still be ours
	last       uint64 // number of the last delivery
	alone      bool   // proved
	missing    int    // how many messages lay elsewhere when the proof was asked for last
	ask        time.Time
	held       map[uint64]*held   // by sequence: delivered, and not settled
	lanes      map[string][]*held // by subject, in the order of the stream
	ready      []string           // subjects whose first may be handed out
	bytes      int                // of those held
	bytesAsked int                // of those held when more were asked for
	out        int                // handed out, whatever the term
	ended      chan ending
	asked      time.Duration // when messages were asked for last, by lease.Now
	heartbeats *heartbeats
}

// held is a message that was delivered and is not settled.
type held struct {
	d     Delivery
	size  int // that it has here
	state heldState
	// Of its last delivery: the term, and the connection's number of reconnects when that began.
	term       int
	reconnects uint64
	lease      *lease.Lease
	due        time.Time // when it comes back
}

type heldState int

const (
	waiting   heldState = iota // for its turn
	handedOut                  // to a handler
	comesBack                  // nacked: it holds up its lane until the server delivers it again
)

// ending is what a handler did with a message.
type ending struct {
	*held
	verdict
}

const (
	// inFlight is how many messages of an owned consumer may be out at once.
	inFlight = 64
	// ownedBytes is how many bytes of messages an owner asks for. It may hold more only of what
	// others left behind, and of a message that is larger.
	ownedBytes = 4 << 20
	// proofPause is how long an owner that is not alone waits before it asks again.
	proofPause = 50 * time.Millisecond
)

func newOwner(s *subscription) *owner {
	return &owner{subscription: s, held: map[uint64]*held{}, lanes: map[string][]*held{}, ended: make(chan ending, inFlight)}
}

// work owns the consumer whenever it can, until ctx ends.
func (o *owner) work(ctx context.Context) {
	o.heartbeats = newHeartbeats(o.JS.Conn(), o.ackWait)
	defer o.heartbeats.stop()
	for ctx.Err() == nil {
		if err := o.serve(ctx); err != nil {
			o.endLeases()
			o.complain("pulling again", err)
			recovered := make(chan struct{})
			go func() { defer close(recovered); o.recover(ctx) }()
			o.attend(recovered)
			o.release() // which a lost connection did not let through
		}
	}
	o.attend(nil)
}

// attend takes care of what is handed out until done, or while there is any.
func (o *owner) attend(done <-chan struct{}) {
	defer o.handBack() // what was nacked meanwhile
	for done != nil || o.out > 0 {
		select {
		case <-done:
			return
		case e := <-o.ended:
			o.endAll(e)
		case <-o.heartbeats.due.C:
			o.heartbeat()
		case m := <-o.heartbeats.confirmed:
			o.heartbeats.confirm(m)
		}
	}
}

// serve pulls until something fails, which is the error, or until ctx ends or it is another's turn.
func (o *owner) serve(ctx context.Context) error {
	p, err := newPuller(o.JS, o.stream, o.consumer)
	if err != nil {
		return err
	}
	o.term++
	o.reconnects = o.connection().reconnects
	defer func() {
		for _, m := range p.close() {
			o.take(m)
		}
		o.handBack()
		o.pin = cmp.Or(p.request.ID, o.pin)
		o.release()
	}()

	// by chance, so that the consumers of a service spread over its replicas by and by
	turnOver := time.NewTicker(o.RebalanceInterval + rand.N(o.RebalanceInterval))
	defer turnOver.Stop()
	for leaving := false; !leaving || o.out > 0; {
		if !leaving {
			if err := o.handOut(ctx); err != nil {
				return err
			}
			if err := o.request(p); err != nil {
				return err
			}
		}
		var ask <-chan time.Time
		if !o.alone && len(o.ready) > 0 {
			ask = time.After(proofPause)
		}
		select {
		case m := <-p.arrived:
			if err := o.takeAll(p, m); err != nil {
				return err
			}
		case <-p.beat.C:
			if p.silent() {
				return errSilent
			}
		case e := <-o.ended:
			o.endAll(e)
		case <-ask:
		case m := <-o.heartbeats.confirmed:
			o.heartbeats.confirm(m)
		case <-o.heartbeats.due.C:
			o.heartbeat()
			// taken out of the stream, or another has it: whoever begins anew finds out
			if o.overdue(2*o.ackWait) > 0 {
				return errAway
			}
		case <-turnOver.C:
			leaving = leaving || o.alone && o.othersWait(ctx, p)
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// request asks for what fits beside what lies here, once there is nothing left of the request
// before. What was refused for its size is asked for again when there is more room. What the proof
// or a lane waits for must come whatever its size. Each request keeps the pin, so there is one in
// time even where nothing fits.
func (o *owner) request(p *puller) error {
	if p.left > 0 {
		return nil
	}
	batch, bytes := standing, max(ownedBytes-o.bytes, 1)
	switch {
	case !p.refused || 0 < o.bytes && o.bytes < o.bytesAsked:
	case o.bytes == 0: // it alone is larger
		batch, bytes = 1, 0
	case time.Since(p.asked) < p.request.Expires:
		return nil
	default:
		due := o.overdue(0)
		if !o.alone {
			due = max(due, o.missing)
		}
		if due > 0 {
			batch, bytes = due, 0
		}
	}
	o.bytesAsked, o.asked = o.bytes, lease.Now()
	return p.ask(batch, bytes)
}

// together gives what was received and what lies behind it by now: to work on it together costs
// less than one by one.
func together[T any](first T, behind <-chan T) iter.Seq[T] {
	return func(yield func(T) bool) {
		more := len(behind)
		for ok := yield(first); ok && more > 0; more-- {
			ok = yield(<-behind)
		}
	}
}

// takeAll takes what has arrived.
func (o *owner) takeAll(p *puller, first *nats.Msg) error {
	for m := range together(first, p.arrived) {
		stored, err := p.read(m)
		if err != nil {
			return err
		}
		if stored {
			o.take(m)
		}
	}
	return nil
}

// take puts a message in its place.
func (o *owner) take(m *nats.Msg) {
	d, err := deliveryOf(m)
	if err != nil { // the server sends none such; it could not be settled
		o.log.Error("a message without JetStream's metadata", "subject", m.Subject, "error", err)
		return
	}
	o.alone = o.alone && d.number == o.last+1
	o.last = d.number
	h, known := o.held[d.Sequence]
	if !known {
		h = &held{d: d}
		o.insert(h)
	}
	if h.state == handedOut { // that goes on; its acknowledgement serves this delivery too
		h.d.reply = d.reply
	} else {
		o.bytes += m.Size() - h.size
		h.d, h.size, h.state = d, m.Size(), waiting
	}
	if h.state == waiting || h.lease.Err() != nil { // a lease that the handler has lost stays lost
		// It may have lain in a buffer while this process was paused: nothing but the request for
		// it is surely older.
		h.lease = lease.New(o.ackWait, o.asked)
	}
	h.term, h.reconnects = o.term, o.reconnects
	o.ready = append(o.ready, d.Subject)
}

func (o *owner) insert(h *held) {
	o.held[h.d.Sequence] = h
	lane := o.lanes[h.d.Subject]
	at, _ := slices.BinarySearchFunc(lane, h, func(a, b *held) int { return cmp.Compare(a.d.Sequence, b.d.Sequence) })
	o.lanes[h.d.Subject] = slices.Insert(lane, at, h)
}

// handOut starts what is ready, if nobody else is at work.
func (o *owner) handOut(ctx context.Context) error {
	if len(o.ready) == 0 || !o.prove(ctx) {
		return nil
	}
	for _, subject := range o.ready {
		lane := o.lanes[subject]
		if len(lane) == 0 || lane[0].state != waiting {
			continue
		}
		h := lane[0]
		if !o.surelyHere(h, o.connection()) {
			return errAway
		}
		h.state, h.d.lease = handedOut, h.lease
		o.out++
		go o.run(ctx, h)
	}
	o.ready = o.ready[:0]
	return nil
}

// run hands a message out, until its handler has ended.
func (o *owner) run(ctx context.Context, h *held) { o.ended <- ending{h, o.deliver(ctx, h.d, nil)} }

// prove reports whether every message that the server has out lies here. What does not surely lie
// only here does not count: what was delivered in an earlier term, since a server that was
// restarted may have forgotten it; what comes back; and what another has settled.
func (o *owner) prove(ctx context.Context) bool {
	if o.alone || time.Now().Before(o.ask) {
		return o.alone
	}
	o.ask = time.Now().Add(proofPause)
	info, err := o.info(ctx)
	if err != nil {
		return false
	}
	unproved := info.NumAckPending
	o.missing = unproved
	for _, h := range o.held {
		if h.state == comesBack || h.d.Sequence <= info.AckFloor.Stream {
			continue
		}
		o.missing--
		if h.term == o.term {
			unproved--
		}
	}
	o.alone = unproved <= 0
	return o.alone
}

// othersWait reports whether the server has requests that are not ours.
func (o *owner) othersWait(ctx context.Context, p *puller) bool {
	info, err := o.info(ctx)
	return err == nil && info.NumWaiting > min(p.left, 1)
}

func (o *owner) info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*pullBeat)
	defer cancel()
	c, err := o.JS.Consumer(ctx, o.stream, o.consumer.Durable)
	if err != nil {
		return nil, err
	}
	return c.CachedInfo(), nil
}

// endAll settles what has ended.
func (o *owner) endAll(first ending) {
	connection := o.connection()
	for e := range together(first, o.ended) {
		o.end(e, connection)
	}
}

// end settles a message. One that may be on its way to another subscriber, or once more to this
// one, is not acknowledged but asked for again, and its handler finds it done: an acknowledgement
// that crosses a delivery leaves the receiver with a message that the server does not count any
// longer, and a proof that one message too few lies elsewhere.
func (o *owner) end(e ending, c connection) {
	o.out--
	if e.settlement == acked && !o.surelyHere(e.held, c) {
		e.verdict = verdict{nacked, 0}
	}
	o.settle(e.d, e.verdict)
	if e.settlement != nacked || e.term != o.term {
		o.forget(e.held)
		return
	}
	o.bytes -= e.size
	e.size, e.d.Header, e.d.Data = 0, nil, nil
	e.state, e.due = comesBack, time.Now().Add(e.delay)
}

// connection is the state of the connection to the server.
type connection struct {
	up         bool
	reconnects uint64
}

func (o *owner) connection() connection {
	conn := o.JS.Conn()
	return connection{conn.IsConnected(), conn.Stats().Reconnects}
}

// surelyHere reports whether the server that delivered a message has heard ever since that somebody
// is at work on it.
func (o *owner) surelyHere(h *held, c connection) bool {
	return c.up && c.reconnects == h.reconnects && h.lease.Left() > 0
}

// forget takes a message out of its place. What is behind it may be handed out.
func (o *owner) forget(h *held) {
	delete(o.held, h.d.Sequence)
	o.bytes -= h.size
	lane := slices.DeleteFunc(o.lanes[h.d.Subject], func(other *held) bool { return other == h })
	if o.lanes[h.d.Subject] = lane; len(lane) == 0 {
		delete(o.lanes, h.d.Subject)
	}
	o.ready = append(o.ready, h.d.Subject)
}

// handBack lets go of all but what is handed out. What was nacked with a delay comes at once too:
// the next owner begins when it has all.
func (o *owner) handBack() {
	o.alone = false
	for _, h := range o.held {
		if h.state == handedOut {
			continue
		}
		if h.state == waiting || time.Until(h.due) > 0 {
			o.tell(h.d, nak)
		}
		o.forget(h)
	}
	o.ready = nil
}

// heartbeat keeps what lies here from being given to another.
func (o *owner) heartbeat() {
	var list []*held
	for _, h := range o.held {
		if h.state != comesBack {
			list = append(list, h)
		}
	}
	if err := o.heartbeats.send(list); err != nil {
		o.log.Warn("no heartbeat could be sent; the messages will come again", "error", err)
	}
}

// endLeases ends the leases of all that is handed out. A server that was restarted, or whose
// leader was replaced, may have forgotten its deliveries and give the messages to another at
// once.
func (o *owner) endLeases() {
	for _, h := range o.held {
		if h.state == handedOut {
			h.d.lease.End()
		}
	}
}

// overdue counts what should have come back so long ago.
func (o *owner) overdue(since time.Duration) (n int) {
	for _, h := range o.held {
		if h.state == comesBack && time.Since(h.due) > since {
			n++
		}
	}
	return n
}

// release gives the consumer to another at once, instead of after PinnedTTL, unless another has it
// already.
func (o *owner) release() {
	if o.pin == "" || !o.JS.Conn().IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*pullBeat)
	defer cancel()
	info, err := o.info(ctx)
	if err == nil && slices.ContainsFunc(info.PriorityGroups, func(g jetstream.PriorityGroupState) bool { return g.PinnedClientID == o.pin }) {
		var stream jetstream.Stream
		if stream, err = o.JS.Stream(ctx, o.stream); err == nil {
			err = stream.UnpinConsumer(ctx, o.consumer.Durable, ownerGroup)
		}
	}
	if err != nil {
		o.log.Debug("the consumer could not be given back; it is after PinnedTTL", "error", err)
		return
	}
	o.pin = ""
}
