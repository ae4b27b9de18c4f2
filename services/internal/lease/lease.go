// Package lease says for how long a command is one process's alone, and keeps a process that has
// lost it from writing at a vendor.
//
// A holder sends heartbeats. Only a confirmed one counts, from the moment it was sent: one that
// nobody answers may not have arrived. A process that is paused (SIGSTOP, a suspended machine)
// sends none and does not notice, so a timer is not enough: [Check] compares clocks, and is
// called just before a request leaves.
package lease

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"
)

// ErrLost is the error that a lease is not held any longer. The command may be at work in another
// replica.
var ErrLost = errors.New("the lease is lost: another replica may be at work on the command")

// Lease is one command's. Its methods are safe for concurrent use. A nil Lease is always held.
type Lease struct {
	ttl       time.Duration
	valid     time.Duration
	confirmed atomic.Int64 // when the last confirmed heartbeat was sent, by Now
	ended     atomic.Bool
}

// New returns a lease that others respect for ttl after each heartbeat. The holder counts on two
// thirds of it: the rest is for a request that is on its way. since is when the first heartbeat
// was sent, by [Now], or any moment before.
func New(ttl, since time.Duration) *Lease { return newLease(ttl, ttl*2/3, since) }

// Until returns a lease that is not renewed, and that others respect as long as the holder counts
// on it.
func Until(ttl, since time.Duration) *Lease { return newLease(ttl, ttl, since) }

func newLease(ttl, valid, since time.Duration) *Lease {
	l := &Lease{ttl: ttl, valid: valid}
	l.confirmed.Store(int64(since))
	return l
}

// Renew notes that the heartbeat sent at a moment was confirmed at another, both by [Now]. A
// confirmation that comes a whole ttl after the heartbeat before it renews nothing: the lease may
// have run out in between and been given to another.
func (l *Lease) Renew(sent, confirmed time.Duration) {
	for {
		last := l.confirmed.Load()
		if confirmed-time.Duration(last) >= l.ttl || int64(sent) <= last || l.confirmed.CompareAndSwap(last, int64(sent)) {
			return
		}
	}
}

// End gives a lease up before its time: whoever granted it may have forgotten it. Requests that
// are under way are not broken off.
func (l *Lease) End() { l.ended.Store(true) }

// Left is how long the lease holds without another heartbeat.
func (l *Lease) Left() time.Duration {
	if l == nil {
		return math.MaxInt64
	}
	return time.Duration(l.confirmed.Load()) + l.valid - Now()
}

// Err is [ErrLost] where the lease is not held any longer, else nil.
func (l *Lease) Err() error {
	if l != nil && (l.ended.Load() || l.Left() <= 0) {
		return ErrLost
	}
	return nil
}

type key struct{}

// With returns a context under whose lease [Check] looks. The lease may be exchanged for another
// meanwhile.
func With(ctx context.Context, current *atomic.Pointer[Lease]) context.Context {
	return context.WithValue(ctx, key{}, current)
}

// Watch is [With], and ends the context when the lease has run out.
func Watch(ctx context.Context, current *atomic.Pointer[Lease]) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(With(ctx, current))
	if current.Load() == nil {
		return ctx, cancel
	}
	ran := make(chan struct{})
	var timer *time.Timer
	timer = time.AfterFunc(current.Load().Left(), func() {
		<-ran
		switch left := current.Load().Left(); {
		case ctx.Err() != nil:
		case left <= 0:
			cancel()
		default: // renewed meanwhile
			timer.Reset(left)
		}
	})
	close(ran)
	return ctx, func() { timer.Stop(); cancel() }
}

// Check is [ErrLost] where the context has a lease that is not held any longer, else nil.
func Check(ctx context.Context) error {
	current, ok := ctx.Value(key{}).(*atomic.Pointer[Lease])
	if !ok {
		return nil
	}
	return current.Load().Err()
}
