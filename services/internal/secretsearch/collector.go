package secretsearch

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// Collector stands in the place of an OpenTelemetry collector, and keeps what it is sent as it is:
// the texts of a Protobuf message can be read in it.
type Collector struct {
	server *httptest.Server

	mu   sync.Mutex
	text strings.Builder
}

// NewCollector starts a collector. Close it.
func NewCollector() *Collector {
	c := &Collector{}
	c.server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.text.Write(body)
	}))
	return c
}

// Env has a program send its traces here.
func (c *Collector) Env() []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.server.URL, "OTEL_BSP_SCHEDULE_DELAY=200"}
}

// URL is where it listens.
func (c *Collector) URL() string { return c.server.URL }

// Text is all that has arrived.
func (c *Collector) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// Close ends it.
func (c *Collector) Close() { c.server.Close() }
