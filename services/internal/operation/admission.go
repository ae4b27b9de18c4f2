package operation

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// admission holds back commands that would only wait for a call of their tenant or vendor.
type admission struct {
	budgets  *budgets
	handlers map[string]Handler
}

// Admit implements [bus.Admission].
func (a admission) Admit(group string, q *bus.PermitQueue) (bus.Permit, bool) {
	return a.budgets.Admit(group, q)
}

// Withdraw implements [bus.Admission].
func (a admission) Withdraw(q *bus.PermitQueue) { a.budgets.Withdraw(q) }

// Group implements [bus.Admission]. What calls no vendor has no group, nor has a command whose type
// is not plain to see: if it is carried out, it waits for its slot when it has been started. One
// that no operation can come of has none either: its tenant may be too long for a subject of
// PARKED, and NATS closes the connection on which such a message is published.
func (a admission) Group(d bus.Delivery) string {
	if a.budgets.budget == (Budget{}) {
		return ""
	}
	address, isCommand := topology.ParseCommandSubject(d.Subject)
	if !isCommand || address.Check() != nil {
		return ""
	}
	handler, known := a.handlers[typeOf(d)]
	if !known {
		return ""
	}
	return groupOf(address.Tenant, handler.Vendor)
}

// typeOf is the type of a command, "" if it is not plain to see. In structured mode it stands in
// the body.
func typeOf(d bus.Delivery) string {
	if t := d.Header.Get("ce-type"); t != "" {
		return t
	}
	var structured struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(d.Data, &structured) // such a command has no group, and its publisher is answered
	return structured.Type
}

// maxReadAhead bounds the commands that are started beyond a limit. They read their records while
// others are in their calls, and then wait for a slot.
const maxReadAhead = 32

// applicant is a partition that waits for a permit for one command of a group.
type applicant struct {
	group string
	queue *bus.PermitQueue
}

// admissible is how many commands may be started under a limit and be not through their call.
func (l *limit) admissible() int { return l.size + min(l.size, maxReadAhead) }

// groupOf names the group of a tenant's commands at a vendor.
func groupOf(tenant, vendor string) string { return vendor + "/" + tenant }

// limitsOf returns the limits of a group. The caller holds the lock.
func (b *budgets) limitsOf(group string) []*limit {
	vendor, tenant, _ := strings.Cut(group, "/")
	keys := b.keys(tenant, vendor)
	limits := make([]*limit, len(keys))
	for i, key := range keys {
		limits[i] = b.limit(key)
	}
	return limits
}

// Admit implements [bus.Admission].
func (b *budgets) Admit(group string, q *bus.PermitQueue) (bus.Permit, bool) {
	if group == "" {
		return bus.Permit{Release: func() {}}, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.admit(applicant{group, q})
}

// admit admits an applicant, or has it wait for the first of its limits that is used up. Each limit
// has its own queue, in which the partitions of a tenant, and the tenants of a vendor, take turns.
// The caller holds the lock.
func (b *budgets) admit(a applicant) (bus.Permit, bool) {
	limits := b.limitsOf(a.group)
	for _, l := range limits {
		if l.admitted >= l.admissible() {
			l.waiting = append(l.waiting, a)
			return bus.Permit{}, false
		}
	}
	for _, l := range limits {
		l.admitted++
	}
	return bus.Permit{Group: a.group, Release: sync.OnceFunc(func() { b.leave(limits) })}, true
}

// leave ends what admit began, and admits those who wait.
func (b *budgets) leave(limits []*limit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range limits {
		l.admitted--
	}
	for _, l := range slices.Backward(limits) { // or a tenant would keep what others wait for
		for len(l.waiting) > 0 && l.admitted < l.admissible() {
			next := l.waiting[0]
			l.waiting = l.waiting[1:]
			if permit, ok := b.admit(next); ok {
				next.queue.Grant(permit)
			}
		}
		b.drop(l)
	}
}

// Withdraw implements [bus.Admission].
func (b *budgets) Withdraw(q *bus.PermitQueue) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.limits {
		l.waiting = slices.DeleteFunc(l.waiting, func(a applicant) bool { return a.queue == q })
		b.drop(l)
	}
}
