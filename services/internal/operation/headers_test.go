package operation_test

import (
	"context"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// TestHeadersOfAPublisherNameNoOtherMessage: JetStream answers a direct read with headers that say
// which message it is, behind those that the publisher of the message has set.
func TestHeadersOfAPublisherNameNoOtherMessage(t *testing.T) {
	t.Parallel()
	for name, header := range map[string][2]string{
		"subject":            {"Nats-Subject", "mailwright.cmd.contoso.delegation.1.another"},
		"sequence":           {"Nats-Sequence", "1000"},
		"sequence of nobody": {"Nats-Sequence", "0"},
		"no sequence":        {"Nats-Sequence", "x"},
		"stream":             {"Nats-Stream", "EVENTS"},
		"time":               {"Nats-Time-Stamp", "1970-01-01T00:00:00Z"},
		"no time":            {"Nats-Time-Stamp", "x"},
		"status":             {"Status", "404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) })
			m := command("waits", valid)
			m.Header["ce-notbefore"] = []string{time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano)}
			m.Header.Set(header[0], header[1])
			env.publish(m)
			if e := env.outcome("waits"); e.Type() != event.TypeDelegationChanged {
				t.Errorf("%s", e)
			}
			env.nothingParked()
		})
	}
}
