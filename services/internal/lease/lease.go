// Package lease is the right of one process to work on a command, for a limited time. It keeps a
// process whose lease has expired from writing at a vendor.
//
// The process renews its lease by heartbeats. Only a confirmed heartbeat counts, from the moment it
// was sent: an unconfirmed one may not have arrived. A paused process (SIGSTOP, a suspended
// machine) sends none and does not notice. A timer would be paused too, so [Check] compares clocks
// instead. Call it just before a request is sent.
package lease

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"
)

// ErrLost is the error that a lease has expired or ended. Another process may work on the command.
var ErrLost = errors.New("the lease is lost: another replica may be at work on the command")

// Lease is the lease of one command. Its methods are safe for concurrent use. A nil Lease is always
// valid.
type Lease struct {
	ttl       time.Duration
	valid     time.Duration
	confirmed atomic.Int64 // when the last confirmed heartbeat was sent, by Now
	ended     atomic.Bool
}

// New returns a lease that other processes respect for ttl after each heartbeat. It is valid for
// two thirds of ttl: the last third is for a request that was sent while it was valid. since is
// when the first heartbeat was sent, by [Now], or any moment before.
func New(ttl, since time.Duration) *Lease { return newLease(ttl, ttl*2/3, since) }

// Until returns a lease that is never renewed. It is valid for the whole ttl.
func Until(ttl, since time.Duration) *Lease { return newLease(ttl, ttl, since) }

func newLease(ttl, valid, since time.Duration) *Lease {
	l := &Lease{ttl: ttl, valid: valid}
	l.confirmed.Store(int64(since))
	return l
}

// Renew notes that a heartbeat was sent and confirmed at two moments, both by [Now]. A confirmation
// that comes a whole ttl after the heartbeat before it renews nothing: the lease may have expired
// in between, and another process may have it.
func (l *Lease) Renew(sent, confirmed time.Duration) {
	for {
		last := l.confirmed.Load()
		if confirmed-time.Duration(last) >= l.ttl || int64(sent) <= last || l.confirmed.CompareAndSwap(last, int64(sent)) {
			return
		}
	}
}

// End ends a lease before it expires, for example because the server that granted it may have
// forgotten it. [Lease.Left] and the contexts of [Watch] ignore that, so requests under way are not
// cancelled.
func (l *Lease) End() { l.ended.Store(true) }

// Left returns how long the lease is valid without another heartbeat. It is negative for an expired
// one.
func (l *Lease) Left() time.Duration {
	if l == nil {
		return math.MaxInt64
	}
	return time.Duration(l.confirmed.Load()) + l.valid - Now()
}

// Err returns [ErrLost] if the lease has expired or ended, else nil.
func (l *Lease) Err() error {
	if l != nil && (l.ended.Load() || l.Left() <= 0) {
		return ErrLost
	}
	return nil
}

type key struct{}

// With returns a context with a lease for [Check]. The caller may replace the lease while the
// context is in use.
func With(ctx context.Context, current *atomic.Pointer[Lease]) context.Context {
	return context.WithValue(ctx, key{}, current)
}

// Watch is like [With], and cancels the context when the lease expires. A nil lease never does.
func Watch(ctx context.Context, current *atomic.Pointer[Lease]) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(With(ctx, current))
	if current.Load() == nil {
		return ctx, cancel
	}
	timerSet := make(chan struct{})
	var timer *time.Timer
	timer = time.AfterFunc(current.Load().Left(), func() {
		<-timerSet
		switch left := current.Load().Left(); {
		case ctx.Err() != nil:
		case left <= 0:
			cancel()
		default: // renewed meanwhile
			timer.Reset(left)
		}
	})
	close(timerSet)
	return ctx, func() { timer.Stop(); cancel() }
}

// Check returns [ErrLost] if the context's lease has expired or ended, else nil. It returns
// nil for a context without a lease.
func Check(ctx context.Context) error {
	current, ok := ctx.Value(key{}).(*atomic.Pointer[Lease])
	if !ok {
		return nil
	}
	return current.Load().Err()
}
