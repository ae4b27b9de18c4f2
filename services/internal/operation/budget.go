package operation

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Budget limits the concurrent calls of a service, so that a flood on one tenant or vendor does not
// starve the others. A command over a limit waits for a free slot; if none is near, the command is
// parked and lets those behind it pass. Each replica has its own limits.
type Budget struct {
	// Tenant is how many calls may be under way for one tenant at one vendor, and Vendor for all
	// tenants at one vendor; 0: any number. Calls that outlast ParkAfter have 256 slots in all, so
	// two vendors share them if each may have 128.
	Tenant, Vendor int
}

// budgets counts the calls of each tenant and vendor.
type budgets struct {
	budget  Budget
	maxWait time.Duration // for a slot

	mu     sync.Mutex
	limits map[limitKey]*limit
}

// limitKey names a limit: that of a tenant at a vendor, or that of a vendor for all its tenants.
type limitKey struct {
	vendor, tenant string
	allTenants     bool
}

// limit is one concurrency limit.
type limit struct {
	key   limitKey
	size  int
	slots *semaphore.Weighted

	// Guarded by budgets.mu.
	users     int           // calls under way, and commands that wait for a slot
	average   time.Duration // of a call, over the last ones
	freedAt   time.Time     // when a slot was last given back, or first taken
	comesLast time.Time     // when the last of the commands over the limit is to come again
}

func newBudgets(budget Budget, maxWait time.Duration) *budgets {
	return &budgets{budget: budget, maxWait: maxWait, limits: map[limitKey]*limit{}}
}

// minSlotInterval keeps commands over a limit from coming again all at once if calls are very fast.
const minSlotInterval = 10 * time.Millisecond

// overLimitError is the error that a limit has no free slot.
type overLimitError struct{ nextSlotIn time.Duration }

func (o *overLimitError) Error() string {
	return fmt.Sprintf("other calls of this tenant or at this vendor use up the budget; a turn is likely in %v", o.nextSlotIn)
}

// admit lets a call begin, and returns what to call at its end. It waits for a slot that is near.
// Else it returns an [overLimitError] that says when one is likely: each command is told a later
// time than the one before.
func (b *budgets) admit(ctx context.Context, tenant, vendor string) (end func(), err error) {
	var taken []*limit
	began := time.Now()
	end = func() {
		for _, l := range taken {
			b.release(l, began)
		}
	}
	for _, want := range [...]struct {
		key  limitKey
		size int
	}{
		{limitKey{vendor: vendor, tenant: tenant}, b.budget.Tenant},
		{limitKey{vendor: vendor, allTenants: true}, b.budget.Vendor},
	} {
		if want.size <= 0 {
			continue
		}
		l := b.use(want.key, want.size)
		if !l.slots.TryAcquire(1) && !b.wait(ctx, l) {
			defer end()
			return nil, &overLimitError{b.nextSlotIn(l)}
		}
		taken = append(taken, l)
	}
	return end, nil
}

// use gives a limit one more user.
func (b *budgets) use(key limitKey, size int) *limit {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, ok := b.limits[key]
	if !ok {
		l = &limit{key: key, size: size, slots: semaphore.NewWeighted(int64(size)), freedAt: time.Now()}
		b.limits[key] = l
	}
	l.users++
	return l
}

// wait waits for a slot, if one is likely to be free soon, and reports whether it got it.
func (b *budgets) wait(ctx context.Context, l *limit) bool {
	b.mu.Lock()
	likely := b.slotInterval(l) * time.Duration(l.users-l.size)
	b.mu.Unlock()
	if likely > b.maxWait {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, b.maxWait)
	defer cancel()
	return l.slots.Acquire(ctx, 1) == nil
}

// slotInterval estimates the time between two slots that become free: the moving average of the
// calls' durations, divided by the limit. If no call has ended for longer than maxWait, the time
// since the last one counts instead. A shorter gap may be a pause of the whole process, and is
// ignored.
func (b *budgets) slotInterval(l *limit) time.Duration {
	each := l.average
	if gap := time.Since(l.freedAt); gap > b.maxWait {
		each = max(each, gap)
	}
	return each / time.Duration(l.size)
}

// nextSlotIn queues a command that is over the limit behind the others, and gives the time until it
// is to come again.
func (b *budgets) nextSlotIn(l *limit) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.drop(l)
	now := time.Now()
	if l.comesLast.Before(now) {
		l.comesLast = now
	}
	l.comesLast = l.comesLast.Add(max(minSlotInterval, b.slotInterval(l)))
	return l.comesLast.Sub(now)
}

// release gives a slot back.
func (b *budgets) release(l *limit, began time.Time) {
	l.slots.Release(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.drop(l)
	const pastWeight = 8 // of the average
	now := time.Now()
	l.average += (now.Sub(began) - l.average) / pastWeight
	l.freedAt = now
}

// drop takes a user off a limit, and forgets a limit without users: a tenant's name comes from
// outside, so there may be any number.
func (b *budgets) drop(l *limit) {
	if l.users--; l.users == 0 && l.comesLast.Before(time.Now()) {
		delete(b.limits, l.key)
	}
}
