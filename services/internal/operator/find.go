// Package operator has what those who run the system do to operations: find one by the beginning of
// its id, cancel it, have it retried now, and send a failed one again. The command line and the
// console act through it. Each action has an id that is derived from what it is about, so that one
// which is repeated after a crash takes effect once.
package operator

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// Target names an operation, and where its record stands.
type Target struct {
	OperationID string       `json:"operationId"`
	Tenant      string       `json:"tenant"`
	Domain      event.Domain `json:"domain"`
}

// InvalidIDError says that a text is neither an operation's id nor the beginning of one.
type InvalidIDError struct{ Text string }

// Error implements error.
func (e *InvalidIDError) Error() string {
	return fmt.Sprintf("%q is no operation's id: those have %d of a-z and 2-7", e.Text, operationIDLength)
}

const operationIDLength = 26 // of an operation's whole id

// idPattern matches an operation's id or its beginning: lower-case base32.
var idPattern = regexp.MustCompile(`^[a-z2-7]{1,26}$`)

// IsWholeID reports whether a text has the form of an operation's whole id.
func IsWholeID(text string) bool {
	return len(text) == operationIDLength && idPattern.MatchString(strings.ToLower(text))
}

// Find resolves an id or its beginning. A tenant or domain that is "" is found in EVENTS.
// [ErrNoRecord] is in the error if no operation there has such an id.
func Find(ctx context.Context, js jetstream.JetStream, text, tenant string, domain event.Domain) (Target, error) {
	id := strings.ToLower(text)
	if !idPattern.MatchString(id) {
		return Target{}, &InvalidIDError{text}
	}
	if len(id) == operationIDLength && domain != "" && tenant != "" {
		return Target{id, tenant, domain}, nil
	}
	events, err := stream(ctx, js, topology.StreamEvents)
	if err != nil {
		return Target{}, err
	}
	last := "*"
	if len(id) == operationIDLength {
		last = id
	}
	return findByPrefix(ctx, events, id, fmt.Sprintf("mailwright.evt.%s.%s.%s", cmp.Or(tenant, "*"), cmp.Or(string(domain), "*"), last))
}

// findByPrefix searches EVENTS for the one operation whose id has the prefix. subjects is the
// filter.
func findByPrefix(ctx context.Context, events jetstream.Stream, id, subjects string) (Target, error) {
	info, err := events.Info(ctx, jetstream.WithSubjectFilter(subjects))
	if err != nil {
		return Target{}, fmt.Errorf("list operations: %w", err)
	}
	var found []Target
	for subject := range info.State.Subjects {
		tokens := strings.Split(subject, ".")
		if strings.HasPrefix(tokens[4], id) {
			found = append(found, Target{tokens[4], tokens[2], event.Domain(tokens[3])})
		}
	}
	switch len(found) {
	case 0:
		return Target{}, errNotRecorded(id)
	case 1:
		return found[0], nil
	default:
		return Target{}, fmt.Errorf("%d operations begin with %s: %s", len(found), id, joinIDs(found))
	}
}

func errNotRecorded(id string) error {
	return fmt.Errorf("%w %s; if its command was published just now, give its whole id, --tenant and --domain", ErrNoRecord, id)
}

// joinIDs lists the first ids.
func joinIDs(found []Target) string {
	const maxShown = 5
	var ids []string
	for _, t := range found {
		ids = append(ids, t.OperationID)
	}
	slices.Sort(ids)
	if len(ids) > maxShown {
		ids = append(ids[:maxShown], "…")
	}
	return strings.Join(ids, ", ")
}
