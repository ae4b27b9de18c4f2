package bus

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/internal/metrics"
)

// partitionLease is the right to receive the messages of a partition. The server grants it to one
// subscriber of a consumer with a pinned client and names it by a pin (NATS ADR-42).
//
// Each pull request that carries the pin renews it. It ends PinnedTTL after the last request, when
// somebody unpins the consumer, and when the server restarts.
//
// orbit.go's pcgroups (v0.2.1) is built on pinned clients too, but does not serve here: it starts a
// message as soon as it has the pin, although the previous owner may still handle an older one of
// the same key. It keeps the order only with MaxAckPending 1, where a slow key delays its whole
// partition. Its members must be listed before they start, in a key-value bucket.
type partitionLease struct {
	js       jetstream.JetStream
	stream   string
	consumer string
	log      *slog.Logger // names the partition
	pin      string       // the last one, until it is unpinned
	acquired time.Time    // zero without the lease
}

// partitionGroup is the priority group of all consumers with a pinned client.
const partitionGroup = "owner"

// infoTimeout bounds the requests for the state of a consumer and to unpin it.
const infoTimeout = time.Second

// renew takes the pin that came with a message.
func (l *partitionLease) renew(pin string, outstanding int) {
	if pin == "" || pin == l.pin && !l.acquired.IsZero() {
		return
	}
	l.pin = pin
	l.acquired = time.Now()
	metrics.LeaseHeld.WithLabelValues(l.stream, l.consumer).Set(1)
	metrics.LeasesAcquired.WithLabelValues(l.stream, l.consumer).Inc()
	l.log.Info("partition acquired", "outstanding", outstanding)
}

// lost notes that the server may have granted the lease to another subscriber. outstanding is how
// many messages this process has not acknowledged.
func (l *partitionLease) lost(reason error, outstanding int) {
	if !l.acquired.IsZero() {
		metrics.LeasesLost.WithLabelValues(l.stream, l.consumer).Inc()
	}
	l.end("partition lost", outstanding, "reason", reason)
}

// release ends the lease, so that another subscriber need not wait for PinnedTTL.
func (l *partitionLease) release(outstanding int) {
	l.end("partition released", outstanding)
	l.unpin()
}

func (l *partitionLease) end(message string, outstanding int, attributes ...any) {
	if l.acquired.IsZero() {
		return
	}
	duration := time.Since(l.acquired).Round(time.Millisecond)
	l.log.With(attributes...).Info(message, "duration", duration, "outstanding", outstanding)
	l.acquired = time.Time{}
	metrics.LeaseHeld.WithLabelValues(l.stream, l.consumer).Set(0)
}

// measure sets the gauges of the partition's queue. Every replica does: else a queue that no
// replica holds would show nowhere. It runs beside the goroutine of the lease.
func (l *partitionLease) measure(ctx context.Context) {
	info, err := l.info(ctx)
	if err != nil {
		return
	}
	metrics.PartitionPending.WithLabelValues(l.stream, l.consumer).Set(float64(info.NumPending))
	metrics.PartitionInFlight.WithLabelValues(l.stream, l.consumer).Set(float64(info.NumAckPending))
}

// unpin asks the server to forget the pin, unless it has granted another one since. While the
// connection is down it does nothing, and can be called again.
func (l *partitionLease) unpin() {
	if l.pin == "" || !l.js.Conn().IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), infoTimeout)
	defer cancel()
	if err := l.unpinIfOurs(ctx); err != nil {
		l.log.Debug("the partition could not be unpinned; its pin ends after PinnedTTL", "error", err)
		return
	}
	l.pin = ""
}

func (l *partitionLease) unpinIfOurs(ctx context.Context) error {
	info, err := l.info(ctx)
	if err != nil {
		return err
	}
	for _, group := range info.PriorityGroups {
		if group.PinnedClientID != l.pin {
			continue
		}
		stream, err := l.js.Stream(ctx, l.stream)
		if err != nil {
			return err
		}
		return stream.UnpinConsumer(ctx, l.consumer, group.Group)
	}
	return nil
}

// othersWait reports whether another subscriber waits for the lease. own is how many requests of
// this process are open at the server.
func (l *partitionLease) othersWait(ctx context.Context, own int) bool {
	info, err := l.info(ctx)
	return err == nil && info.NumWaiting > own
}

func (l *partitionLease) info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	c, err := l.js.Consumer(ctx, l.stream, l.consumer)
	if err != nil {
		return nil, fmt.Errorf("bus: state of consumer %s: %w", l.consumer, err)
	}
	return c.CachedInfo(), nil
}
