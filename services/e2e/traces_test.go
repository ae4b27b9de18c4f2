package e2e

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/mailwright/mailwright/pkg/testkit"
)

// traceID is that of the trace to which every command of a [collector]'s test belongs.
const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"

// collector stands in the place of an OpenTelemetry collector, and keeps what it is sent as it is:
// the texts of a Protobuf message can be read in it.
type collector struct {
	url string

	mu   sync.Mutex
	text strings.Builder
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.text.Write(body)
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *collector) option() testkit.Option {
	return testkit.WithEnv("OTEL_EXPORTER_OTLP_ENDPOINT="+c.url, "OTEL_BSP_SCHEDULE_DELAY=200")
}

// searchTraces searches what the services have sent, and wants spans of attempts and of calls in
// the commands' trace. Programs in containers do not reach the collector.
func (s *env) searchTraces(c *collector) {
	s.Helper()
	if backend != testkit.Embedded {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	text := c.text.String()
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
