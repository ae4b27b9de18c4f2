package operation

import (
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failure"
)

func TestDelaysDoubleWhileAFailureIsTheSame(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	retries := Retries{failure.NotFound: {First: time.Second, Max: time.Minute, Horizon: 24 * hour}}
	after := func(kind failure.Kind, pause time.Duration, attempts int) history {
		return history{attempts: attempts, pause: pause, failure: event.FailureData{Kind: string(kind)}}
	}
	decide := func(f failure.Error) decision { return decision{action: retryByKind, failure: &f} }
	last := history{waited: hour}
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} { // seconds
		want *= time.Second
		n := retries.next(decide(failure.Error{Kind: failure.NotFound}), last)
		if !n.again || n.after < want*3/4 || n.after > want*5/4+1 {
			t.Fatalf("delay %d: %v, want %v give or take a quarter", i, n, want)
		}
		// the event is written a little later
		last = after(failure.NotFound, n.after-time.Millisecond, 100)
		last.waited = hour
	}
	same := after(failure.NotFound, time.Second, 9)
	same.failure.Code = "passing"
	for name, c := range map[string]struct {
		failure  failure.Error
		last     history
		waited   time.Duration
		min, max time.Duration // both 0: not again
	}{
		"after another failure":              {failure.Error{Kind: failure.NotFound}, after(failure.Unavailable, time.Minute, 9), hour, 750 * time.Millisecond, 1251 * time.Millisecond},
		"after it waited for a free call":    {failure.Error{Kind: failure.NotFound}, after("", time.Second, 3), hour, 6 * time.Second, 10*time.Second + 1},
		"after the vendor's own short delay": {failure.Error{Kind: failure.NotFound}, after(failure.NotFound, time.Millisecond, 9), hour, 750 * time.Millisecond, 1251 * time.Millisecond},
		"after the vendor's own long delay":  {failure.Error{Kind: failure.NotFound}, after(failure.NotFound, hour, 1), hour, 45 * time.Second, 75*time.Second + 1},
		"the vendor says when":               {failure.Error{Kind: failure.NotFound, RetryAfter: 5 * time.Minute}, history{}, hour, 5 * time.Minute, 5 * time.Minute},
		"the vendor says too late":           {failure.Error{Kind: failure.NotFound, RetryAfter: 2 * hour}, history{}, 23 * hour, hour, hour},
		"beyond the horizon":                 {failure.Error{Kind: failure.NotFound}, history{}, 24 * hour, 0, 0},
		"beyond its own bound":               {failure.Error{Kind: failure.NotFound, Code: "passing", RetryFor: hour}, same, hour, 0, 0},
		"within its own bound":               {failure.Error{Kind: failure.NotFound, Code: "passing", RetryFor: hour}, same, hour / 2, 1500 * time.Millisecond, 2501 * time.Millisecond},
		"beyond its own bound, met first":    {failure.Error{Kind: failure.NotFound, Code: "passing", RetryFor: hour}, history{}, 3 * hour, 750 * time.Millisecond, 1251 * time.Millisecond},
		"of a kind that does not pass":       {failure.Error{Kind: failure.Refused}, history{}, 0, 0, 0},
	} {
		c.last.waited = c.waited
		n := retries.next(decide(c.failure), c.last)
		if n.again != (c.max > 0) || n.after < c.min || n.after > c.max {
			t.Errorf("%s: %v, want %v to %v", name, n, c.min, c.max)
		}
	}
}
