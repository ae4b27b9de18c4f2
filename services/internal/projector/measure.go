package projector

import (
	"context"
	"time"

	"github.com/mailwright/mailwright/services/internal/metrics"
)

// setPositions keeps the positions of the projections for [Projector.Measure]; nil: another process
// leads. They stay while the projections are interrupted, so that their lag shows.
func (p *Projector) setPositions(states []*projectionState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.positions = nil
	for _, s := range states {
		p.positions = append(p.positions, s.at)
	}
}

// Measure sets the gauges of the projections' lag, if this process leads them.
func (p *Projector) Measure(ctx context.Context) {
	p.mu.Lock()
	positions := p.positions
	p.mu.Unlock()
	for i, each := range p.projections {
		if positions == nil {
			metrics.ProjectionLagMessages.DeleteLabelValues(each.Name())
			metrics.ProjectionLagSeconds.DeleteLabelValues(each.Name())
			continue
		}
		lag, err := p.measureLag(ctx, each, positions[i])
		if err != nil {
			continue
		}
		age := time.Duration(0)
		if lag.Messages > 0 && !lag.Since.IsZero() {
			age = max(0, time.Since(lag.Since))
		}
		metrics.ProjectionLagMessages.WithLabelValues(each.Name()).Set(float64(lag.Messages))
		metrics.ProjectionLagSeconds.WithLabelValues(each.Name()).Set(age.Seconds())
	}
}

// measureLag is [MeasureLag], without a consumer for a projection that has all of its stream.
func (p *Projector) measureLag(ctx context.Context, each Projection, at Checkpoint) (Lag, error) {
	stream, err := p.js.Stream(ctx, each.Stream())
	if err != nil {
		return Lag{}, err
	}
	if last := stream.CachedInfo().State.LastSeq; uint64(at.Sequence) >= last {
		return Lag{Last: last}, nil
	}
	return MeasureLag(ctx, p.js, each, at)
}
