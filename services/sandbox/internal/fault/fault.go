// Package fault makes chosen calls go wrong, in the ways that a network and a vendor do.
package fault

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind is a way to go wrong.
type Kind string

// The kinds. Before and after say whether the call's work is done when the fault strikes.
const (
	Latency       Kind = "latency"        // the answer comes later: params.delay
	TimeoutBefore Kind = "timeout-before" // nothing is done and no answer comes: params.hold, then the connection closes
	TimeoutAfter  Kind = "timeout-after"  // the work is done and no answer comes: params.hold, then the connection closes
	Reset         Kind = "reset"          // the connection is reset; params.when: before or after
	Status        Kind = "status"         // params.status, params.retryAfter, params.body; params.when
	NonJSON       Kind = "nonjson"        // a proxy's HTML page: params.status (default 502), params.body; params.when
	SecretEcho    Kind = "secret-echo"    // an error that repeats the caller's credential: params.status (default 400)
	ExpireToken   Kind = "expire-token"   // the caller's token is revoked, and the call answered as one without a token
	Suspend       Kind = "suspend"        // the create is sent for approval: see actedOut
	Partial       Kind = "partial"        // the create is done by half: see actedOut
)

// actedOut are the calls that can go wrong in a way that only the API itself acts out, by vendor:
// they strike no other.
var actedOut = map[Kind]map[string][]string{
	Suspend: {"adaxes": {"create-object", "create-mailbox"}},
	Partial: {"adaxes": {"create-object", "create-mailbox"}, "hostedexchange": {"CreateBusinessUser"}},
}

// calls lists the calls that can go wrong in this way.
func (k Kind) calls() string {
	var list []string
	for _, vendor := range slices.Sorted(maps.Keys(actedOut[k])) {
		list = append(list, vendor+": "+strings.Join(actedOut[k][vendor], ", "))
	}
	return strings.Join(list, "; ")
}

// canStrike reports whether a call can go wrong in this way; an empty vendor or call stands for
// any.
func (k Kind) canStrike(vendor, call string) bool {
	byVendor, limited := actedOut[k]
	if !limited {
		return true
	}
	for name, calls := range byVendor {
		if (vendor == "" || vendor == name) && (call == "" || slices.ContainsFunc(calls, func(c string) bool { return strings.EqualFold(c, call) })) {
			return true
		}
	}
	return false
}

var kinds = []Kind{Latency, TimeoutBefore, TimeoutAfter, Reset, Status, NonJSON, SecretEcho, ExpireToken, Suspend, Partial}

// Params are what a kind needs beside its name.
type Params struct {
	Delay      string `json:"delay,omitempty"`
	Hold       string `json:"hold,omitempty"`
	Status     int    `json:"status,omitempty"`
	RetryAfter string `json:"retryAfter,omitempty"`
	Body       string `json:"body,omitempty"`
	When       string `json:"when,omitempty"`
}

// Rule says which calls go wrong and how. Empty Vendor, Call and Match fit every call;
// Match is a part of the call's target, in any case.
type Rule struct {
	ID          int      `json:"id"`
	Vendor      string   `json:"vendor,omitempty"`
	Call        string   `json:"call,omitempty"`
	Match       string   `json:"match,omitempty"`
	Kind        Kind     `json:"kind"`
	Count       int      `json:"count,omitempty"`       // calls still to strike; 0: no limit
	Probability *float64 `json:"probability,omitempty"` // share of the matching calls; absent: all
	Params      Params   `json:"params"`
	Struck      int      `json:"struck"`

	delay, hold time.Duration
	bounded     bool
}

// Delay is params.delay.
func (r Rule) Delay() time.Duration { return r.delay }

// Hold is params.hold: how long a connection stays silent before it closes.
func (r Rule) Hold() time.Duration { return r.hold }

// After reports whether the call's work is done before the fault strikes.
func (r Rule) After() bool { return r.Kind == TimeoutAfter || r.Params.When == "after" }

// Rules is the present list. Safe for use by many goroutines. Make one with [New].
type Rules struct {
	mu     sync.Mutex
	next   int
	list   []*Rule
	chance func() float64
}

// New makes an empty list. Whether a rule with a probability strikes is drawn from the seed; 0:
// anew in every process.
func New(seed uint64) *Rules {
	if seed == 0 {
		return &Rules{chance: rand.Float64}
	}
	return &Rules{chance: rand.New(rand.NewPCG(seed, 0)).Float64}
}

// Add checks a rule and puts it at the end of the list.
func (rs *Rules) Add(r Rule, vendors []string) (Rule, error) {
	if err := r.check(vendors); err != nil {
		return Rule{}, err
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.next++
	r.ID, r.Struck, r.bounded = rs.next, 0, r.Count > 0
	rs.list = append(rs.list, &r)
	return r, nil
}

func (r *Rule) check(vendors []string) error {
	var faults []error
	complain := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if r.Vendor != "" && !slices.Contains(vendors, r.Vendor) {
		complain("vendor must be one of %q", vendors)
	}
	if !slices.Contains(kinds, r.Kind) {
		complain("kind must be one of %q", kinds)
	}
	if !r.Kind.canStrike(r.Vendor, r.Call) {
		complain("kind %s cannot strike this call: remove call, or name one of %s", r.Kind, r.Kind.calls())
	}
	if r.Count < 0 {
		complain("count must not be negative")
	}
	if p := r.Probability; p != nil && (*p < 0 || *p > 1) {
		complain("probability must be between 0 and 1")
	}
	r.checkParams(complain)
	return errors.Join(faults...)
}

// checkParams also sets what the parameters say as text.
func (r *Rule) checkParams(complain func(format string, args ...any)) {
	if w := r.Params.When; w != "" && w != "before" && w != "after" {
		complain("params.when must be before or after")
	}
	if s := r.Params.Status; s != 0 && (s < 200 || s > 599) {
		complain("params.status must be between 200 and 599")
	}
	if r.Kind == Status && r.Params.Status == 0 {
		complain("kind status needs params.status")
	}
	r.delay = duration("params.delay", r.Params.Delay, complain)
	r.hold = duration("params.hold", r.Params.Hold, complain)
	if r.Kind == Latency && r.delay == 0 {
		complain("kind latency needs params.delay")
	}
}

func duration(name, text string, complain func(string, ...any)) time.Duration {
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		complain("%s must be a duration such as \"2s\"", name)
	}
	return d
}

// Pick takes what strikes this call: how long it is delayed, and the first fault of another
// kind. Picking uses up a rule's count.
func (rs *Rules) Pick(vendor, call, target string) (time.Duration, *Rule) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if len(rs.list) == 0 {
		return 0, nil
	}
	var delay time.Duration
	var struck *Rule
	for _, r := range rs.list {
		if struck != nil && r.Kind != Latency || !r.fits(vendor, call, target) || r.Probability != nil && rs.chance() >= *r.Probability {
			continue
		}
		r.Struck++
		if r.bounded {
			r.Count--
		}
		if r.Kind == Latency {
			delay += r.delay
			continue
		}
		taken := *r
		struck = &taken
	}
	rs.list = slices.DeleteFunc(rs.list, func(r *Rule) bool { return r.bounded && r.Count == 0 })
	return delay, struck
}

func (r *Rule) fits(vendor, call, target string) bool {
	return r.Kind.canStrike(vendor, call) && (r.Vendor == "" || r.Vendor == vendor) &&
		(r.Call == "" || strings.EqualFold(r.Call, call)) &&
		(r.Match == "" || strings.Contains(strings.ToLower(target), strings.ToLower(r.Match)))
}

// List is a copy of the rules that still stand.
func (rs *Rules) List() []Rule {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	list := make([]Rule, 0, len(rs.list))
	for _, r := range rs.list {
		list = append(list, *r)
	}
	return list
}

// Remove takes one rule away and reports whether it was there.
func (rs *Rules) Remove(id int) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	before := len(rs.list)
	rs.list = slices.DeleteFunc(rs.list, func(r *Rule) bool { return r.ID == id })
	return len(rs.list) < before
}

// Clear takes all rules away.
func (rs *Rules) Clear() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.list = nil
}
