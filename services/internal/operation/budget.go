package operation

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Budget limits what one tenant, and what one vendor, may take of a service, so that a flood on one
// does not starve the others: a command beyond it waits for its turn; where that is not soon,
// parked, and lets those behind it pass. Each replica has its own.
type Budget struct {
	// Tenant and Vendor are how many calls may be under way for one tenant at one vendor, and for
	// all at one vendor; 0: any number. Calls that outlast Hold have 256 places in all, so two
	// vendors share them where each may have 128.
	Tenant, Vendor int
}

// budgets counts the calls of each tenant and vendor.
type budgets struct {
	limit    Budget
	patience time.Duration // for a turn

	mu       sync.Mutex
	accounts map[holder]*account
}

// holder of an account: a tenant at a vendor, or a vendor for all its tenants.
type holder struct {
	vendor, tenant string
	all            bool
}

// account is a tenant's or a vendor's.
type account struct {
	holder
	limit int
	slots *semaphore.Weighted

	// Guarded by budgets.mu.
	users   int // calls under way, and those that wait for a turn
	average time.Duration
	freed   time.Time // when a slot was last given back, or first taken
	queue   time.Time // when the last of those sent away is to come back
}

func newBudgets(limit Budget, patience time.Duration) *budgets {
	return &budgets{limit: limit, patience: patience, accounts: map[holder]*account{}}
}

// leastTurn keeps those who were sent away from coming back all at once where calls are very fast.
const leastTurn = 10 * time.Millisecond

// noTurn is the error that a budget is used up.
type noTurn struct{ after time.Duration }

func (n *noTurn) Error() string {
	return fmt.Sprintf("other calls of this tenant or at this vendor use up the budget; a turn is likely in %v", n.after)
}

// admit lets a call begin, and returns what to call at its end. It waits for a turn that is near.
// Else it returns a *noTurn that says when one is likely: each who is sent away is told a later
// time than the one before.
func (b *budgets) admit(ctx context.Context, tenant, vendor string) (release func(), err error) {
	var taken []*account
	began := time.Now()
	release = func() {
		for _, a := range taken {
			b.leave(a, began)
		}
	}
	for _, of := range [...]struct {
		holder
		limit int
	}{{holder{vendor: vendor, tenant: tenant}, b.limit.Tenant}, {holder{vendor: vendor, all: true}, b.limit.Vendor}} {
		if of.limit <= 0 {
			continue
		}
		a := b.account(of.holder, of.limit)
		if !a.slots.TryAcquire(1) && !b.wait(ctx, a) {
			defer release()
			return nil, &noTurn{b.turn(a)}
		}
		taken = append(taken, a)
	}
	return release, nil
}

func (b *budgets) account(of holder, limit int) *account {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, ok := b.accounts[of]
	if !ok {
		a = &account{holder: of, limit: limit, slots: semaphore.NewWeighted(int64(limit)), freed: time.Now()}
		b.accounts[of] = a
	}
	a.users++
	return a
}

// wait waits for a slot, if one is likely to be free soon, and reports whether it got it.
func (b *budgets) wait(ctx context.Context, a *account) bool {
	b.mu.Lock()
	likely := b.interval(a) * time.Duration(a.users-a.limit)
	b.mu.Unlock()
	if likely > b.patience {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	return a.slots.Acquire(ctx, 1) == nil
}

// interval is the time between two slots that become free: by the calls so far; or by how long none
// has, once that is longer than a turn is waited for. Before it may be a moment in which everything
// stood still.
func (b *budgets) interval(a *account) time.Duration {
	each := a.average
	if still := time.Since(a.freed); still > b.patience {
		each = max(each, still)
	}
	return each / time.Duration(a.limit)
}

// turn puts one more into the queue of those who are sent away, and gives the time until its turn.
func (b *budgets) turn(a *account) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.forget(a)
	now := time.Now()
	if a.queue.Before(now) {
		a.queue = now
	}
	a.queue = a.queue.Add(max(leastTurn, b.interval(a)))
	return a.queue.Sub(now)
}

func (b *budgets) leave(a *account, began time.Time) {
	a.slots.Release(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.forget(a)
	const weight = 8 // of the past
	now := time.Now()
	a.average += (now.Sub(began) - a.average) / weight
	a.freed = now
}

// forget takes a user off an account, and drops an account that nobody uses: a tenant's name comes
// from outside.
func (b *budgets) forget(a *account) {
	if a.users--; a.users == 0 && a.queue.Before(time.Now()) {
		delete(b.accounts, a.holder)
	}
}
