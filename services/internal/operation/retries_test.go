package operation

import (
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
)

func TestDelaysDoubleWhileAFailureIsTheSame(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	retries := Retries{failure.NotFound: {First: time.Second, Most: time.Minute, Horizon: 24 * hour}}
	after := func(kind failure.Kind, pause time.Duration, attempt int) *entry {
		now := time.Now()
		last := &entry{attempt: attempt, written: now, nextAttempt: now.Add(pause)}
		last.failure.Kind = string(kind)
		return last
	}
	last := &nothing
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} { // seconds
		want *= time.Second
		delay, again := retries.next(failure.New(failure.NotFound, ""), last, hour)
		if !again || delay < want*3/4 || delay > want*5/4+1 {
			t.Fatalf("delay %d: %v, want %v give or take a quarter", i, delay, want)
		}
		// the event is written a little later
		last = after(failure.NotFound, delay-time.Millisecond, 100)
	}
	same := after(failure.NotFound, time.Second, 9)
	same.failure.Code = "passing"
	for name, c := range map[string]struct {
		failure     failure.Error
		last        *entry
		waited      time.Duration
		least, most time.Duration // both 0: not again
	}{
		"after another failure":              {failure.Error{Kind: failure.NotFound}, after(failure.Unavailable, time.Minute, 9), hour, 750 * time.Millisecond, 1251 * time.Millisecond},
		"after it waited for its turn":       {failure.Error{Kind: failure.NotFound}, after("", time.Second, 3), hour, 6 * time.Second, 10*time.Second + 1},
		"after the vendor's own short delay": {failure.Error{Kind: failure.NotFound}, after(failure.NotFound, time.Millisecond, 9), hour, 750 * time.Millisecond, 1251 * time.Millisecond},
		"after the vendor's own long delay":  {failure.Error{Kind: failure.NotFound}, after(failure.NotFound, hour, 1), hour, 45 * time.Second, 75*time.Second + 1},
		"the vendor says when":               {failure.Error{Kind: failure.NotFound, RetryAfter: 5 * time.Minute}, &nothing, hour, 5 * time.Minute, 5 * time.Minute},
		"the vendor says too late":           {failure.Error{Kind: failure.NotFound, RetryAfter: 2 * hour}, &nothing, 23 * hour, hour, hour},
		"beyond the horizon":                 {failure.Error{Kind: failure.NotFound}, &nothing, 24 * hour, 0, 0},
		"beyond its own bound":               {failure.Error{Kind: failure.NotFound, Code: "passing", RetryFor: hour}, same, hour, 0, 0},
		"within its own bound":               {failure.Error{Kind: failure.NotFound, Code: "passing", RetryFor: hour}, same, hour / 2, 1500 * time.Millisecond, 2501 * time.Millisecond},
		"beyond its own bound, met first":    {failure.Error{Kind: failure.NotFound, Code: "passing", RetryFor: hour}, &nothing, 3 * hour, 750 * time.Millisecond, 1251 * time.Millisecond},
		"of a kind that does not pass":       {failure.Error{Kind: failure.Refused}, &nothing, 0, 0, 0},
	} {
		delay, again := retries.next(&c.failure, c.last, c.waited)
		if again != (c.most > 0) || delay < c.least || delay > c.most {
			t.Errorf("%s: %v %v, want %v to %v", name, delay, again, c.least, c.most)
		}
	}
}
