package event_test

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
)

func BenchmarkRead(b *testing.B) {
	h := nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"joiner-4711"}, "ce-source": {"https://hr.example.com/joiners"}, "ce-type": {event.TypeDelegationChange}, "ce-tenantid": {"contoso"}, "ce-time": {"2026-11-21T09:00:00Z"}, "content-type": {"application/json"}}
	body := []byte(`{"mailbox":"alex@contoso.com","add":["megan.bowen@contoso.com"]}`)
	s := []byte(`{"specversion":"1.0","id":"bug-09-1","source":"https://hr.example.com/joiners","type":"io.mailwright.delegation.change.v1","time":"2026-11-21T09:00:00Z","datacontenttype":"application/json","tenantid":"contoso","data":{"mailbox":"alex@contoso.com","add":["megan.bowen@contoso.com"]}}`)
	b.Run("binary", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e, _ := event.Decode(h, body)
			d := event.Read(e)
			d.Secrets()
			d.Fingerprint()
			d.Check()
		}
	})
	b.Run("structured", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e, _ := event.Decode(nil, s)
			d := event.Read(e)
			d.Secrets()
			d.Fingerprint()
			d.Check()
		}
	})
}
