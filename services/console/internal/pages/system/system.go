// Package system is the machinery: which domain is served, partitions and their leases, streams,
// projections with their lag, and the services' own health.
package system

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/console/internal/page"
)

//go:embed *.html
var templates embed.FS

// Options say what the page can reach beside NATS and Postgres.
type Options struct {
	// Services maps the name of a service to the base URL of its health endpoints.
	Services map[string]string
	// HTTP asks the services' health endpoints.
	HTTP *http.Client
}

// system reads the page.
type system struct {
	source page.Source
	opts   Options
}

// New makes the page.
func New(s page.Source, o Options) page.Page {
	y := system{s, o}
	return page.Page{
		Path: "/system", Title: "System", Nav: "System", Templates: templates, Live: []string{"domains", "services", "streams", "projections"}, Always: true, Every: 3 * time.Second,
		Load: func(ctx context.Context, r *page.Request) (any, error) { return y.load(ctx, r) },
	}
}

type stream struct {
	Name, Holds string
	Exists      bool
	Messages    uint64
	Bytes       uint64
	First, Last uint64
	LastAt      time.Time
	created     time.Time
}

type partition struct {
	Number           int
	Lease            string // id of the client that the server has pinned
	Pending          uint64
	InFlight         int
	Waiting, Redeliv int
	LastAck          time.Time
}

// Served reports whether a replica asks for the partition's commands.
func (p partition) Served() bool { return p.Waiting > 0 || p.InFlight > 0 }

type domain struct {
	Name       event.Domain
	Partitions []partition
	Leases     int
	Served     int
	Pending    uint64
	InFlight   int
}

// State is one word on the domain.
func (d domain) State() string {
	switch {
	case len(d.Partitions) == 0 || d.Served == 0:
		return "down"
	case d.Served < len(d.Partitions):
		return "stale"
	}
	return "ok"
}

type projection struct {
	Name, Stream string
	Sequence     int64
	Updated      time.Time
	Incarnation  time.Time
	Lag          uint64
	Foreign      bool
}

type data struct {
	NATSError   string
	Domains     []domain
	Services    []service
	Streams     []stream
	Projections []projection
	Errors      []projectionError
}

type projectionError struct {
	Projection, Stream string
	Sequence           int64
	Reason             string
	Recorded           time.Time
}

// maxErrors is how many messages that could not be applied the page names.
const maxErrors = 10

func (y system) load(ctx context.Context, r *page.Request) (any, error) {
	var d data
	if err := y.nats(ctx, &d); err != nil {
		d.NATSError = "NATS did not answer."
		y.source.Log.Debug("system page", "error", err)
	}
	d.Services = y.services(ctx)
	var err error
	d.Projections, err = y.projections(ctx, d.Streams)
	if err != nil {
		return nil, err
	}
	if r.Person.Tenants == nil {
		d.Errors, err = page.Rows[projectionError](ctx, y.source, `SELECT projection, stream, sequence, reason, recorded_at FROM projection_errors ORDER BY recorded_at DESC LIMIT $1`, maxErrors)
	}
	return d, err
}

// natsTimeout bounds what is asked of NATS, so that the rest of the page does not wait for it.
const natsTimeout = 2 * time.Second

func (y system) nats(ctx context.Context, d *data) error {
	ctx, cancel := context.WithTimeout(ctx, natsTimeout)
	defer cancel()
	for _, each := range topology.Streams(topology.Config{}) {
		s := stream{Name: each.Name, Holds: each.Description}
		found, err := y.source.JS.Stream(ctx, each.Name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
		case err != nil:
			return err
		default:
			state := found.CachedInfo().State
			s.Exists, s.Messages, s.Bytes, s.First, s.Last, s.LastAt = true, state.Msgs, state.Bytes, state.FirstSeq, state.LastSeq, state.LastTime
			s.created = found.CachedInfo().Created
			if state.LastSeq == 0 {
				s.LastAt = time.Time{}
			}
		}
		d.Streams = append(d.Streams, s)
	}
	return y.domains(ctx, d)
}

// domains reads the consumers of the partitions' commands.
func (y system) domains(ctx context.Context, d *data) error {
	for _, each := range event.Domains() {
		d.Domains = append(d.Domains, domain{Name: each})
	}
	commands, err := y.source.JS.Stream(ctx, topology.StreamCommands)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	consumers := commands.ListConsumers(ctx)
	for info := range consumers.Info() {
		name, number, _ := strings.Cut(info.Name, "-")
		n, err := strconv.Atoi(number)
		i := slices.IndexFunc(d.Domains, func(d domain) bool { return string(d.Name) == name })
		if err != nil || i < 0 {
			continue // not a partition's
		}
		d.Domains[i].add(n, info)
	}
	for i := range d.Domains {
		slices.SortFunc(d.Domains[i].Partitions, func(a, b partition) int { return cmp.Compare(a.Number, b.Number) })
		d.Domains[i].count()
	}
	return consumers.Err()
}

func (d *domain) add(number int, info *jetstream.ConsumerInfo) {
	p := partition{Number: number, Pending: info.NumPending, InFlight: info.NumAckPending, Waiting: info.NumWaiting, Redeliv: info.NumRedelivered}
	for _, group := range info.PriorityGroups {
		p.Lease = group.PinnedClientID
	}
	if info.AckFloor.Last != nil {
		p.LastAck = *info.AckFloor.Last
	}
	d.Partitions = append(d.Partitions, p)
}

func (d *domain) count() {
	for _, p := range d.Partitions {
		d.Pending += p.Pending
		d.InFlight += p.InFlight
		if p.Served() {
			d.Served++
		}
		if p.Lease != "" {
			d.Leases++
		}
	}
}

// projections compares positions with the streams. Postgres keeps microseconds.
func (y system) projections(ctx context.Context, streams []stream) ([]projection, error) {
	rows, err := page.Rows[struct {
		Name, Stream         string
		Sequence             int64
		Incarnation, Updated time.Time
	}](ctx, y.source, `SELECT projection, stream, sequence, incarnation, updated_at FROM projections ORDER BY stream, projection`)
	if err != nil {
		return nil, fmt.Errorf("positions of the projections: %w", err)
	}
	var list []projection
	for _, row := range rows {
		p := projection{Name: row.Name, Stream: row.Stream, Sequence: row.Sequence, Updated: row.Updated, Incarnation: row.Incarnation}
		for _, s := range streams {
			if s.Name != p.Stream || !s.Exists {
				continue
			}
			p.Foreign = s.created.Sub(p.Incarnation).Abs() > time.Millisecond
			p.Lag = s.Last - min(uint64(p.Sequence), s.Last)
		}
		list = append(list, p)
	}
	return list, nil
}
