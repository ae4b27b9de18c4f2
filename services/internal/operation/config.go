package operation

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failpoint"
)

// Config is what a service brings to its engine. Domain, Handlers, JS and Log are required.
type Config struct {
	Domain   event.Domain
	Handlers map[string]Handler // by type of command
	// Retries overrides [DefaultRetries] kind by kind.
	Retries Retries
	// CallTimeout bounds one attempt at the vendor. A call of which nothing was heard for so long
	// counts as lost. Each renewal of a call that goes on counts anew. 0 is 60 s.
	CallTimeout time.Duration
	// ParkAfter is how long a command may keep its slot, waiting for its vendor's answer or for a
	// short retry. After that its key is parked, so that it does not hold up other keys. 0 is 2 s.
	ParkAfter time.Duration
	// RebalanceInterval is how long a replica keeps a partition for which another waits, at least;
	// see [bus.SubscriberConfig]. 0 is 30 s.
	RebalanceInterval time.Duration
	// RecheckAfter is how old a command is when it is checked once more, in case it was lost; and
	// how much too late the wake-up of a parked key may be. 0 is 10 minutes.
	RecheckAfter time.Duration
	// Operators are, by tenant, the sources whose operation.cancel may end every operation of the
	// tenant. Others may end those of their own source.
	Operators map[string][]string
	// StrictKeys names the tenants whose commands are rejected if their key is not the recommended
	// one.
	StrictKeys map[string]bool
	// Secrets says, by tenant, what opens sealed secrets and whether plain ones are allowed. The
	// handlers reject the commands of a tenant that is missing here.
	Secrets map[string]Secrets
	// SecretAge is how long after its outcome a command that holds a secret stays in COMMANDS. 0:
	// it is removed at once. Else the recheck removes it.
	SecretAge time.Duration
	// Tenants is how many tenants are configured; 0: any number. A single one holds up nobody: what
	// it has over its limit stays in the partitions.
	Tenants int
	// Budget limits each tenant's and each vendor's calls; the zero value does not.
	Budget Budget
	JS     jetstream.JetStream
	Log    *slog.Logger
	// WallClock is this machine's clock. Only its differences count: the time is the NATS server's.
	// nil is time.Now.
	WallClock func() time.Time
	// Failpoints are those of the guarantee suite; none in a released program.
	Failpoints failpoint.Set
}

// Validate returns an error that names the first field with a value that makes no sense.
func (c Config) Validate() error {
	switch {
	case c.Domain == "":
		return errors.New("operation.Config.Domain is empty")
	case c.JS == nil:
		return errors.New("operation.Config.JS is nil")
	case c.Log == nil:
		return errors.New("operation.Config.Log is nil")
	case c.Budget.Tenant < 0:
		return fmt.Errorf("operation.Config.Budget.Tenant is %d: must not be negative", c.Budget.Tenant)
	case c.Budget.Vendor < 0:
		return fmt.Errorf("operation.Config.Budget.Vendor is %d: must not be negative", c.Budget.Vendor)
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"CallTimeout", c.CallTimeout}, {"ParkAfter", c.ParkAfter},
		{"RebalanceInterval", c.RebalanceInterval}, {"RecheckAfter", c.RecheckAfter},
		{"SecretAge", c.SecretAge},
	} {
		if d.value < 0 {
			return fmt.Errorf("operation.Config.%s is %v: must not be negative", d.field, d.value)
		}
	}
	for commandType, h := range c.Handlers {
		if h.Perform == nil {
			return fmt.Errorf("operation.Config.Handlers[%q].Perform is nil", commandType)
		}
	}
	for kind, r := range c.Retries {
		if r.First <= 0 || r.Max < r.First {
			return fmt.Errorf("operation.Config.Retries[%q] has First %v and Max %v: need 0 < First <= Max", kind, r.First, r.Max)
		}
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.CallTimeout = cmp.Or(c.CallTimeout, 60*time.Second)
	c.ParkAfter = cmp.Or(c.ParkAfter, 2*time.Second)
	c.RecheckAfter = cmp.Or(c.RecheckAfter, 10*time.Minute)
	c.Retries = DefaultRetries.with(c.Retries)
	if c.Failpoints.Disabled(failpoint.Detach) {
		c.ParkAfter = time.Hour
	}
	return c
}

// limitTimeout is how long a command waits for a call of its tenant or vendor before that is
// published.
func (c Config) limitTimeout() time.Duration { return 5 * c.ParkAfter }

// leaseTime is how long others leave a detached call alone after its last renewal, which happens
// three times as often. If the process dies, the command is taken up again after so long.
func (c Config) leaseTime() time.Duration { return min(c.CallTimeout, maxLeaseTime) }

const maxLeaseTime = 30 * time.Second
