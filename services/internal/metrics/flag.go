package metrics

import (
	"runtime"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Flag is what one owner adds to a gauge that counts owners in a state: 1 while it is set.
type Flag struct {
	gauge prometheus.Gauge
	set   atomic.Bool
}

// NewFlag returns an owner's part of a gauge. It ends with the owner: a client that was replaced
// together with its secret is never asked again, so nobody else would take its part away. That is
// when the runtime collects the owner, some two minutes later at most.
func NewFlag[T any](owner *T, gauge prometheus.Gauge) *Flag {
	f := &Flag{gauge: gauge}
	runtime.AddCleanup(owner, func(f *Flag) { f.Set(false) }, f)
	return f
}

// Set sets or clears the flag. It may be called again with the same value.
func (f *Flag) Set(on bool) {
	switch was := f.set.Swap(on); {
	case on && !was:
		f.gauge.Inc()
	case !on && was:
		f.gauge.Dec()
	}
}
