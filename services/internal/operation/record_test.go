package operation

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/natstest"
)

// StartStreams makes the streams on a NATS server of the test's own, for the tests outside the
// package too.
func StartStreams(t *testing.T, c topology.Config) jetstream.JetStream {
	t.Helper()
	js := natstest.Start(t)
	if err := topology.Ensure(t.Context(), js, c); err != nil {
		t.Fatal(err)
	}
	return js
}

// TestTwoWritersOfTheSameEventAreToldApart: a stream of several replicas answers a message whose id
// it knows as stored, whatever sequence the message expects, so two writers must not share an id.
func TestTwoWritersOfTheSameEventAreToldApart(t *testing.T) {
	t.Parallel()
	js := StartStreams(t, topology.Config{})
	sent, err := js.Conn().SubscribeSync("mailwright.evt.>")
	if err != nil {
		t.Fatal(err)
	}
	r := &records{js: js, source: Source(event.DomainDirectory), now: time.Now}
	own := envelope{tenant: "contoso", domain: event.DomainDirectory, operationID: "abc"}
	for i := range 2 {
		w := &writer{records: r, envelope: own}
		err := w.publish(t.Context(), event.StartedType(event.DomainDirectory), event.StartedData{LeaseExpiresAt: time.Now()})
		if (err == nil) != (i == 0) {
			t.Errorf("writer %d: %v", i, err)
		}
	}
	ids := map[string]bool{}
	for range 2 {
		m, err := sent.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		ids[m.Header.Get(jetstream.MsgIDHeader)] = true
	}
	if len(ids) != 2 {
		t.Errorf("both writers sent %v", ids)
	}
}
