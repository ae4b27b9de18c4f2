package inventory

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// reserved is what headers and the data beside the facts may take of a message, in bytes.
	reserved = 64 << 10
	// maxToken bounds a mailbox's token in a subject, in bytes. A NATS server ends the connection
	// at a line above 4,096, and the line of a request holds two subjects.
	maxToken = 1000
	// maxName bounds the name of a mailbox in a header or a warning, in bytes.
	maxName = 200
)

// maxFacts is how many bytes facts and previous facts may take together in one message.
func maxFacts(js jetstream.JetStream, stream jetstream.Stream) int {
	limit := int(js.Conn().MaxPayload())
	if most := int(stream.CachedInfo().Config.MaxMsgSize); most > 0 {
		limit = min(limit, most)
	}
	return max(limit-reserved, limit/2)
}

// identifying are the members by which a mailbox is told apart, and by which a restricted walk
// knows its own. They are never left out.
var identifying = []string{"id", "tenantId", "tenantDomain", "recipientType"}

// shorten leaves out members of an object, the largest first, until it has at most so many bytes,
// and names them. Where that is not enough, the object is what must not be left out.
func shorten(object []byte, limit int) (rest []byte, omitted []string) {
	if len(object) <= limit {
		return object, nil
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(object, &members) != nil {
		return object, nil
	}
	largest := slices.SortedFunc(maps.Keys(members), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(members[b]), len(members[a])), cmp.Compare(a, b))
	})
	rest = object
	for _, name := range largest {
		if len(rest) <= limit {
			break
		}
		if slices.Contains(identifying, name) {
			continue
		}
		delete(members, name)
		omitted = append(omitted, name)
		shorter, err := json.Marshal(members)
		if err != nil {
			return object, nil // it is made of what was decoded
		}
		rest = shorter
	}
	slices.Sort(omitted)
	return rest, omitted
}

const previousMember = "previous."

// fit leaves out what makes an observation too large for a message: members of the facts, and then
// of the previous ones.
func (o *observation) fit(limit int) {
	var omitted []string
	o.facts, omitted = shorten(o.facts, limit)
	for _, name := range omitted {
		if !slices.Contains(o.omitted, name) {
			o.omitted = append(o.omitted, name)
		}
	}
	if o.previous == nil {
		return
	}
	if o.previous, omitted = shorten(o.previous, limit-len(o.facts)); len(omitted) == 0 {
		return
	}
	for _, name := range omitted {
		o.omitted = append(o.omitted, previousMember+name)
	}
	if string(o.previous) == "{}" {
		o.previous = nil
	}
}

// membersOnly gives the names of omitted members of the facts, without those of previous ones.
func membersOnly(omitted []string) []string {
	return slices.DeleteFunc(slices.Clone(omitted), func(name string) bool { return strings.HasPrefix(name, previousMember) })
}

// clip shortens a text to at most so many bytes.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	const end = "…"
	return strings.ToValidUTF8(text[:limit-len(end)], "") + end
}
