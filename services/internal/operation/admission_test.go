package operation

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// TestAdmissionTakesTurns tries limits of 2 for a tenant, and 3 for all tenants at a vendor, with
// as many commands read ahead. A step is a tenant, a vendor and a partition, such as "a v 1", which
// asks for a permit; or "end a v 1", which ends the oldest command that has one; or "close 1",
// which closes the partition. A result is who was permitted: at once, or by a grant.
func TestAdmissionTakesTurns(t *testing.T) {
	t.Parallel()
	times := func(n int, step string) []string {
		return strings.Split(strings.Repeat(step+",", n)[:n*(len(step)+1)-1], ",")
	}
	for name, c := range map[string]struct {
		before, steps []string
		permitted     string
	}{
		"up to the tenant's limit":                         {nil, times(5, "a v 1"), "a v 1,a v 1,a v 1,a v 1"},
		"a permit that is given back goes on":              {times(5, "a v 1"), []string{"end a v 1"}, "a v 1"},
		"partitions take turns":                            {append(times(4, "a v 1"), "a v 2", "a v 3"), []string{"end a v 1", "end a v 1"}, "a v 2,a v 3"},
		"another tenant has its own limit":                 {times(5, "a v 1"), []string{"b v 1"}, "b v 1"},
		"the vendor's limit counts all tenants":            {append(times(4, "a v 1"), "b v 1", "b v 1"), []string{"b v 1", "c v 1"}, ""},
		"another vendor has its own limit":                 {append(times(4, "a v 1"), "b v 1", "b v 1"), []string{"c w 1"}, "c w 1"},
		"tenants take turns at the vendor":                 {append(times(4, "a v 1"), "b v 1", "b v 1", "c v 1", "d v 2"), []string{"end b v 1", "end b v 1"}, "c v 1,d v 2"},
		"who waits for its own limit lets others pass":     {append(times(5, "a v 1"), "b v 1", "b v 1", "c v 1"), []string{"end b v 1"}, "c v 1"},
		"a tenant over its limit then waits at the vendor": {append(times(5, "a v 1"), "b v 1", "b v 1", "c v 2"), []string{"end a v 1", "end a v 1"}, "c v 2,a v 1"},
		"a closed partition is passed over":                {append(times(4, "a v 1"), "a v 2", "a v 3"), []string{"close 2", "end a v 1"}, "a v 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := admissionEnv{t: t, budgets: newBudgets(Budget{Tenant: 2, Vendor: 3}, time.Second, time.Second), queues: map[string]*bus.PermitQueue{}, held: map[string][]bus.Permit{}}
			env.do(c.before)
			env.log = nil
			env.do(c.steps)
			if got := strings.Join(env.log, ","); got != c.permitted {
				t.Errorf("permitted %q, want %q", got, c.permitted)
			}
			env.end()
		})
	}
}

type admissionEnv struct {
	t       *testing.T
	budgets *budgets
	queues  map[string]*bus.PermitQueue // by partition
	held    map[string][]bus.Permit     // by the step that took them
	log     []string
}

func (e *admissionEnv) do(steps []string) {
	for _, step := range steps {
		verb, rest, _ := strings.Cut(step, " ")
		switch verb {
		case "end":
			oldest := e.held[rest][0]
			e.held[rest] = e.held[rest][1:]
			oldest.Release()
			oldest.Release() // which does nothing
		case "close":
			e.budgets.Withdraw(e.queues[rest])
		default:
			vendor, partition, _ := strings.Cut(rest, " ")
			if e.queues[partition] == nil {
				e.queues[partition] = bus.NewPermitQueue()
			}
			if p, ok := e.budgets.Admit(groupOf(verb, vendor), e.queues[partition]); ok {
				e.permit(p, partition)
			}
		}
		for partition, q := range e.queues {
			for _, p := range q.Take() {
				e.permit(p, partition)
			}
		}
	}
}

func (e *admissionEnv) permit(p bus.Permit, partition string) {
	vendor, tenant, _ := strings.Cut(p.Group, "/")
	name := fmt.Sprint(tenant, " ", vendor, " ", partition)
	e.held[name] = append(e.held[name], p)
	e.log = append(e.log, name)
}

// end gives everything back. Nothing may be left of it: tenants come from outside.
func (e *admissionEnv) end() {
	for _, q := range e.queues {
		e.budgets.Withdraw(q)
	}
	for _, permits := range e.held {
		for _, p := range permits {
			p.Release()
		}
	}
	if n := len(e.budgets.limits); n > 0 {
		e.t.Errorf("%d limits are kept although nobody uses them", n)
	}
}

func TestGroupOfACommand(t *testing.T) {
	t.Parallel()
	handlers := map[string]Handler{event.TypeDelegationSet: {Vendor: "v"}}
	const subject = "mailwright.cmd.contoso.delegation.3.alex"
	binary := nats.Header{"ce-type": {event.TypeDelegationSet}}
	for name, c := range map[string]struct {
		budget Budget
		d      bus.Delivery
		group  string
	}{
		"binary mode":               {Budget{Tenant: 1}, bus.Delivery{Subject: subject, Header: binary}, "v/contoso"},
		"structured mode":           {Budget{Vendor: 1}, bus.Delivery{Subject: subject, Data: []byte(`{"type":"` + event.TypeDelegationSet + `"}`)}, "v/contoso"},
		"no limits":                 {Budget{}, bus.Delivery{Subject: subject, Header: binary}, ""},
		"a type without a vendor":   {Budget{Tenant: 1}, bus.Delivery{Subject: subject, Header: nats.Header{"ce-type": {event.TypeOperationCancel}}}, ""},
		"no type":                   {Budget{Tenant: 1}, bus.Delivery{Subject: subject, Data: []byte("no event")}, ""},
		"a tenant that is too long": {Budget{Tenant: 1}, bus.Delivery{Subject: "mailwright.cmd." + strings.Repeat("a", 4000) + ".delegation.3.alex", Header: binary}, ""},
		"a reserved key":            {Budget{Tenant: 1}, bus.Delivery{Subject: "mailwright.cmd.contoso.delegation.3.~overflow-3", Header: binary}, ""},
		"a wake-up":                 {Budget{Tenant: 1}, bus.Delivery{Subject: "mailwright.wake.contoso.delegation.3.alex", Header: binary}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := admission{newBudgets(c.budget, time.Second, time.Second), handlers}
			if got := a.Group(c.d); got != c.group {
				t.Errorf("group %q, want %q", got, c.group)
			}
		})
	}
}
