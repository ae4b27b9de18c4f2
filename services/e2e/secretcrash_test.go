package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// TestACrashLeavesNoSecret kills directory-svc at every step between the outcome of a command and
// its acknowledgement, one replica after another, each of which takes up what the one before has
// left. The secret is removed in the end, and nothing is created anew.
func TestACrashLeavesNoSecret(t *testing.T) {
	t.Parallel()
	s := startServers(t)
	ids := []string{"removed", "acknowledged"}
	publish := func(id string) {
		s.mustPublish(command{id, event.TypeBusinessUserCreate, id, fmt.Sprintf(`{"container":"LDAP://OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com",
			"userPrincipalName":"%s@alpineskihouse.com","preferredDomainController":"AD01.fabrikam.com","isAdmin":false,"newPassword":"Zebra-Pass-1"}`, id)}.message())
	}
	publish(ids[0])
	for _, kill := range []struct {
		point string
		left  uint64 // commands in COMMANDS after it
	}{{"published-outcome", 1}, {"remove-secret", 1}, {"removed-secret", 0}, {"acknowledge", 0}} {
		if kill.point == "acknowledge" {
			publish(ids[1])
		}
		crashing := s.start("directory-svc", "--crash-at", kill.point)
		s.eventually(func(context.Context) string { return crashing.lacks("crash-at: " + kill.point) })
		if n := s.stored(topology.StreamCommands); n != kill.left {
			t.Errorf("after the kill at %s, %d commands are stored, want %d", kill.point, n, kill.left)
		}
	}
	s.start("directory-svc")
	publish("last")
	for _, id := range append(ids, "last") {
		if e := s.outcome(event.DomainDirectory, id); e.Type() != event.TypeBusinessUserCreated {
			t.Errorf("%s ended as %s: %s", id, e.Type(), e.Data())
		}
		if n := len(s.events(event.OperationID("contoso", source, id))); n != 2 { // started and the outcome
			t.Errorf("%s has %d events", id, n)
		}
	}
	s.eventually(func(context.Context) string {
		if n := s.stored(topology.StreamCommands); n > 0 {
			return fmt.Sprintf("%d commands are stored", n)
		}
		return ""
	})
	if n := s.stored(topology.StreamDead); n > 0 {
		t.Errorf("%d dead letters", n)
	}
}

// stored counts the messages of a stream.
func (s *env) stored(stream string) uint64 {
	s.Helper()
	return s.stream(stream).CachedInfo().State.Msgs
}

func (s *env) stream(name string) jetstream.Stream {
	s.Helper()
	stream, err := s.js.Stream(s.Context(), name)
	if err != nil {
		s.Fatal(err)
	}
	return stream
}

// events lists the types of an operation of the directory.
func (s *env) events(operationID string) (types []string) {
	s.Helper()
	stream := s.stream(topology.StreamEvents)
	subject := topology.EventSubject("contoso", event.DomainDirectory, operationID)
	for sequence := uint64(1); ; {
		m, err := stream.GetMsg(s.Context(), sequence, jetstream.WithGetMsgSubject(subject))
		if err != nil {
			return types
		}
		types, sequence = append(types, m.Header.Get("ce-type")), m.Sequence+1
	}
}
