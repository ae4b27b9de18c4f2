package operation

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Budget limits the concurrent calls of a service, so that a flood on one tenant or vendor does not
// starve the others. Each replica has its own limits.
//
// A command over a limit is held back before it is started: see [budgets.Admit]. That costs
// nothing. A few more than the limit are started, so that a call can begin as soon as another has
// ended. These wait for their slot in the order of their arrival. If the calls hang, they are
// parked.
type Budget struct {
	// Tenant is how many calls may be under way for one tenant at one vendor, and Vendor for all
	// tenants at one vendor; 0: any number. Calls that outlast ParkAfter have 256 slots in all, so
	// two vendors share them if each may have 128.
	Tenant, Vendor int
}

// budgets counts the calls of each tenant and vendor, and the commands that are started for them.
type budgets struct {
	budget Budget
	// maxWait is how long a command that was woken waits for a slot.
	maxWait time.Duration
	// limitTimeout is how long no slot may become free before a started command gives up its wait.
	limitTimeout time.Duration

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
	admitted  int           // commands that were started and are not through their call
	waiting   []applicant   // for admission
	average   time.Duration // of a call, over the last ones
	movedAt   time.Time     // when a slot was last taken or given back
	comesLast time.Time     // when the last of the commands over the limit is to come again
}

func newBudgets(budget Budget, maxWait, limitTimeout time.Duration) *budgets {
	return &budgets{budget: budget, maxWait: maxWait, limitTimeout: limitTimeout, limits: map[limitKey]*limit{}}
}

// minSlotInterval keeps commands over a limit from coming again all at once if calls are very fast.
const minSlotInterval = time.Millisecond

// overLimitError is the error that a limit has no free slot.
type overLimitError struct{ nextSlotIn time.Duration }

func (o *overLimitError) Error() string {
	return fmt.Sprintf("other calls of this tenant or at this vendor use up the budget; a turn is likely in %v", o.nextSlotIn)
}

// take lets a call begin, and returns what to call at its end. It waits for a slot. A patient
// caller waits as long as calls end; another one only for a slot that is near. Else take returns an
// [overLimitError] that says when one is likely: each command is told a later time than the one
// before.
func (b *budgets) take(ctx context.Context, tenant, vendor string, patient bool) (end func(), err error) {
	var taken []*limit
	for _, want := range b.keys(tenant, vendor) {
		l := b.use(want)
		if !b.acquire(ctx, l, patient) {
			for _, other := range taken {
				b.release(other)
			}
			return nil, &overLimitError{b.nextSlotIn(l)}
		}
		taken = append(taken, l)
	}
	began := time.Now()
	return func() {
		for _, l := range taken {
			b.measure(l, time.Since(began))
			b.release(l)
		}
	}, nil
}

// keys names the limits of a call.
func (b *budgets) keys(tenant, vendor string) []limitKey {
	keys := make([]limitKey, 0, 2)
	if b.budget.Tenant > 0 {
		keys = append(keys, limitKey{vendor: vendor, tenant: tenant})
	}
	if b.budget.Vendor > 0 {
		keys = append(keys, limitKey{vendor: vendor, allTenants: true})
	}
	return keys
}

// limit returns a limit, which it makes if it has none. The caller holds the lock.
func (b *budgets) limit(key limitKey) *limit {
	l, ok := b.limits[key]
	if !ok {
		size := b.budget.Tenant
		if key.allTenants {
			size = b.budget.Vendor
		}
		l = &limit{key: key, size: size, slots: semaphore.NewWeighted(int64(size)), movedAt: time.Now()}
		b.limits[key] = l
	}
	return l
}

// use gives a limit one more user.
func (b *budgets) use(key limitKey) *limit {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.limit(key)
	l.users++
	return l
}

// acquire waits for a slot, and reports whether it got one.
func (b *budgets) acquire(ctx context.Context, l *limit, patient bool) bool {
	got := l.slots.TryAcquire(1)
	for again := true; again && !got; again = patient && ctx.Err() == nil {
		wait := b.likelyWait(l)
		if patient {
			wait = b.leftOfTimeout(l)
		}
		if wait <= 0 {
			return false
		}
		got = acquireWithin(ctx, l.slots, wait)
	}
	if got {
		b.move(l)
	}
	return got
}

func acquireWithin(ctx context.Context, slots *semaphore.Weighted, wait time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return slots.Acquire(ctx, 1) == nil
}

// leftOfTimeout is how much longer a limit may stay as it is before those who wait give up.
func (b *budgets) leftOfTimeout(l *limit) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limitTimeout - time.Since(l.movedAt)
}

// likelyWait is how long to wait for a slot: not at all if none is likely to be free soon.
func (b *budgets) likelyWait(l *limit) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.slotInterval(l)*time.Duration(l.users-l.size) > b.maxWait {
		return 0
	}
	return b.maxWait
}

// slotInterval estimates the time between two slots that become free: the moving average of the
// calls' durations, divided by the limit. If no call has begun or ended for longer than maxWait,
// the time since the last one counts instead. A shorter gap may be a pause of the whole process,
// and is ignored.
func (b *budgets) slotInterval(l *limit) time.Duration {
	each := l.average
	if gap := time.Since(l.movedAt); gap > b.maxWait {
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
	l.users--
	return l.comesLast.Sub(now)
}

// move notes that a slot was taken or given back.
func (b *budgets) move(l *limit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l.movedAt = time.Now()
}

// measure takes the duration of a call.
func (b *budgets) measure(l *limit, duration time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	const pastWeight = 8 // of the average
	l.average += (duration - l.average) / pastWeight
}

// release gives a slot back.
func (b *budgets) release(l *limit) {
	l.slots.Release(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.drop(l)
	l.movedAt = time.Now()
	l.users--
}

// drop forgets a limit that nobody uses: a tenant's name comes from outside, so there may be any
// number. The caller holds the lock.
func (b *budgets) drop(l *limit) {
	if l.users == 0 && l.admitted == 0 && len(l.waiting) == 0 && l.comesLast.Before(time.Now()) {
		delete(b.limits, l.key)
	}
}
