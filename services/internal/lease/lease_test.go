package lease_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/internal/lease"
)

func TestOnlyAConfirmationWithinTheTTLRenews(t *testing.T) {
	t.Parallel()
	const ttl = time.Hour
	type beat struct{ sent, confirmed time.Duration } // since the lease began
	for name, c := range map[string]struct {
		beats []beat
		left  time.Duration // of two thirds of ttl, counted from when the lease began
	}{
		"none":                            {nil, ttl * 2 / 3},
		"one":                             {[]beat{{ttl / 3, ttl/3 + time.Second}}, ttl},
		"counts from when it was sent":    {[]beat{{ttl / 3, ttl - time.Second}}, ttl},
		"confirmed too late":              {[]beat{{ttl / 3, ttl}}, ttl * 2 / 3},
		"late, then one in time":          {[]beat{{ttl / 3, ttl}, {ttl * 4 / 3, ttl * 4 / 3}}, ttl * 2 / 3},
		"one after another":               {[]beat{{ttl / 2, ttl / 2}, {ttl, ttl}, {ttl * 3 / 2, ttl * 3 / 2}}, ttl*3/2 + ttl*2/3},
		"an older one is confirmed later": {[]beat{{ttl / 2, ttl / 2}, {ttl / 3, ttl/2 + time.Second}}, ttl/2 + ttl*2/3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			since := lease.Now()
			l := lease.New(ttl, since)
			for _, b := range c.beats {
				l.Renew(since+b.sent, since+b.confirmed)
			}
			if left := since + c.left - lease.Now() - l.Left(); left.Abs() > time.Minute {
				t.Errorf("valid for %v less than it should", left)
			}
		})
	}
}

func TestCheckReportsALostLease(t *testing.T) {
	t.Parallel()
	now := lease.Now()
	ended := lease.New(time.Hour, now)
	ended.End()
	for name, c := range map[string]struct {
		lease *lease.Lease
		want  error
	}{
		"none":                            {nil, nil},
		"fresh":                           {lease.New(time.Hour, now), nil},
		"beyond two thirds":               {lease.New(time.Hour, now-41*time.Minute), lease.ErrLost},
		"ended":                           {ended, lease.ErrLost},
		"until, within":                   {lease.Until(time.Hour, now-59*time.Minute), nil},
		"until, expired":                  {lease.Until(time.Hour, now-61*time.Minute), lease.ErrLost},
		"paused since the only heartbeat": {lease.New(15*time.Second, now-25*time.Second), lease.ErrLost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var current atomic.Pointer[lease.Lease]
			current.Store(c.lease)
			if err := lease.Check(lease.With(t.Context(), &current)); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	if err := lease.Check(t.Context()); err != nil {
		t.Errorf("without a lease: %v", err)
	}
}

// TestAWatchedContextEndsWithItsLease: with the one that has replaced the first.
func TestAWatchedContextEndsWithItsLease(t *testing.T) {
	t.Parallel()
	var current atomic.Pointer[lease.Lease]
	current.Store(lease.New(30*time.Millisecond, lease.Now()))
	ctx, stop := lease.Watch(t.Context(), &current)
	defer stop()
	longer := lease.New(300*time.Millisecond, lease.Now())
	current.Store(longer)
	<-ctx.Done()
	if longer.Left() > 0 || !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("ended with %v left: %v", longer.Left(), ctx.Err())
	}
}
