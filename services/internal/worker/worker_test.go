package worker

import (
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/process"
	"github.com/mailwright/mailwright/services/internal/tenant"
)

// defaults are the settings of a service that is started without any flag.
func defaults(t *testing.T) *Config {
	t.Helper()
	var cfg Config
	parser, err := kong.New(&cfg, process.Options("directory-svc", "")...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(nil); err != nil {
		t.Fatal(err)
	}
	return &cfg
}

// TestEverySettingReachesTheEngine: the engine's own tests fill its Config themselves, so that they
// do not notice what is left out here.
func TestEverySettingReachesTheEngine(t *testing.T) {
	t.Parallel()
	config := defaults(t)
	config.SecretAge = time.Hour
	got, err := engineConfig(event.DomainDirectory, map[string]operation.Handler{event.TypeBusinessUserCreate: {}}, Dependencies{
		Config: config,
		Tenants: tenant.Tenants{
			"contoso": {Operators: []string{"/operator"}, Keys: tenant.KeysStrict, PlainSecrets: tenant.PlainSecretsAllowed}, "fabrikam": {},
		},
		JS:  struct{ jetstream.JetStream }{},
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	optional := []string{"Retries", "WallClock", "Failpoints"} // the engine's defaults, and switches of tests
	v := reflect.ValueOf(got)
	for _, field := range reflect.VisibleFields(v.Type()) {
		if v.FieldByIndex(field.Index).IsZero() && !slices.Contains(optional, field.Name) {
			t.Errorf("engineConfig (worker.go) leaves operation.Config.%s out", field.Name)
		}
	}
	if !got.StrictKeys["contoso"] || got.StrictKeys["fabrikam"] || !slices.Equal(got.Operators["contoso"], []string{"/operator"}) {
		t.Errorf("strict keys %v, operators %v", got.StrictKeys, got.Operators)
	}
	if !got.Secrets["contoso"].PlainAllowed || got.Secrets["fabrikam"].PlainAllowed {
		t.Errorf("secrets %v", got.Secrets)
	}
}

func TestEveryTypeOfCommandNeedsAHandler(t *testing.T) {
	t.Parallel()
	handlers := map[string]operation.Handler{event.TypeObjectCreate: {}}
	if err := CheckHandlers(event.DomainDirectory, handlers); err == nil || !strings.Contains(err.Error(), event.TypeBusinessUserCreate) {
		t.Errorf("%v", err)
	}
	handlers[event.TypeBusinessUserCreate] = operation.Handler{}
	if err := CheckHandlers(event.DomainDirectory, handlers); err != nil {
		t.Error(err)
	}
}

// TestAVendorHasABudgetByDefault: a service that calls two vendors must not give all its calls to
// one that hangs.
func TestAVendorHasABudgetByDefault(t *testing.T) {
	t.Parallel()
	cfg := defaults(t)
	if highest := 128; cfg.VendorConcurrency < 1 || cfg.VendorConcurrency > highest { // two vendors share the calls that may outlast ParkAfter
		t.Errorf("%d calls of a vendor may be under way; at most %d, and at least one", cfg.VendorConcurrency, highest)
	}
}
