package worker

import (
	"testing"

	"github.com/alecthomas/kong"

	"github.com/mailwright/mailwright/services/internal/process"
)

// TestAVendorHasABudgetByDefault: a service that calls two vendors must not give all its calls to
// one that hangs.
func TestAVendorHasABudgetByDefault(t *testing.T) {
	t.Parallel()
	var cfg Config
	parser, err := kong.New(&cfg, process.Options("directory-svc", "")...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(nil); err != nil {
		t.Fatal(err)
	}
	if highest := 128; cfg.VendorConcurrency < 1 || cfg.VendorConcurrency > highest { // two vendors share the calls that may outlast ParkAfter
		t.Errorf("%d calls of a vendor may be under way; at most %d, and at least one", cfg.VendorConcurrency, highest)
	}
}
