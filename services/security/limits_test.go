package security

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/internal/permissions"
)

// JetStream publishes its answers by itself, whatever the user who asks may publish, and NATS does
// not check the subject to which an answer is to go. docs/security.md tells of it. This test holds
// what is written there against the server: a server that checks it makes the test fail, and the
// page is to be changed.
func TestWhatThePermissionsOfOneAccountDoNotStop(t *testing.T) {
	t.Parallel()
	users, seeds := written(t, scopes...)
	s := start(t, seeds, users, "")
	s.as(permissions.Streams, 0, "streams", "apply")
	operator := s.jetStream(permissions.Operator)
	worker := s.jetStream("mailbox-svc")
	if _, err := worker.Publish(t.Context(), "mailwright.evt.contoso.mailbox.own", []byte("result")); err != nil {
		t.Fatal(err)
	}
	event := func() string { return fmt.Sprintf("mailwright.evt.fabrikam.mailbox.op%d", time.Now().UnixNano()) }
	for name, c := range map[string]struct {
		ask     func(nc *nats.Conn, to string) error
		to      string
		reaches bool // an answer gets to the subject
	}{
		"the confirmation of a command, as a result": {send, event(), true},
		"the refusal of a consumer, as a result": {func(nc *nats.Conn, to string) error {
			return nc.PublishRequest("$JS.API.CONSUMER.CREATE.EVENTS.x.mailwright.evt.contoso.mailbox.*", to, []byte("{}"))
		}, event(), true},
		"an own result, by a pull, as a result": {func(nc *nats.Conn, to string) error {
			name, err := consumer(t.Context(), nc, "")
			if err != nil {
				return err
			}
			return nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.EVENTS."+name, to, []byte(`{"batch":1,"expires":1000000000}`))
		}, event(), false},
		"an own result, by a push, as a result": {func(nc *nats.Conn, to string) error {
			if _, err := consumer(t.Context(), nc, to); err == nil {
				return errors.New("the server has let a stream deliver to itself")
			}
			return nil
		}, event(), false},
	} {
		t.Run(name, func(t *testing.T) {
			nc := s.connect("publisher-contoso", func(err error) { t.Errorf("denied: %v", err) })
			if err := c.ask(nc, c.to); err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			if got := s.stands(operator, c.to); got != c.reaches {
				t.Errorf("an answer stands on the subject of another tenant: %v, want %v", got, c.reaches)
			}
		})
	}
	for _, request := range []string{"$JS.API.STREAM.PURGE.EVENTS", "$JS.API.STREAM.DELETE.EVENTS", "$JS.API.CONSUMER.DELETE.COMMANDS.mailbox-0"} {
		t.Run("the confirmation of a command, as "+request, func(t *testing.T) {
			nc := s.connect("publisher-contoso", func(err error) { t.Errorf("denied: %v", err) })
			// The confirmation holds a sequence, up to which a stream would be purged.
			for range 5 {
				if err := send(nc, request); err != nil {
					t.Fatal(err)
				}
			}
			// Another request behind it is answered later.
			if _, err := nc.RequestWithContext(t.Context(), "mailwright.cmd.contoso.mailbox.key", []byte("{}")); err != nil {
				t.Fatal(err)
			}
			if !s.stands(operator, "mailwright.evt.contoso.mailbox.own") {
				t.Error("EVENTS was purged")
			}
			if _, err := worker.Consumer(t.Context(), "COMMANDS", "mailbox-0"); err != nil {
				t.Error(err)
			}
		})
	}
}

func send(nc *nats.Conn, to string) error {
	return nc.PublishRequest("mailwright.cmd.contoso.mailbox.key", to, []byte("{}"))
}

// consumer makes one of the publisher's own results, which delivers to a subject unless that is "".
func consumer(ctx context.Context, nc *nats.Conn, to string) (string, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return "", err
	}
	config := jetstream.ConsumerConfig{FilterSubject: "mailwright.evt.contoso.mailbox.own", AckPolicy: jetstream.AckNonePolicy, DeliverSubject: to}
	if to != "" {
		c, err := js.CreatePushConsumer(ctx, "EVENTS", config)
		if err != nil {
			return "", err
		}
		return c.CachedInfo().Name, nil
	}
	c, err := js.CreateConsumer(ctx, "EVENTS", config)
	if err != nil {
		return "", err
	}
	return c.CachedInfo().Name, nil
}

// stands reports whether EVENTS gets a message on a subject within a moment.
func (s *system) stands(js jetstream.JetStream, subject string) bool {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 2*time.Second)
	defer cancel()
	events, err := js.Stream(ctx, "EVENTS")
	if err != nil {
		s.Fatal(err)
	}
	for ctx.Err() == nil {
		m, err := events.GetLastMsgForSubject(ctx, subject)
		if err == nil {
			s.Logf("on %s: %s", m.Subject, m.Data)
			return true
		}
		if !errors.Is(err, jetstream.ErrMsgNotFound) && ctx.Err() == nil {
			s.Fatal(err)
		}
	}
	return false
}
