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
	// reserved is the room in a message for headers and for data other than facts, in bytes.
	reserved = 64 << 10
	// maxToken bounds a mailbox's token in a subject, in bytes. A NATS server ends the connection
	// if a line of the protocol is longer than 4,096 bytes, and the line of a request holds two
	// subjects.
	maxToken = 1000
	// maxName bounds the name of a mailbox in a header or a warning, in bytes.
	maxName = 200
)

// maxFacts bounds the facts and the previous facts in one message together, in bytes.
func maxFacts(js jetstream.JetStream, stream jetstream.Stream) int {
	limit := int(js.Conn().MaxPayload())
	if maxSize := int(stream.CachedInfo().Config.MaxMsgSize); maxSize > 0 {
		limit = min(limit, maxSize)
	}
	return max(limit-reserved, limit/2)
}

// identifying are the members that identify a mailbox, and those from which [scope.contains] finds
// out whether it is in the scope. They are never left out.
var identifying = []string{"id", "tenantId", "tenantDomain", "recipientType"}

// shorten leaves out members of a JSON object, the largest first, until it has at most limit bytes.
// It returns the names of the omitted members. The identifying members stay, even if they alone are
// larger than limit.
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
			return object, nil // cannot happen: the values were decoded from JSON
		}
		rest = shorter
	}
	slices.Sort(omitted)
	return rest, omitted
}

// previousMember is the prefix of members of previous in observation.omitted.
const previousMember = "previous."

// fit leaves out members of the facts, and then of the previous facts, until the observation fits
// into a message.
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
	o.previous, omitted = shorten(o.previous, limit-len(o.facts))
	if len(omitted) == 0 {
		return
	}
	for _, name := range omitted {
		o.omitted = append(o.omitted, previousMember+name)
	}
	if string(o.previous) == "{}" {
		o.previous = nil
	}
}

// membersOnly returns the omitted members of the facts, without those of previous.
func membersOnly(omitted []string) []string {
	return slices.DeleteFunc(slices.Clone(omitted), func(name string) bool { return strings.HasPrefix(name, previousMember) })
}

// clip shortens a text to at most maxName bytes.
func clip(text string) string {
	if len(text) <= maxName {
		return text
	}
	const end = "…"
	return strings.ToValidUTF8(text[:maxName-len(end)], "") + end
}
