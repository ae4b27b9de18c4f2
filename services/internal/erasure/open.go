package erasure

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// check finds what has not ended. A service that still has a command in its hands would find no
// record after the erasure, and carry it out again.
func (f *finder) check(ctx context.Context) error {
	f.report("checking the operations")
	events, err := f.JS.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return fmt.Errorf("stream %s: %w", topology.StreamEvents, err)
	}
	inFlight, err := f.inFlight(ctx)
	if err != nil {
		return err
	}
	waiting, err := f.waiting(ctx)
	if err != nil {
		return err
	}
	for _, o := range f.found.Operations {
		state, err := f.lastOf(ctx, events, o)
		if err != nil {
			return err
		}
		if why := f.why(o, state, inFlight, waiting); why != "" {
			f.found.Open = append(f.found.Open, Open{o, why})
		}
	}
	for _, c := range f.found.commands {
		if c.operation.ID == "" && inFlight[c.sequence] {
			f.found.Open = append(f.found.Open, Open{c.operation, fmt.Sprintf("its command, message %d of COMMANDS, is still in flight: try again soon", c.sequence)})
		}
	}
	return nil
}

// why says what is missing to the end of an operation; "" for nothing.
func (f *finder) why(o Operation, state event.State, inFlight map[uint64]bool, waiting map[Operation]bool) string {
	commands := slices.DeleteFunc(slices.Clone(f.found.commands), func(c stored) bool { return c.operation != o })
	switch letter, dead := f.found.letterOf[o]; {
	case slices.ContainsFunc(commands, func(c stored) bool { return inFlight[c.sequence] }):
		return "a command of it is still in flight: try again when it has its outcome"
	case waiting[o]:
		return "a command of it waits: await its outcome, or cancel it"
	case state.Terminal():
		return ""
	case dead:
		return fmt.Sprintf("it has no outcome, and dead letter %d waits for a person: replay or discard it", letter)
	case state != "":
		return fmt.Sprintf("its state is %q: await its outcome, or cancel it", state)
	default:
		return "" // nothing will be done with its commands, if there are any
	}
}

// inFlight are the commands that a service may still have in its hands: those behind the ack floor
// of their partition. Those of no partition are dealt with by the recheck.
func (f *finder) inFlight(ctx context.Context) (map[uint64]bool, error) {
	commands, err := f.JS.Stream(ctx, topology.StreamCommands)
	if err != nil {
		return nil, err
	}
	layout, err := topology.LayoutOf(commands.CachedInfo().Config)
	if err != nil {
		return nil, err
	}
	list := map[uint64]bool{}
	for _, c := range f.found.commands {
		acked, err := f.isAcked(ctx, layout, c)
		if err != nil {
			return nil, err
		}
		if !acked {
			list[c.sequence] = true
		}
	}
	return list, nil
}

func (f *finder) isAcked(ctx context.Context, layout topology.Layout, c stored) (bool, error) {
	if c.address.Partition < 0 {
		return bus.AckedThrough(ctx, f.JS, topology.StreamCommands, bus.RecheckConsumer(c.address.Domain), c.sequence)
	}
	return bus.CommandAckedThrough(ctx, f.JS, layout, c.address, c.sequence)
}

// waiting are the operations to which PARKED refers. It collects the schedules of the person's keys
// on which nothing waits: they wake nothing.
func (f *finder) waiting(ctx context.Context) (map[Operation]bool, error) {
	list := map[Operation]bool{}
	bySequence := map[uint64]Operation{}
	for _, c := range f.found.commands {
		bySequence[c.sequence] = c.operation
	}
	f.found.schedules = nil
	occupied := map[string]bool{}
	scheduled := map[string][]uint64{}
	err := f.eachParked(ctx, func(m message) {
		tokens := strings.Split(m.subject, ".")
		tenant, domain := topology.SubjectTokens(m.subject)
		key := tenant + "." + string(domain) + "." + tokens[len(tokens)-1]
		for _, r := range references(m) {
			list[Operation{tenant, domain, r.OperationID}] = true
			if o, ours := bySequence[r.Sequence]; ours {
				list[o] = true
			}
		}
		switch {
		case len(tokens) > 1 && tokens[1] == "parked":
			occupied[key] = true
		case f.isMeant(m):
			scheduled[key] = append(scheduled[key], m.sequence)
		}
	})
	for key, sequences := range scheduled {
		if !occupied[key] {
			f.found.schedules = append(f.found.schedules, sequences...)
		}
	}
	return list, err
}

// reference is what PARKED holds of a command.
type reference struct {
	Sequence    uint64 `json:"sequence"`
	OperationID string `json:"operationId"`
}

// references are those of a message of PARKED: one, or those of a run in an overflow.
func references(m message) []reference {
	var body struct {
		reference
		Commands []reference `json:"commands"`
	}
	if json.Unmarshal(m.data, &body) != nil {
		return nil
	}
	if body.Sequence > 0 {
		return []reference{body.reference}
	}
	return body.Commands
}
