package metrics_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/mailwright/mailwright/services/internal/metrics"
)

func TestAFlagEndsWithItsOwner(t *testing.T) {
	t.Parallel()
	type owner struct {
		name string
		self *owner // a cycle, as of a client and its circuit breaker
	}
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "owners"})
	replaced, stays := &owner{name: "replaced"}, &owner{name: "stays"}
	replaced.self = replaced
	for _, o := range []*owner{replaced, stays} {
		f := metrics.NewFlag(o, gauge)
		f.Set(true)
		f.Set(true)
	}
	if n := testutil.ToFloat64(gauge); n != 2 {
		t.Fatalf("the gauge is %v", n)
	}
	replaced = nil
	for began := time.Now(); testutil.ToFloat64(gauge) != 1; runtime.GC() {
		if time.Since(began) > time.Minute {
			t.Fatalf("the gauge is %v", testutil.ToFloat64(gauge))
		}
	}
	runtime.KeepAlive(stays)
}
