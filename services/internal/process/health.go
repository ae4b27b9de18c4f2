package process

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
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
	l, url, err := p.cfg.Listen(addr, p.Log)
	if err != nil {
		return err
	}
	p.url = url
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", p.readyz)
	mux.Handle("GET /metrics", &p.metrics)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(p.Log.Handler(), slog.LevelDebug)}
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			p.Fail(err)
		}
	}()
	p.OnStop("health endpoints", srv.Shutdown)
	p.Log.Info("started", "health", p.url+"/readyz")
	return nil
}

// hidden stands in the place of what a check says, for who may not know it.
const hidden = "not ready; the log says why, and so does /readyz by HTTPS or from this machine"

// readyz answers 200 when every check passes, else 503. The body says which check waits for what:
// over TLS, or to this machine. Anybody else, who may be anywhere on the network, learns only which
// checks fail.
func (p *Process) readyz(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	checks, waits := p.checks, "not finished"
	if p.starting != "" {
		waits += ": waits for " + p.starting
	}
	p.mu.Unlock()
	results := map[string]string{}
	if len(checks) == 0 {
		results[starting] = waits
	}
	for _, c := range checks {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		err := c.fn(ctx)
		cancel()
		results[c.name] = ok
		if err != nil {
			results[c.name] = err.Error()
		}
	}
	ready := p.logReadiness(results)
	if !mayKnow(r) {
		for name, text := range results {
			if text != ok {
				results[name] = hidden
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"ready": ready, "checks": results})
}

const (
	// ok is the result of a check that has passed.
	ok = "ok"
	// starting is the name of the check that stands for the others until there are some.
	starting = "start"
)

// mayKnow reports whether who asks may know what a check says.
func mayKnow(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return r.TLS != nil || err == nil && from.Addr().Unmap().IsLoopback()
}

// logReadiness reports whether every check has passed. It logs what has changed since it was asked
// last: who asks may not be told.
func (p *Process) logReadiness(results map[string]string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	ready := true
	for name, text := range results {
		ready = ready && text == ok
		before, known := p.results[name]
		switch {
		case text == before, name == starting: // the start itself logs what it waits for
		case text != ok:
			p.Log.Warn("not ready", "check", name, "reason", text)
		case known:
			p.Log.Info("ready again", "check", name)
		}
	}
	p.results = maps.Clone(results)
	return ready
}
