package operation

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
)

// read decodes a command and names its operation. It refuses what no result could be published of.
func read(d bus.Delivery) (*Run, error) {
	command, err := event.Decode(d.Header, d.Data)
	if err != nil {
		return nil, err
	}
	address, ok := bus.ParseCommandSubject(d.Subject)
	if !ok {
		return nil, fmt.Errorf("subject %s is not one of a stored command: a key that is a wildcard of NATS belongs to no partition", d.Subject)
	}
	if err := CheckEnvelope(address, command); err != nil {
		return nil, err
	}
	document := event.Read(command)
	return &Run{
		Command: command,
		Tenant:  address.Tenant,
		ID:      event.OperationOf(address.Tenant, command),
		Operation: event.OperationData{
			CommandType: command.Type(),
			Key:         address.Key,
			ReceivedAt:  d.Stored.UTC(),
			Attempt:     1,
			Fingerprint: document.Fingerprint(),
		},
		document: document,
		address:  address,
		sequence: d.Sequence,
		secrets:  secretsOf(document),
	}, nil
}

const (
	// longestKey is the longest token of a key, in bytes: subjects that hold one, with what JetStream puts before them, must fit into the 4,096
	// bytes of a line that a NATS server reads.
	longestKey = 3000
	// longestTenant is the longest token of a tenant. A longer one is no tenant's name in any case.
	longestTenant = 255
	// longestAttribute is the longest of the attributes that every result repeats, in bytes. They are seven, each byte may be sent as three, and
	// JetStream takes 64 KiB of headers.
	longestAttribute = 2 << 10
)

// CheckEnvelope says why no operation can come of a command, whatever its data: its key or one of its attributes does not fit into what would
// be published because of it.
func CheckEnvelope(address bus.Address, command event.Event) error {
	return errors.Join(checkToken("key", address.Key, longestKey), checkToken("tenant", address.Tenant, longestTenant), checkAttributes(command))
}

// checkToken holds a token against what can stand in the subject of a stored message, and in a result.
func checkToken(name, token string, longest int) error {
	switch {
	case len(token) > longest:
		return fmt.Errorf("the %s has %d bytes; at most %d are possible", name, len(token), longest)
	case !utf8.ValidString(token), strings.ContainsFunc(token, unicode.IsControl):
		return fmt.Errorf("the %s %q is not UTF-8, or has control characters", name, token)
	default:
		return nil
	}
}

// checkAttributes bounds what results repeat of a command's envelope.
func checkAttributes(command event.Event) error {
	for _, a := range [...]struct{ name, value string }{
		{"id", command.ID()},
		{"source", command.Source()},
		{"type", command.Type()},
		{"subject", command.Subject()},
		{event.TenantID, event.Extension(command, event.TenantID)},
		{event.CorrelationID, event.Extension(command, event.CorrelationID)},
		{event.TraceParent, event.Extension(command, event.TraceParent)},
	} {
		if len(a.value) > longestAttribute {
			return fmt.Errorf("the attribute %s has %d bytes; at most %d are possible", a.name, len(a.value), longestAttribute)
		}
	}
	return nil
}
