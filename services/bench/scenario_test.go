package bench

import (
	"fmt"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
)

// variant is who carries the commands out.
type variant struct {
	name  string
	floor bool
	// secured: NATS and Postgres speak TLS alone, and NATS keeps each program to its permissions.
	secured bool
	// args of the service.
	args []string
}

var (
	floor     = variant{name: "floor", floor: true}
	ours      = variant{name: "ours"}
	secured   = variant{name: "ours, with TLS and permissions", secured: true}
	unlimited = variant{name: "ours, --tenant-concurrency 0", args: []string{"--tenant-concurrency", "0"}}
)

func (v variant) start(y *system) func(scenario, variant) error {
	if v.floor {
		return y.startFloor
	}
	return y.startServices
}

// Limits of the services by default (package worker): commands that are under way at one vendor, of
// one tenant and of all.
const (
	tenantConcurrency = 24
	vendorConcurrency = 128
)

// callsOfCommand is how many calls to the vendor each command makes, one after another.
const callsOfCommand = 2

// scenario is what is asked of a system.
type scenario struct {
	latency time.Duration // of each call to the vendor
	tenants int
	// hot: half of the commands fall on one in a hundred of the keys.
	hot bool
	// create: mailbox.create in the place of delegation.set.
	create   bool
	commands int
	variants []variant
}

func (s scenario) domain() event.Domain {
	if s.create {
		return event.DomainMailbox
	}
	return event.DomainDelegation
}

func (s scenario) service() string { return string(s.domain()) + "-svc" }

// success is the type of the outcome of every command.
func (s scenario) success() string {
	if s.create {
		return event.TypeMailboxCreated
	}
	return event.TypeDelegationChanged
}

func (s scenario) tenantNames() (names []string) {
	for i := range s.tenants {
		names = append(names, fmt.Sprintf("tenant-%d", i+1))
	}
	return names
}

// concurrency is how many commands may be under way by the services' limits.
func (s scenario) concurrency() int { return min(tenantConcurrency*s.tenants, vendorConcurrency) }

// floorWorkers is how many commands the floor carries out at a time: without latency as many as
// keep the machine busy, else as many as the services' limits allow.
func (s scenario) floorWorkers() int {
	if s.latency == 0 {
		return vendorConcurrency
	}
	return s.concurrency()
}

// allowed is how many commands a second the services' limits and the latency allow; 0: any number.
func (s scenario) allowed() float64 {
	if s.latency == 0 {
		return 0
	}
	return float64(s.concurrency()) / (callsOfCommand * s.latency.Seconds())
}

// warmUp is the number of commands that warm a system up.
func (s scenario) warmUp() int {
	if s.latency == 0 {
		return 200
	}
	return 2 * tenantConcurrency
}

// scenarios lists the bursts.
func scenarios() []scenario {
	if full() {
		return allScenarios()
	}
	both := []variant{floor, ours}
	return []scenario{
		{tenants: 1, commands: 3000, variants: []variant{floor, ours, unlimited}},
		{latency: 20 * time.Millisecond, tenants: 1, commands: 1200, variants: both},
		{latency: 100 * time.Millisecond, tenants: 1, commands: 480, variants: both},
		{latency: 500 * time.Millisecond, tenants: 1, commands: 96, variants: both},
		{tenants: 20, commands: 3000, variants: both},
		{latency: 20 * time.Millisecond, tenants: 20, commands: 3000, variants: both},
		{tenants: 1, hot: true, commands: 3000, variants: both},
		{tenants: 1, create: true, commands: 1500, variants: both},
	}
}

// allScenarios lists every combination.
func allScenarios() (list []scenario) {
	for _, latency := range []time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond} {
		for _, tenants := range []int{1, 20} {
			usual := scenario{latency: latency, tenants: tenants, variants: []variant{floor, ours, unlimited}}
			usual.commands = fullCommands
			if latency > 0 {
				usual.commands = min(fullCommands, int(usual.allowed()*maxFullRun.Seconds()))
			}
			hot, create := usual, usual
			hot.hot, create.create = true, true
			list = append(list, usual, hot, create)
		}
	}
	return list
}

// name of a scenario in rows.
func (s scenario) name() string {
	name := "latency 0"
	if s.latency > 0 {
		name = fmt.Sprintf("latency %d ms", s.latency.Milliseconds())
	}
	if s.tenants > 1 {
		name += fmt.Sprintf(", %d tenants", s.tenants)
	}
	if s.hot {
		name += ", one key in a hundred hot"
	}
	if s.create {
		name += ", create"
	}
	return name
}
