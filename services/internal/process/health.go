package process

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"
)

// check is one thing that readiness waits for.
type check struct {
	name string
	fn   func(context.Context) error
}

// checkTimeout bounds one readiness check, so that a probe is answered while a dependency hangs.
const checkTimeout = 2 * time.Second

// Check registers something that readiness waits for. fn returns nil when it is there, else an
// error that says what is missing, without secrets: /readyz shows it.
func (p *Process) Check(name string, fn func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checks = append(p.checks, check{name, fn})
}

// Measure registers a measurement that sets gauges of package metrics by asking NATS or Postgres.
// It is made when /metrics is read.
func (p *Process) Measure(measurement func(context.Context)) { p.metrics.Measure(measurement) }

// Starting says what the start waits for now. Readiness shows it until the first [Process.Check] is
// registered.
func (p *Process) Starting(waitsFor string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starting = waitsFor
}

// URL is the base of the health endpoints, such as http://127.0.0.1:40123.
func (p *Process) URL() string { return p.url }

func (p *Process) serveHealth(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	p.url = "http://" + l.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", p.readyz)
	mux.Handle("GET /metrics", &p.metrics)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			p.Fail(err)
		}
	}()
	p.OnStop("health endpoints", srv.Shutdown)
	p.Log.Info("started", "health", p.url+"/readyz")
	return nil
}

// readyz answers 200 when every check passes, else 503; the body says which check waits for what.
func (p *Process) readyz(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	checks, starting := p.checks, "not finished"
	if p.starting != "" {
		starting += ": waits for " + p.starting
	}
	p.mu.Unlock()
	status, results := http.StatusOK, map[string]string{}
	if len(checks) == 0 {
		status, results["start"] = http.StatusServiceUnavailable, starting
	}
	for _, c := range checks {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		err := c.fn(ctx)
		cancel()
		results[c.name] = "ok"
		if err != nil {
			status, results[c.name] = http.StatusServiceUnavailable, err.Error()
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"ready": status == http.StatusOK, "checks": results})
}
