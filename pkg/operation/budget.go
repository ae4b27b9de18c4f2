package operation

import (
	"sync"
	"time"

	"github.com/mailwright/mailwright/pkg/failure"
)

// Budget limits what one tenant, and what one vendor, may take of a service, so that a flood on one does not starve the
// others: a command beyond it waits, parked, and lets those behind it pass. Each replica has its own.
type Budget struct {
	// Tenant and Vendor are how many calls may be under way for one tenant and at one vendor; 0: any number.
	Tenant, Vendor int
}

// budgets counts the calls of each tenant and vendor.
type budgets struct {
	limit Budget
	now   func() time.Time

	mu       sync.Mutex
	accounts map[string]*account
}

// account is a tenant's or a vendor's: the calls under way, how long they take, and when the last of those who wait
// has been told to come back.
type account struct {
	limit    int
	underWay int
	average  time.Duration
	queue    time.Time
}

func newBudgets(limit Budget, now func() time.Time) *budgets {
	return &budgets{limit: limit, now: now, accounts: map[string]*account{}}
}

// leastTurn keeps those who wait from coming back all at once where calls are very fast.
const leastTurn = 10 * time.Millisecond

// admit lets a call begin, and returns what to call at its end. Where a budget is used up it returns a failure that says
// when a turn is likely to come: each who waits is told a later time than the one before.
func (b *budgets) admit(tenant, vendor string) (release func(), err error) {
	if b.limit == (Budget{}) {
		return func() {}, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	accounts := []*account{b.account("tenant "+tenant, b.limit.Tenant), b.account("vendor "+vendor, b.limit.Vendor)}
	for _, a := range accounts {
		if a.limit > 0 && a.underWay >= a.limit {
			return nil, &failure.Error{Kind: failure.Throttled, RetryAfter: a.turn(now), Text: "other calls of this tenant or at this vendor use up the budget; the operation waits for its turn"}
		}
	}
	for _, a := range accounts {
		a.underWay++
	}
	return func() { b.done(accounts, now) }, nil
}

func (b *budgets) account(name string, limit int) *account {
	a, ok := b.accounts[name]
	if !ok {
		a = &account{limit: limit}
		b.accounts[name] = a
	}
	return a
}

// turn puts one more into the queue and gives the time until its turn.
func (a *account) turn(now time.Time) time.Duration {
	if a.queue.Before(now) {
		a.queue = now
	}
	a.queue = a.queue.Add(max(leastTurn, a.average/time.Duration(a.limit)))
	return a.queue.Sub(now)
}

func (b *budgets) done(accounts []*account, began time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	const weight = 8 // of the past
	for _, a := range accounts {
		a.underWay--
		a.average += (b.now().Sub(began) - a.average) / weight
	}
}
