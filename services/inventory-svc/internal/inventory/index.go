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

// index holds the last observation of each of a tenant's mailboxes, as the stream MAILBOXES has it.
// An entry takes 32 bytes, a million entries about 50 MB. Keys of 128 bits do not collide in
// practice. A change of facts that leaves their hash the same has a probability of one in 2^64.
type index map[key]entry

// key identifies a mailbox: the first half of the SHA-256 of its token in the subject.
type key [16]byte

// entry is one mailbox: the hash of its facts, the sequence of its last message, and marks.
type entry struct {
	content uint64
	packed  uint64 // sequence << markBits | marks
}

// Marks of a mailbox.
const (
	seen    = 1 << iota // the vendor's list has it in this walk
	missing             // its last message says that it is missing
	outside             // it is outside the scope of this walk
	// Three bits hold the change in its last message, if an earlier attempt of this operation
	// published that message.
	earlier  = iota
	markBits = earlier + 3
)

// kinds are the changes that the three bits stand for. Zero: this operation published none.
var kinds = []string{"", event.ChangeNew, event.ChangeChanged, event.ChangeReturned, event.ChangeMissing}

func (k entry) has(mark uint64) bool { return k.packed&mark != 0 }
func (k entry) sequence() uint64     { return k.packed >> markBits }

// earlierChange is the change of the mailbox that an earlier attempt of this operation published;
// "" if it published none.
func (k entry) earlierChange() string { return kinds[k.packed>>earlier&7] }

func keyOf(token string) key {
	sum := sha256.Sum256([]byte(token))
	return key(sum[:16])
}

// contentOf is the hash of a mailbox's facts in canonical JSON.
func contentOf(facts []byte) uint64 {
	sum := sha256.Sum256(facts)
	return binary.BigEndian.Uint64(sum[:8])
}

// formatContent formats a hash as the value of the attribute contenthash.
func formatContent(content uint64) string { return fmt.Sprintf("%016x", content) }

// scope restricts a walk to some of the mailboxes. Empty fields do not restrict it.
type scope struct{ tenant, mailboxType string }

// isWholeList reports whether the walk reads the whole of one of the vendor's lists.
func (s scope) isWholeList() bool { return s.tenant == "" && recipientTypes[s.mailboxType] == "" }

// list is the value of the attribute mailboxlist for the vendor's list that is read.
func (s scope) list() string {
	if enpower.MailboxType(s.mailboxType).IsResource() {
		return event.MailboxListResource
	}
	return ""
}

// recipientTypes are the recipient types in the facts for the mailbox types that restrict a walk to
// a part of a list. They are the vendor's display texts.
var recipientTypes = map[string]string{
	string(enpower.User): "user mailbox", string(enpower.Shared): "shared mailbox",
	string(enpower.Room): "room mailbox", string(enpower.Equipment): "equipment mailbox",
}

// contains reports whether the mailbox of a message is in the scope. The vendor does not say
// whether its parameter tenant is an id or a domain, so both are compared.
func (s scope) contains(message []byte) bool {
	var data struct {
		Mailbox struct{ RecipientType, TenantID, TenantDomain string }
	}
	if json.Unmarshal(message, &data) != nil {
		return false
	}
	m := data.Mailbox
	wanted := recipientTypes[s.mailboxType]
	ofType := wanted == "" || strings.EqualFold(m.RecipientType, wanted)
	ofTenant := s.tenant == "" || strings.EqualFold(m.TenantID, s.tenant) || strings.EqualFold(m.TenantDomain, s.tenant)
	return ofType && ofTenant
}

// loadIndex reads the last observation of each of a tenant's mailboxes. It reads headers only,
// unless the walk is restricted: then it reads the facts too, to find out which mailboxes are in
// the scope. It calls heartbeat for each message.
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

// add adds a message of the stream.
func (m index) add(msg jetstream.Msg, sequence uint64, operationID string, s scope) {
	h, subject := msg.Headers(), msg.Subject()
	k := entry{packed: sequence << markBits}
	k.content, _ = strconv.ParseUint(h.Get("ce-"+event.AttrContentHash), 16, 64) // a message that we did not publish has hash 0, so the mailbox counts as changed
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

// expected reports whether the vendor's list should have the mailbox: it is in the scope, and
// before this operation began it was known and not missing.
func (k entry) expected() bool {
	switch k.earlierChange() {
	case event.ChangeNew, event.ChangeReturned:
		return false
	case event.ChangeMissing: // an earlier attempt of this operation reported it missing
		return !k.has(outside)
	}
	return !k.has(outside) && !k.has(missing)
}
