// Package provision plans, makes and changes the streams and consumers that the services need. The
// services themselves make what is missing where their NATS user may, and change nothing.
//
// Every step may be cut off and repeated: what was begun is found and finished by the next call.
package provision

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// State is what a stream, a consumer or the partitions are like at the server.
type State string

// The states.
const (
	Unchanged State = "ok"      // as it must be
	Missing   State = "missing" // [Plan]: would be made
	Made      State = "made"
	Differs   State = "differs" // [Plan]: would be changed
	Changed   State = "changed"
	// Stays says that it differs and that no server can change it, or that it cannot be changed now.
	Stays State = "stays"
	// Draining says that commands from before a change of the partitions are being worked off.
	Draining State = "draining"
)

// Item is one stream, one consumer, or the partitions.
type Item struct {
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	State State  `json:"state"`
	// Detail says what differs or was changed, and the remedy for what stays.
	Detail string `json:"detail,omitempty"`
}

// Settings are what is asked for.
type Settings struct {
	// Config is for the streams. Partitions: 0 leaves what COMMANDS has.
	topology.Config
	// Reach marks a step of a change of partitions, for tests that end there; nil: nothing.
	Reach func(step string)
}

// Check holds the settings against their bounds. The error says why a value is not possible.
func (s Settings) Check() error {
	var errs []error
	if n := s.Partitions; n < 0 || n > topology.MaxPartitions {
		errs = append(errs, fmt.Errorf("partitions: %d is not possible, but 1 to %d: each is a consumer, and many of them slow the stream down", n, topology.MaxPartitions))
	}
	if n := s.Replicas; n < 0 || n > 5 || n > 0 && n%2 == 0 {
		errs = append(errs, fmt.Errorf("stream replicas: %d is not possible, but 1, 3 or 5: a majority decides", n))
	}
	errs = append(errs, topology.CheckLimit(topology.StreamCommands, topology.Limit{MaxBytes: &s.MaxBytes})) // as of any other
	for name, l := range s.Limits {
		errs = append(errs, topology.CheckLimit(name, l))
	}
	age := map[string]time.Duration{}
	for _, c := range topology.Streams(s.Config) {
		age[c.Name] = c.MaxAge
	}
	return errors.Join(append(errs, topology.CheckAges(age[topology.StreamCommands], age[topology.StreamEvents]))...)
}

// Plan tells of every stream and consumer how it differs from what it must be. It changes nothing.
func Plan(ctx context.Context, js jetstream.JetStream, s Settings, tell func(Item) error) error {
	return (&run{js: js, settings: s, tell: tell}).all(ctx)
}

// Apply makes what is missing and changes what differs, and tells of each stream and consumer. The
// error is about NATS, or about settings that exclude each other.
func Apply(ctx context.Context, js jetstream.JetStream, s Settings, tell func(Item) error) error {
	return (&run{js: js, settings: s, tell: tell, apply: true}).all(ctx)
}

// ApplyStream makes or changes one stream, which others need before [Apply]. It tells nobody.
func ApplyStream(ctx context.Context, js jetstream.JetStream, s Settings, name string) error {
	r := &run{js: js, settings: s, tell: func(Item) error { return nil }, apply: true}
	for _, want := range topology.Streams(s.Config) {
		if want.Name == name {
			return r.stream(ctx, want)
		}
	}
	return fmt.Errorf("no stream is called %s", name)
}

// run is one plan, or one call of [Apply].
type run struct {
	js       jetstream.JetStream
	settings Settings
	tell     func(Item) error
	apply    bool
}

func (r *run) reach(step string) {
	if r.settings.Reach != nil {
		r.settings.Reach(step)
	}
}

func (r *run) all(ctx context.Context) error {
	if err := r.settings.Check(); err != nil {
		return err
	}
	if err := r.checkAges(ctx); err != nil {
		return err
	}
	for _, want := range topology.Streams(r.settings.Config) {
		if err := r.stream(ctx, want); err != nil {
			return fmt.Errorf("stream %s: %w", want.Name, err)
		}
	}
	layout, err := r.partitions(ctx)
	if err != nil {
		return err
	}
	return r.consumers(ctx, layout)
}

// checkAges holds the ages that COMMANDS and EVENTS would have against each other.
func (r *run) checkAges(ctx context.Context) error {
	age := map[string]jetstream.StreamConfig{}
	for _, want := range topology.Streams(r.settings.Config) {
		if want.Name != topology.StreamCommands && want.Name != topology.StreamEvents {
			continue
		}
		got, found, err := r.find(ctx, want.Name)
		if err != nil {
			return err
		}
		if found {
			_, want = topology.Changes(r.settings.Config, want, got)
		}
		age[want.Name] = want
	}
	return topology.CheckAges(age[topology.StreamCommands].MaxAge, age[topology.StreamEvents].MaxAge)
}

// find reads the configuration of a stream.
func (r *run) find(ctx context.Context, name string) (c jetstream.StreamConfig, found bool, err error) {
	stream, err := r.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("stream %s: %w", name, err)
	}
	return stream.CachedInfo().Config, true, nil
}

// stream makes or changes one stream. The layout of COMMANDS stays as it is: see [run.partitions].
func (r *run) stream(ctx context.Context, want jetstream.StreamConfig) error {
	item := Item{Kind: "stream", Name: want.Name, State: Unchanged}
	got, found, err := r.find(ctx, want.Name)
	if err != nil {
		return err
	}
	if !found {
		item.State = Missing
		if r.apply {
			item.State = Made
			_, err = r.js.CreateStream(ctx, want)
		}
		return errors.Join(err, r.tell(item))
	}
	changes, next := topology.Changes(r.settings.Config, want, got)
	possible, impossible := split(changes, got, &next)
	switch {
	case len(possible) > 0 && r.apply:
		item.State, item.Detail = Changed, list(possible)
		if _, err := r.js.UpdateStream(ctx, next); err != nil {
			return fmt.Errorf("%s: %w", list(possible), err)
		}
	case len(possible) > 0:
		item.State, item.Detail = Differs, list(possible)
	}
	if len(impossible) > 0 {
		item.State, item.Detail = Stays, strings.Join(impossible, "; ")+detailBehind(possible, r.apply)
	}
	return r.tell(item)
}

// detailBehind says what else was changed, or would be.
func detailBehind(changes []topology.Change, apply bool) string {
	switch {
	case len(changes) == 0:
		return ""
	case apply:
		return "; changed: " + list(changes)
	default:
		return "; can be changed: " + list(changes)
	}
}

func list(changes []topology.Change) string {
	var texts []string
	for _, c := range changes {
		texts = append(texts, c.String())
	}
	return strings.Join(texts, "; ")
}

const makeAnew = "stop the publishers and the services, back the stream up (`nats stream backup`), delete it, call this again, and restore what is needed"

// fixed are the fields of a stream that no server changes, by whether the change is one of those:
// see configUpdateCheck of nats-server.
var fixed = map[string]func(from, to jetstream.StreamConfig) bool{
	"storage": func(_, _ jetstream.StreamConfig) bool { return true },
	"retention": func(from, to jetstream.StreamConfig) bool {
		return from.Retention == jetstream.WorkQueuePolicy || to.Retention == jetstream.WorkQueuePolicy
	},
	"sealed":              func(from, _ jetstream.StreamConfig) bool { return from.Sealed },
	"deny_delete":         func(from, _ jetstream.StreamConfig) bool { return from.DenyDelete },
	"deny_purge":          func(from, _ jetstream.StreamConfig) bool { return from.DenyPurge },
	"allow_msg_ttl":       func(from, _ jetstream.StreamConfig) bool { return from.AllowMsgTTL },
	"allow_msg_schedules": func(from, _ jetstream.StreamConfig) bool { return from.AllowMsgSchedules },
}

// split tells changes that a server makes from those that it does not. next keeps what it has of the
// latter.
func split(changes []topology.Change, got jetstream.StreamConfig, next *jetstream.StreamConfig) (possible []topology.Change, impossible []string) {
	to := *next
	for _, c := range changes {
		isFixed, known := fixed[c.Field]
		if !known || !isFixed(got, to) {
			possible = append(possible, c)
			continue
		}
		impossible = append(impossible, fmt.Sprintf("%s cannot be changed in a stream that exists (%s to %s): %s", c.Field, c.From, c.To, makeAnew))
		keep(c.Field, got, next)
	}
	return possible, impossible
}

func keep(field string, got jetstream.StreamConfig, next *jetstream.StreamConfig) {
	switch field {
	case "storage":
		next.Storage = got.Storage
	case "retention":
		next.Retention = got.Retention
	case "sealed":
		next.Sealed = got.Sealed
	case "deny_delete":
		next.DenyDelete = got.DenyDelete
	case "deny_purge":
		next.DenyPurge = got.DenyPurge
	case "allow_msg_ttl":
		next.AllowMsgTTL = got.AllowMsgTTL
	case "allow_msg_schedules":
		next.AllowMsgSchedules = got.AllowMsgSchedules
	}
}

// firstLayout is that of a stream that is still to be made.
func (r *run) firstLayout() topology.Layout {
	return topology.Layout{Current: topology.Generation{Partitions: cmp.Or(r.settings.Partitions, topology.DefaultPartitions)}}
}

// notDrained lists the domains in which commands of a generation are not acknowledged yet.
func (r *run) notDrained(ctx context.Context, g topology.Generation) (pending []event.Domain, err error) {
	for _, d := range event.Domains() {
		drained, err := bus.IsDrained(ctx, r.js, d, g)
		if err != nil {
			return nil, fmt.Errorf("the former partitions of domain %s: %w", d, err)
		}
		if !drained {
			pending = append(pending, d)
		}
	}
	return pending, nil
}
