package e2e

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/testkit"
	"github.com/mailwright/mailwright/services/internal/secretsearch"
)

// traceID is that of the trace to which every command belongs.
const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"

func newCollector(t *testing.T) *secretsearch.Collector {
	c := secretsearch.NewCollector()
	t.Cleanup(c.Close)
	return c
}

// searchTraces searches what the services have sent, and wants spans of attempts and of calls in
// the commands' trace. Programs in containers do not reach the collector.
func (s *env) searchTraces(c *secretsearch.Collector) {
	s.Helper()
	if backend != testkit.Embedded {
		return
	}
	text := c.Text()
	s.search("the traces", text)
	id, err := hex.DecodeString(traceID)
	if err != nil {
		s.Fatal(err)
	}
	for _, want := range []string{string(id), "attempt", "directory-svc", "adaxes POST", "hostedexchange CreateBusinessUser", "exchangeonline Get-Mailbox", "enpower mailboxes", "mailwright.operation"} {
		if !strings.Contains(text, want) {
			s.Errorf("%d bytes of traces do not hold %q", len(text), want)
		}
	}
}
