package status

import (
	"time"

	"github.com/mailwright/mailwright/pkg/event"
)

// Report is the status of the system, as --json prints it. Its form is stable: members may be
// added, and none changes its meaning.
type Report struct {
	Time     time.Time `json:"time"`
	Postgres Postgres  `json:"postgres"`
	// Operations counts operations by domain and state, with every domain and state; null without
	// Postgres.
	Operations map[event.Domain]map[event.State]int64 `json:"operations"`
	Commands   []Commands                             `json:"commands"`
	Streams    []Stream                               `json:"streams"`
	// Projections is empty without Postgres.
	Projections []Projection `json:"projections"`
}

// Postgres says whether the projections could be read.
type Postgres struct {
	Available bool `json:"available"`
	// Problem says why not, without secrets.
	Problem string `json:"problem,omitempty"`
}

// Commands are the commands that a domain's service has left, over all its partitions.
type Commands struct {
	Domain event.Domain `json:"domain"`
	// Consumers is the number of partitions that a service has ever worked on; 0: none has run yet,
	// and nothing is known of what is pending.
	Consumers int `json:"consumers"`
	// Pending commands have not been delivered yet.
	Pending uint64 `json:"pending"`
	// InFlight commands are being worked on, or wait for their next attempt.
	InFlight int `json:"inFlight"`
}

// Stream is the state of a stream.
type Stream struct {
	Name         string `json:"name"`
	Exists       bool   `json:"exists"`
	Messages     uint64 `json:"messages"`
	Bytes        uint64 `json:"bytes"`
	LastSequence uint64 `json:"lastSequence"`
	// LastTime is when the last message was stored; absent where there was none.
	LastTime *time.Time `json:"lastTime,omitempty"`

	created time.Time
}

// Projection is the position of a projection.
type Projection struct {
	Name     string `json:"name"`
	Stream   string `json:"stream"`
	Sequence uint64 `json:"sequence"`
	// LastSequence is the stream's, and Lag how far the projection is behind it: an upper bound,
	// since messages on subjects that the projection does not follow count too.
	LastSequence uint64 `json:"lastSequence"`
	Lag          uint64 `json:"lag"`
	// Foreign says that the stream was deleted and made again: Sequence means messages that are
	// gone, and Lag is everything.
	Foreign bool `json:"foreign,omitempty"`
}

// measure compares projections with the streams that they follow. Postgres is read before the
// streams, so that a projection never seems ahead.
func measure(positions []position, streams []Stream) []Projection {
	list := []Projection{}
	for _, p := range positions {
		projection := Projection{Name: p.Projection, Stream: p.Stream, Sequence: p.Sequence}
		for _, s := range streams {
			if s.Name != p.Stream {
				continue
			}
			projection.LastSequence = s.LastSequence
			// Postgres stores microseconds
			projection.Foreign = s.Exists && s.created.Sub(p.Incarnation).Abs() > time.Millisecond
			projection.Lag = s.LastSequence - min(p.Sequence, s.LastSequence)
			if projection.Foreign {
				projection.Lag = s.LastSequence
			}
		}
		list = append(list, projection)
	}
	return list
}
