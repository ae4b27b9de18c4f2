// Package journal remembers what every vendor call asked for and what came of it, so that a
// checker can ask the sandbox instead of trusting the caller.
package journal

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Entry is one vendor call. It holds names and outcomes, never a body, a password or a token.
type Entry struct {
	// Sequence numbers the calls in order of arrival.
	Sequence uint64    `json:"sequence"`
	Time     time.Time `json:"time"`
	Vendor   string    `json:"vendor"`
	Call     string    `json:"call"`
	Target   string    `json:"target,omitempty"`
	// Detail is what was asked for, where the target does not tell it.
	Detail string `json:"detail,omitempty"`
	// Status is the HTTP status that was sent; 0 where no answer was.
	Status int `json:"status"`
	// Outcome is what the vendor decided, in a few words.
	Outcome string `json:"outcome"`
	// Committed reports whether the tenant's state changed.
	Committed bool `json:"committed"`
	// Fault is the kind of fault that struck.
	Fault string `json:"fault,omitempty"`
	// Restored marks a committed call of an earlier run of the process.
	Restored bool          `json:"restored,omitempty"`
	Took     time.Duration `json:"tookNanoseconds"`
}

// Journal is a ring of the latest entries. Safe for use by many goroutines.
type Journal struct {
	sequence atomic.Uint64
	mu       sync.Mutex
	ring     []Entry
	next     int
	size     int
}

// New makes a journal that keeps the latest size entries.
func New(size int) *Journal { return &Journal{size: max(size, 1)} }

// Next gives the sequence number of a call that has just arrived.
func (j *Journal) Next() uint64 { return j.sequence.Add(1) }

// Add records a finished call.
func (j *Journal) Add(e Entry) {
	for {
		last := j.sequence.Load()
		if e.Sequence <= last || j.sequence.CompareAndSwap(last, e.Sequence) {
			break
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.ring) < j.size {
		j.ring = append(j.ring, e)
		return
	}
	j.ring[j.next] = e
	j.next = (j.next + 1) % j.size
}

// Clear forgets all entries; sequence numbers go on.
func (j *Journal) Clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ring, j.next = nil, 0
}

// Filter chooses entries. Empty fields choose all.
type Filter struct {
	Vendor, Call, Match string
	Committed           *bool
	After               uint64 // sequence numbers greater than this
	Limit               int    // the latest so many; 0 for all that are kept
}

// Entries are the chosen calls in order of arrival.
func (j *Journal) Entries(f Filter) []Entry {
	j.mu.Lock()
	chosen := make([]Entry, 0, 64)
	for _, e := range j.ring {
		if f.fits(e) {
			chosen = append(chosen, e)
		}
	}
	j.mu.Unlock()
	slices.SortFunc(chosen, func(a, b Entry) int {
		if a.Sequence < b.Sequence {
			return -1
		}
		return 1
	})
	if f.Limit > 0 && len(chosen) > f.Limit {
		chosen = chosen[len(chosen)-f.Limit:]
	}
	return chosen
}

func (f Filter) fits(e Entry) bool {
	return e.Sequence > f.After &&
		(f.Vendor == "" || f.Vendor == e.Vendor) &&
		(f.Call == "" || strings.EqualFold(f.Call, e.Call)) &&
		(f.Match == "" || strings.Contains(strings.ToLower(e.Target), strings.ToLower(f.Match))) &&
		(f.Committed == nil || *f.Committed == e.Committed)
}
