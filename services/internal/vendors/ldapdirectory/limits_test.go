package ldapdirectory_test

import (
	"net"
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/ldapdirectory"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// TestADirectoryThatIsDownIsGivenARest: look-ups obey the limits that every vendor's calls obey.
func TestADirectoryThatIsDownIsGivenARest(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil { // nobody listens there
		t.Fatal(err)
	}
	client, err := ldapdirectory.New(config(func(c *ldapdirectory.Config) {
		c.URL, c.Insecure, c.Limits = "ldap://"+address, true, transport.Limits{BreakAfter: 2, BreakFor: time.Hour}
	}))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"LDAP 200", "LDAP 200", "circuit-open"} {
		f := failure.Of(client.Check(t.Context()))
		if f == nil || f.Kind != failure.Unavailable || f.Code != want {
			t.Errorf("look-up %d: %v, want %s", i+1, f, want)
		}
	}
}
