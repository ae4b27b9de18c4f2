package trial

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/guarantees/internal/check"
)

// slowness is how long the vendor takes for the stuck command.
const slowness = 12 * time.Second

// Stuck publishes a command whose vendor call takes long, one that is throttled and one whose target is missing, and
// then others on many keys, some of them in the same partitions. It returns the slow one's operation id.
func (t *Trial) Stuck(ctx context.Context) (operationID string, err error) {
	for _, f := range []map[string]any{
		{"vendor": "adaxes", "call": "create-object", "match": "slow", "kind": "latency", "params": map[string]any{"delay": slowness.String()}},
		{"vendor": "adaxes", "call": "create-object", "match": "throttled", "kind": "status", "count": 3, "params": map[string]any{"status": 429, "retryAfter": "4"}},
	} {
		if err := t.control(ctx, http.MethodPost, "faults", f); err != nil {
			return "", err
		}
		t.injected("stuck target")
	}
	named := func(id, cn, in string) *nats.Msg {
		data := fmt.Sprintf(`{"createIn":%q,"objectType":"user","properties":[{"propertyName":"cn","propertyType":"String","values":[%q]},{"propertyName":"sAMAccountName","propertyType":"String","values":[%q]},{"propertyName":"userPrincipalName","propertyType":"String","values":[%q]},{"propertyName":"sn","propertyType":"String","values":["N1-0"]}]}`, in, cn, id, id)
		return &nats.Msg{Subject: bus.CommandSubject(event.Directory, id), Data: []byte(data), Header: nats.Header{"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {source}, "ce-type": {event.ObjectCreate}}}
	}
	const unit = "OU=My Organizational Unit,DC=example,DC=com"
	messages := []*nats.Msg{named("slow", "slow", unit), named("throttled", "throttled", unit)}
	for i := range t.Commands {
		messages = append(messages, named(fmt.Sprint("other", i), fmt.Sprint("other", i), unit))
	}
	for i, m := range messages {
		if err := t.publish(ctx, m); err != nil {
			return "", err
		}
		t.evidence.Commands = append(t.evidence.Commands, check.Command{OperationID: event.OperationID(source, m.Header["ce-id"][0]), Key: m.Header["ce-id"][0], Number: 1})
		if i == 1 {
			pause(ctx, 300*time.Millisecond) // the stuck ones are under way
		}
	}
	return event.OperationID(source, "slow"), nil
}
