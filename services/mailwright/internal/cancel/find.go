package cancel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// target is an operation to cancel.
type target struct {
	operation string
	tenant    string
	domain    event.Domain
}

const operationIDLength = 26 // of an operation's whole id

// idPattern matches an operation's id or its beginning: lower-case base32.
var idPattern = regexp.MustCompile(`^[a-z2-7]{1,26}$`)

// find resolves an id or its beginning. A tenant or domain that is "" is found in EVENTS.
func find(ctx context.Context, js jetstream.JetStream, text, tenant string, domain event.Domain) (target, error) {
	id := strings.ToLower(text)
	if !idPattern.MatchString(id) {
		return target{}, app.Usage("%q is no operation's id: those have %d of a-z and 2-7", text, operationIDLength)
	}
	if len(id) == operationIDLength && domain != "" && tenant != "" {
		return target{id, tenant, domain}, nil
	}
	events, err := js.Stream(ctx, topology.StreamEvents)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = client.ErrNoStreams
	}
	if err != nil {
		return target{}, fmt.Errorf("stream %s: %w", topology.StreamEvents, err)
	}
	last := "*"
	if len(id) == operationIDLength {
		last = id
	}
	return findByPrefix(ctx, events, id, fmt.Sprintf("mailwright.evt.%s.%s.%s", cmp.Or(tenant, "*"), cmp.Or(string(domain), "*"), last))
}

// findByPrefix searches EVENTS for the one operation whose id has the prefix. subjects is the
// filter.
func findByPrefix(ctx context.Context, events jetstream.Stream, id, subjects string) (target, error) {
	info, err := events.Info(ctx, jetstream.WithSubjectFilter(subjects))
	if err != nil {
		return target{}, fmt.Errorf("list operations: %w", err)
	}
	var found []target
	for subject := range info.State.Subjects {
		tokens := strings.Split(subject, ".")
		if strings.HasPrefix(tokens[4], id) {
			found = append(found, target{tokens[4], tokens[2], event.Domain(tokens[3])})
		}
	}
	switch len(found) {
	case 0:
		return target{}, errNotRecorded(id)
	case 1:
		return found[0], nil
	default:
		return target{}, fmt.Errorf("%d operations begin with %s: %s", len(found), id, joinIDs(found))
	}
}

func errNotRecorded(id string) error {
	return fmt.Errorf("nothing is recorded of an operation %s; "+
		"if its command was published just now, give its whole id, --tenant and --domain", id)
}

// joinIDs lists the first ids.
func joinIDs(found []target) string {
	const maxShown = 5
	var ids []string
	for _, t := range found {
		ids = append(ids, t.operation)
	}
	slices.Sort(ids)
	if len(ids) > maxShown {
		ids = append(ids[:maxShown], "…")
	}
	return strings.Join(ids, ", ")
}
