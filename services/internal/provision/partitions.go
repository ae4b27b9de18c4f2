package provision

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// The number of partitions is changed in three steps, each of which is one request or may be
// repeated:
//
//  1. The consumers of the next generation are made. Nothing is stored on their subjects yet.
//  2. One update of COMMANDS has later commands stored on the subjects of the next generation, and
//     notes the generation before.
//  3. When all commands of that one are acknowledged, another update forgets it, and its consumers
//     are deleted. The next call does so.
//
// The services receive the commands of the next generation when those of the one before are
// acknowledged: see package operation.

// Steps of a change, for [Settings.Reach].
const (
	StepConsumersMade = "consumers-made" // of the next generation
	StepClosed        = "closed"         // COMMANDS takes nothing; only with several replicas
	StepSwitched      = "switched"       // COMMANDS has the new layout
	StepForgotten     = "forgotten"      // the former generation is; its consumers are still there
)

// partitionsOf is the member of a consumer's metadata that holds the number of partitions of its
// generation. Two calls with different numbers would make the same consumers: the first one made
// decides which of them goes on.
const partitionsOf = "mailwright-partitions"

// partitions changes the number of partitions if another one is asked for, and returns the layout.
func (r *run) partitions(ctx context.Context) (topology.Layout, error) {
	commands, found, err := r.find(ctx, topology.StreamCommands)
	if err != nil || !found {
		return r.firstLayout(), err
	}
	layout, err := topology.LayoutOf(commands)
	if err != nil {
		return layout, err
	}
	if layout.Previous != nil {
		if layout, err = r.finish(ctx, commands, layout); err != nil {
			return layout, err
		}
	}
	if layout.Previous == nil {
		if err := r.removeFormer(ctx, layout); err != nil {
			return layout, err
		}
	}
	why, err := r.whyChange(ctx, layout)
	if err != nil || why == "" {
		return layout, err
	}
	return r.change(ctx, layout, why)
}

// finish forgets the former generation if all its commands are acknowledged.
func (r *run) finish(ctx context.Context, commands jetstream.StreamConfig, l topology.Layout) (topology.Layout, error) {
	item := Item{Kind: "partitions", Name: describe(l.Current), State: Draining}
	pending, err := r.notDrained(ctx, *l.Previous)
	if err != nil {
		return l, err
	}
	if len(pending) > 0 {
		item.Detail = fmt.Sprintf("commands of %v from before the change are not acknowledged yet in the former %s; those that came later wait for them", pending, describe(*l.Previous))
		return l, r.tell(item)
	}
	item.State, item.Detail = Differs, fmt.Sprintf("the former %s are worked off: their consumers can go", describe(*l.Previous))
	if !r.apply {
		return l, r.tell(item)
	}
	next := topology.Layout{Current: l.Current}
	next.Apply(&commands)
	if _, err := r.js.UpdateStream(ctx, commands); err != nil {
		return l, fmt.Errorf("forget the former partitions: %w", err)
	}
	r.reach(StepForgotten)
	item.State = Changed
	return next, r.tell(item)
}

// removeFormer deletes the consumers of generations before the layout's.
func (r *run) removeFormer(ctx context.Context, l topology.Layout) error {
	stream, err := r.js.Stream(ctx, topology.StreamCommands)
	if err != nil {
		return err
	}
	var former []string
	all := stream.ListConsumers(ctx)
	for info := range all.Info() {
		if _, generation, _, ok := topology.ParseCommandFilter(info.Config.FilterSubject); ok && l.IsPast(generation) {
			former = append(former, info.Name)
		}
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("consumers of %s: %w", topology.StreamCommands, err)
	}
	for _, name := range former {
		item := Item{Kind: "consumer", Name: topology.StreamCommands + "/" + name, State: Differs, Detail: "it belongs to former partitions, and can go"}
		if r.apply {
			if err := r.js.DeleteConsumer(ctx, topology.StreamCommands, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
				return fmt.Errorf("delete consumer %s: %w", name, err)
			}
			item.State, item.Detail = Changed, "it belonged to former partitions, and is deleted"
		}
		if err := r.tell(item); err != nil {
			return err
		}
	}
	return nil
}

// whyChange says why another generation of partitions is needed; "": it is not.
func (r *run) whyChange(ctx context.Context, l topology.Layout) (string, error) {
	if wanted := cmp.Or(r.settings.Partitions, l.Current.Partitions); wanted != l.Current.Partitions {
		return fmt.Sprintf("%d partitions become %d", l.Current.Partitions, wanted), nil
	}
	for _, d := range event.Domains() {
		for _, want := range bus.CommandConsumers(d, l.Current) {
			got, found, err := r.findConsumer(ctx, want)
			if err != nil {
				return "", err
			}
			if changes := fixedChanges(want.Config, got.Config); found && len(changes) > 0 {
				return fmt.Sprintf("consumer %s is handed over to a new one: %s", want.Config.Durable, list(changes)), nil
			}
		}
	}
	return "", nil
}

// change has later commands stored under another generation.
func (r *run) change(ctx context.Context, l topology.Layout, why string) (topology.Layout, error) {
	item := Item{Kind: "partitions", Name: describe(l.Current), State: Differs, Detail: why}
	switch {
	case l.Previous != nil:
		item.State, item.Detail = Stays, why+": not before the commands of the former partitions are acknowledged; call this again then"
		return l, r.tell(item)
	case !r.apply:
		return l, r.tell(item)
	}
	next := l.Next(cmp.Or(r.settings.Partitions, l.Current.Partitions))
	for _, d := range event.Domains() {
		for _, want := range bus.CommandConsumers(d, next.Current) {
			if err := r.makeNext(ctx, want, next.Current); err != nil {
				return l, err
			}
		}
	}
	r.reach(StepConsumersMade)
	if err := r.switchTo(ctx, l, next); err != nil {
		return l, fmt.Errorf("change the partitions of %s: %w", topology.StreamCommands, err)
	}
	r.reach(StepSwitched)
	item.Name, item.State, item.Detail = describe(next.Current), Changed, why+", as soon as the commands that came before are acknowledged"
	return next, r.tell(item)
}

// makeNext makes a consumer of the next generation.
func (r *run) makeNext(ctx context.Context, want bus.StreamConsumer, g topology.Generation) error {
	config := named(want.Config, g)
	_, err := r.js.CreateConsumer(ctx, want.Stream, config)
	if !errors.Is(err, jetstream.ErrConsumerExists) {
		return err
	}
	got, _, err := r.findConsumer(ctx, want)
	if err != nil {
		return err
	}
	if n := got.Config.Metadata[partitionsOf]; n != config.Metadata[partitionsOf] {
		return fmt.Errorf("a change to %s partitions was begun and is not finished: finish it with --partitions %s; then the number can be changed again", n, n)
	}
	return nil
}

func named(c jetstream.ConsumerConfig, g topology.Generation) jetstream.ConsumerConfig {
	c.Metadata = map[string]string{partitionsOf: strconv.Itoa(g.Partitions)}
	return c
}

// switchTo gives COMMANDS the next layout. A server applies the update between two messages.
//
// With several replicas each server transforms the subject of a message when it stores it, and each
// learns of the update by itself. So a message that is under way could get different subjects on
// different servers. COMMANDS takes nothing while the layout changes: publishers are told that no
// stream responds, as while a leader is elected, and try again.
func (r *run) switchTo(ctx context.Context, from, next topology.Layout) error {
	commands, _, err := r.find(ctx, topology.StreamCommands)
	if err != nil {
		return err
	}
	if now, err := topology.LayoutOf(commands); err != nil || now != from {
		return errors.Join(err, errors.New("somebody else has changed them meanwhile; call this again"))
	}
	if commands.Replicas > 1 {
		return r.switchClosed(ctx, commands, next)
	}
	next.Apply(&commands)
	_, err = r.js.UpdateStream(ctx, commands)
	return err
}

// switchClosed gives COMMANDS the next layout while it takes nothing. It is opened again whatever
// goes wrong, and also if ctx ends meanwhile. A call that is killed leaves it closed: the next one
// opens it, since its subjects differ.
func (r *run) switchClosed(ctx context.Context, commands jetstream.StreamConfig, next topology.Layout) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), switchTimeout)
	defer cancel()
	update := func(subjects ...string) error {
		commands.Subjects = subjects
		_, err := r.js.UpdateStream(ctx, commands)
		return err
	}
	open := commands.Subjects
	err := update(topology.ClosedSubject)
	if err == nil {
		r.reach(StepClosed)
		err = r.awaitReplicas(ctx, commands.Replicas)
	}
	if err == nil {
		next.Apply(&commands)
		err = update(topology.ClosedSubject)
	}
	if err == nil {
		// No server tells that it has taken a configuration over, so each is given some time. One
		// that had the subjects back before the layout would store commands under the former
		// generation.
		err = r.awaitReplicas(ctx, commands.Replicas)
		time.Sleep(layoutPause)
	}
	return errors.Join(err, update(open...))
}

const (
	// switchTimeout bounds a change with several replicas, for most of which COMMANDS takes
	// nothing.
	switchTimeout = 30 * time.Second
	layoutPause   = time.Second
	// replicasTimeout bounds the time for which COMMANDS takes nothing.
	replicasTimeout = 5 * time.Second
	replicasPause   = 20 * time.Millisecond
)

// awaitReplicas returns when every server has stored all messages of COMMANDS, and nothing more has
// come for a while.
func (r *run) awaitReplicas(ctx context.Context, replicas int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, replicasTimeout,
		fmt.Errorf("not all %d servers of %s are up and up to date after %v", replicas, topology.StreamCommands, replicasTimeout))
	defer cancel()
	var last uint64
	for same := 0; same < 3; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(replicasPause):
		}
		stream, err := r.js.Stream(ctx, topology.StreamCommands)
		if err != nil {
			return err
		}
		info := stream.CachedInfo()
		if isCurrent(info, replicas) && (same == 0 || info.State.LastSeq == last) {
			same++
		} else {
			same = 0
		}
		last = info.State.LastSeq
	}
	return nil
}

func isCurrent(info *jetstream.StreamInfo, replicas int) bool {
	if info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != replicas-1 {
		return false
	}
	for _, peer := range info.Cluster.Replicas {
		if peer.Offline || !peer.Current || peer.Lag > 0 {
			return false
		}
	}
	return true
}

func describe(g topology.Generation) string {
	return fmt.Sprintf("%d partitions of generation %d", g.Partitions, g.Number)
}
