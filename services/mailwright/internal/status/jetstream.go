package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

var streamNames = []string{
	topology.StreamCommands,
	topology.StreamEvents,
	topology.StreamMailboxes,
	topology.StreamDrift,
	topology.StreamParked,
	topology.StreamDead,
	topology.StreamRecipients,
	topology.StreamAudit,
}

// streams reads what each stream holds; one that does not exist is no error.
func streams(ctx context.Context, js jetstream.JetStream) ([]Stream, error) {
	var list []Stream
	for _, name := range streamNames {
		s := Stream{Name: name}
		stream, err := js.Stream(ctx, name)
		switch {
		case err == nil:
			info := stream.CachedInfo()
			s.Exists = true
			s.Messages = info.State.Msgs
			s.Bytes = info.State.Bytes
			s.LastSequence = info.State.LastSeq
			s.created = info.Created
			if last := info.State.LastTime; info.State.LastSeq > 0 {
				s.LastTime = &last
			}
		case !errors.Is(err, jetstream.ErrStreamNotFound):
			return nil, fmt.Errorf("stream %s: %w", name, err)
		}
		list = append(list, s)
	}
	return list, nil
}

// commands sums over the consumers of each domain's partitions.
func commands(ctx context.Context, js jetstream.JetStream) ([]Commands, error) {
	var list []Commands
	for _, d := range event.Domains() {
		list = append(list, Commands{Domain: d})
	}
	stream, err := js.Stream(ctx, topology.StreamCommands)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return list, nil
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", topology.StreamCommands, err)
	}
	consumers := stream.ListConsumers(ctx)
	for info := range consumers.Info() {
		i := slices.IndexFunc(list, func(c Commands) bool { return c.Domain == domainOf(info.Name) })
		if i < 0 {
			continue // not one of ours
		}
		list[i].Consumers++
		list[i].Pending += info.NumPending
		list[i].InFlight += info.NumAckPending
	}
	if err := consumers.Err(); err != nil {
		return nil, fmt.Errorf("consumers of %s: %w", topology.StreamCommands, err)
	}
	return list, nil
}

// domainOf reads the name of a partition's consumer; see bus.CommandConsumer.
func domainOf(consumer string) event.Domain {
	domain, partition, ok := strings.Cut(strings.Replace(consumer, "-odd-", "-", 1), "-")
	if _, err := strconv.Atoi(partition); !ok || err != nil {
		return ""
	}
	return event.Domain(domain)
}
