package topology

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
)

// Lanes is the number of parts into which the keys that wait in PARKED are spread. It is fixed: what
// waits keeps its place while the number of partitions changes.
const Lanes = 8

// MaxPartitions bounds the partitions of a domain. Each is a consumer of COMMANDS, and with 4 times
// 64 of them every message already costs several times what it does with 4 times 8: see the table
// of consumers in docs/architecture.md.
const MaxPartitions = 64

// Generation is a number of partitions, and which change of it that was. Commands that were stored
// under different generations have different subjects, so the change has an exact place in COMMANDS.
type Generation struct {
	// Number counts the changes; 0 is how the stream was made.
	Number     int
	Partitions int
}

// Layout says how COMMANDS is spread over partitions. It stands in the stream's own configuration,
// so that all who read it agree.
type Layout struct {
	// Current is the generation of what is stored now.
	Current Generation
	// Previous is the one before, while it is kept; nil: all its commands are acknowledged. Nobody
	// receives commands of the current generation before all of the previous one are acknowledged.
	Previous *Generation
}

// previousGeneration is the member of the stream's metadata that holds [Layout.Previous], as
// <number>:<partitions>.
const previousGeneration = "mailwright-previous-partitions"

var partitionFunction = regexp.MustCompile(`\.(?:(\d+)\.)?\{\{partition\((\d+),1,2,3\)\}\}\.`)

// LayoutOf reads the layout of COMMANDS.
func LayoutOf(c jetstream.StreamConfig) (Layout, error) {
	var l Layout
	if c.SubjectTransform == nil {
		return l, fmt.Errorf("stream %s inserts no partition into subjects: it has no subject transform", c.Name)
	}
	found := partitionFunction.FindStringSubmatch(c.SubjectTransform.Destination)
	if found == nil {
		return l, fmt.Errorf("stream %s has the subject transform %s, which is none of Mailwright's", c.Name, transform(c.SubjectTransform))
	}
	l.Current.Number, _ = strconv.Atoi(found[1]) // "": 0
	l.Current.Partitions, _ = strconv.Atoi(found[2])
	if got, want := transform(c.SubjectTransform), transform(partitionTransform(l.Current)); got != want || l.Current.Partitions < 1 {
		return l, fmt.Errorf("stream %s has the subject transform %s, which is none of Mailwright's", c.Name, got)
	}
	if text := c.Metadata[previousGeneration]; text != "" {
		var p Generation
		if _, err := fmt.Sscanf(text, "%d:%d", &p.Number, &p.Partitions); err != nil || p.Number != l.Current.Number-1 || p.Partitions < 1 {
			return l, fmt.Errorf("stream %s has the metadata %s: %q, which does not fit its subject transform", c.Name, previousGeneration, text)
		}
		l.Previous = &p
	}
	return l, nil
}

// Apply writes the layout into the configuration of COMMANDS. Other metadata stays.
func (l Layout) Apply(c *jetstream.StreamConfig) {
	c.SubjectTransform = partitionTransform(l.Current)
	metadata := map[string]string{}
	for name, value := range c.Metadata {
		if name != previousGeneration && !strings.HasPrefix(name, "_nats.") {
			metadata[name] = value
		}
	}
	if l.Previous != nil {
		metadata[previousGeneration] = fmt.Sprintf("%d:%d", l.Previous.Number, l.Previous.Partitions)
	}
	c.Metadata = metadata
}

// Next is the layout after a change of the number of partitions.
func (l Layout) Next(partitions int) Layout {
	previous := l.Current
	return Layout{Current: Generation{Number: previous.Number + 1, Partitions: partitions}, Previous: &previous}
}

// IsPast reports whether all commands of a generation are acknowledged because it came before those
// of the layout.
func (l Layout) IsPast(generation int) bool {
	if l.Previous != nil {
		return generation < l.Previous.Number
	}
	return generation < l.Current.Number
}

func partitionTransform(g Generation) *jetstream.SubjectTransformConfig {
	place := append(g.tokens(), fmt.Sprintf("{{partition(%d,1,2,3)}}", g.Partitions))
	return &jetstream.SubjectTransformConfig{
		Source:      join("cmd", "*", "*", "*"),
		Destination: join("cmd", "{{wildcard(1)}}", "{{wildcard(2)}}", strings.Join(place, "."), "{{wildcard(3)}}"),
	}
}

// tokens are what stands before the partition in the subject of a stored command. The first
// generation has none.
func (g Generation) tokens() []string {
	if g.Number == 0 {
		return nil
	}
	return []string{strconv.Itoa(g.Number)}
}

// ClosedSubject is what COMMANDS takes in place of commands for the moment in which its layout
// changes. Nothing is published there.
const ClosedSubject = root + ".closed"

// Lane is the part of PARKED in which the key's commands wait, from 0 to [Lanes] - 1. It depends on
// the tenant, the domain and the key alone.
func (a Address) Lane() int {
	if text, ok := strings.CutPrefix(a.Key, overflowKeys); ok {
		if lane, err := strconv.Atoi(text); err == nil && lane >= 0 && lane < Lanes {
			return lane
		}
	}
	// It is the server's own hash: with as many partitions as lanes, the lane is the partition.
	h := fnv.New32a()
	_, _ = h.Write([]byte(a.Tenant + string(a.Domain) + a.Key))
	return int(h.Sum32() % Lanes)
}

// Waiting is the address under which a command waits in PARKED: it has no partition.
func (a Address) Waiting() Address { return Address{Tenant: a.Tenant, Domain: a.Domain, Key: a.Key} }

// Overflow is the address on which commands of the same tenant, domain and lane wait together.
func (a Address) Overflow() Address {
	return Address{Tenant: a.Tenant, Domain: a.Domain, Key: OverflowKey(a.Lane())}
}

// CommandFilter matches the commands of one partition: mailwright.cmd.*.<domain>.<partition>.*, with
// the generation before the partition once the number of partitions was changed.
func CommandFilter(domain event.Domain, generation, partition int) string {
	place := append(Generation{Number: generation}.tokens(), strconv.Itoa(partition))
	return join("cmd", "*", string(domain), strings.Join(place, "."), "*")
}
