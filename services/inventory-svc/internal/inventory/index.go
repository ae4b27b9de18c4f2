package inventory

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/vendors/enpower"
)

// index is what the stream MAILBOXES says of a tenant's mailboxes, 32 bytes each: about 50 MB for a
// million. Keys of 128 bits do not collide in practice. A change of facts that keeps their hash has
// a chance of one in 2^64.
type index map[key]entry

// key stands for a mailbox: half a SHA-256 of its token.
type key [16]byte

// entry is one mailbox: the hash of its facts, and the sequence of its message with its marks.
type entry struct {
	content uint64
	packed  uint64 // sequence << markBits | marks
}

// marks of a mailbox.
const (
	seen    = 1 << iota // this walk has met it
	missing             // its last message says that it is missing
	outside             // this walk is not about it
	// Three bits hold the change of its last message, where an earlier attempt of this operation
	// published it.
	earlier  = iota
	markBits = earlier + 3
)

// kinds of messages, as three bits hold them. Zero is none of ours.
var kinds = []string{"", event.ChangeNew, event.ChangeChanged, event.ChangeReturned, event.ChangeMissing}

func (k entry) has(mark uint64) bool { return k.packed&mark != 0 }
func (k entry) sequence() uint64     { return k.packed >> markBits }

// earlierChange is the change that an earlier attempt of this operation has published of the
// mailbox; "" for none.
func (k entry) earlierChange() string { return kinds[k.packed>>earlier&7] }

func keyOf(token string) key {
	sum := sha256.Sum256([]byte(token))
	return key(sum[:16])
}

// contentOf is the hash of a mailbox's facts: of their canonical JSON.
func contentOf(facts []byte) uint64 {
	sum := sha256.Sum256(facts)
	return binary.BigEndian.Uint64(sum[:8])
}

// formatContent writes a hash as the attribute contenthash has it.
func formatContent(content uint64) string { return fmt.Sprintf("%016x", content) }

// scope is what a walk is restricted to.
type scope struct{ tenant, mailboxType string }

// isWholeList reports whether the walk is about the whole of a list.
func (s scope) isWholeList() bool { return s.tenant == "" && recipientTypes[s.mailboxType] == "" }

// list is the one of the vendor's lists that is walked, as the attribute mailboxlist has it.
func (s scope) list() string {
	if enpower.MailboxType(s.mailboxType).IsResource() {
		return event.MailboxListResource
	}
	return ""
}

// recipientTypes are the vendor's display texts for the types that a walk can be restricted to
// within a list.
var recipientTypes = map[string]string{
	string(enpower.User): "user mailbox", string(enpower.Shared): "shared mailbox", string(enpower.Room): "room mailbox", string(enpower.Equipment): "equipment mailbox",
}

// contains reports whether a mailbox with these facts belongs to the walk. What the parameter tenant
// names the vendor leaves open: an id or a domain.
func (s scope) contains(message []byte) bool {
	var data struct {
		Mailbox struct{ RecipientType, TenantID, TenantDomain string }
	}
	if json.Unmarshal(message, &data) != nil {
		return false
	}
	m := data.Mailbox
	return (recipientTypes[s.mailboxType] == "" || strings.EqualFold(m.RecipientType, recipientTypes[s.mailboxType])) &&
		(s.tenant == "" || strings.EqualFold(m.TenantID, s.tenant) || strings.EqualFold(m.TenantDomain, s.tenant))
}

// loadIndex reads the stream's messages of a tenant: their headers alone, or their data too where
// the walk is restricted, since only the facts tell whether a mailbox belongs to it. It calls
// heartbeat for each message.
func loadIndex(
	ctx context.Context, js jetstream.JetStream, tenant, operationID string, s scope, heartbeat func() error,
) (index, error) {
	consumer, err := js.OrderedConsumer(ctx, topology.StreamMailboxes, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{topology.MailboxesOf(tenant)}, HeadersOnly: s.isWholeList(),
	})
	if err != nil {
		return nil, notStored(err)
	}
	left := consumer.CachedInfo().NumPending
	m := make(index, left)
	if left == 0 {
		return m, nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, notStored(err)
	}
	defer messages.Stop()
	for left > 0 {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, notStored(err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return nil, err
		}
		m.add(msg, meta.Sequence.Stream, operationID, s)
		left = meta.NumPending
		if err := heartbeat(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// add enters a stored message.
func (m index) add(msg jetstream.Msg, sequence uint64, operationID string, s scope) {
	h, subject := msg.Headers(), msg.Subject()
	k := entry{packed: sequence << markBits}
	k.content, _ = strconv.ParseUint(h.Get("ce-"+event.AttrContentHash), 16, 64) // a foreign message: as if changed
	if h.Get("ce-type") == event.TypeMailboxMissing {
		k.packed |= missing
	}
	if h.Get("ce-"+event.AttrOperationID) == operationID {
		for i, kind := range kinds {
			if kind == h.Get("ce-"+event.AttrMailboxChange) {
				k.packed |= uint64(i) << earlier
			}
		}
	}
	if h.Get("ce-"+event.AttrMailboxList) != s.list() || !s.isWholeList() && !s.contains(msg.Data()) {
		k.packed |= outside
	}
	m[keyOf(subject[strings.LastIndexByte(subject, '.')+1:])] = k
}

// expected reports whether the walk should meet a mailbox: it was known before this operation
// began, and not as missing.
func (k entry) expected() bool {
	switch k.earlierChange() {
	case event.ChangeNew, event.ChangeReturned:
		return false
	case event.ChangeMissing: // an earlier attempt said so
		return !k.has(outside)
	}
	return !k.has(outside) && !k.has(missing)
}
