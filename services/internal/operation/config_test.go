package operation

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failure"
)

func TestConfigNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	valid := func() Config {
		return Config{Domain: event.DomainDirectory, JS: struct{ jetstream.JetStream }{}, Log: slog.New(slog.DiscardHandler)}
	}
	if err := valid().Validate(); err != nil {
		t.Errorf("a valid configuration: %v", err)
	}
	for field, change := range map[string]func(*Config){
		"Domain":            func(c *Config) { c.Domain = "" },
		"JS":                func(c *Config) { c.JS = nil },
		"Log":               func(c *Config) { c.Log = nil },
		"CallTimeout":       func(c *Config) { c.CallTimeout = -1 },
		"ParkAfter":         func(c *Config) { c.ParkAfter = -time.Second },
		"RebalanceInterval": func(c *Config) { c.RebalanceInterval = -1 },
		"RecheckAfter":      func(c *Config) { c.RecheckAfter = -1 },
		"Budget.Tenant":     func(c *Config) { c.Budget.Tenant = -1 },
		"Budget.Vendor":     func(c *Config) { c.Budget.Vendor = -1 },
		`Handlers["x"]`:     func(c *Config) { c.Handlers = map[string]Handler{"x": {}} },
		`Retries["unknown"]`: func(c *Config) {
			c.Retries = Retries{failure.Unknown: {First: time.Minute, Max: time.Second, Horizon: time.Hour}}
		},
	} {
		c := valid()
		change(&c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), "operation.Config."+field+" ") && !strings.Contains(err.Error(), "operation.Config."+field+".") {
			t.Errorf("%s: %v", field, err)
		}
		if _, err := New(context.Background(), c); err == nil {
			t.Errorf("%s: New takes it", field)
		}
	}
}
