package operation

import (
	"sync"
	"time"

	"github.com/mailwright/mailwright/pkg/failure"
)

// Budget limits what one tenant may take of a service, so that a flood on one does not starve the others: a command beyond it
// waits, parked, and lets those behind it pass. Each replica has its own.
type Budget struct {
	// Parallel is how many calls of one tenant may be under way; 0: any number.
	Parallel int
}

// budgets counts the calls of each tenant.
type budgets struct {
	limit Budget
	now   func() time.Time

	mu      sync.Mutex
	tenants map[string]*account
}

// account is one tenant's: the calls under way, how long they take, and when the last of those who wait has been told to come back.
type account struct {
	underWay int
	average  time.Duration
	queue    time.Time
}

func newBudgets(limit Budget, now func() time.Time) *budgets {
	return &budgets{limit: limit, now: now, tenants: map[string]*account{}}
}

// leastTurn keeps those who wait from coming back all at once where calls are very fast.
const leastTurn = 10 * time.Millisecond

// admit lets a call begin, and returns what to call at its end. Where the budget is used up it returns a failure that says
// when a turn is likely to come: each who waits is told a later time than the one before.
func (b *budgets) admit(tenant string) (release func(), err error) {
	if b.limit.Parallel == 0 {
		return func() {}, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	a, ok := b.tenants[tenant]
	if !ok {
		a = &account{}
		b.tenants[tenant] = a
	}
	now := b.now()
	if a.underWay < b.limit.Parallel {
		a.underWay++
		return func() { b.done(a, now) }, nil
	}
	turn := max(leastTurn, a.average/time.Duration(b.limit.Parallel))
	if a.queue.Before(now) {
		a.queue = now
	}
	a.queue = a.queue.Add(turn)
	return nil, &failure.Error{Kind: failure.Throttled, RetryAfter: a.queue.Sub(now), Text: "this tenant's calls use up its budget; the operation waits for its turn"}
}

func (b *budgets) done(a *account, began time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a.underWay--
	const weight = 8 // of the past
	a.average += (b.now().Sub(began) - a.average) / weight
}
