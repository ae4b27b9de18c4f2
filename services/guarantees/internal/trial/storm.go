package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/mailwright/mailwright/pkg/stack"
)

// steps are the engine's, each just before or after something leaves the process. Each is walked: a replica is
// started that kills itself there.
var steps = []string{"read-record", "look-up", "announce", "perform", "performed", "publish-outcome", "published-outcome", "park", "parked", "wake", "woken", "unpark", "bury"}

// vendorFaults are the sandbox's, as a share of the calls.
var vendorFaults = []map[string]any{
	{"vendor": "adaxes", "call": "create-object", "kind": "timeout-after", "probability": 0.02},
	{"vendor": "adaxes", "call": "create-object", "kind": "timeout-before", "probability": 0.01},
	{"vendor": "adaxes", "call": "create-object", "kind": "reset", "probability": 0.01, "params": map[string]any{"when": "after"}},
	{"vendor": "adaxes", "call": "create-object", "kind": "status", "probability": 0.03, "params": map[string]any{"status": 429, "retryAfter": "1"}},
	{"vendor": "adaxes", "call": "create-object", "kind": "status", "probability": 0.02, "params": map[string]any{"status": 503}},
	{"vendor": "adaxes", "call": "create-object", "kind": "status", "probability": 0.01, "params": map[string]any{"status": 500, "when": "after"}},
	{"vendor": "adaxes", "call": "search", "kind": "status", "probability": 0.02, "params": map[string]any{"status": 503}},
}

// Storm injects faults until ctx ends: first every step of the engine, then kills of random parts at random moments.
func (t *Trial) Storm(ctx context.Context) error {
	if t.NoFaults {
		return nil
	}
	if err := t.breakVendor(ctx); err != nil {
		return err
	}
	for _, step := range steps {
		t.crashAt(ctx, fmt.Sprintf("%s:%d", step, 1+t.pick(5)))
	}
	for range t.Kills {
		if ctx.Err() != nil {
			return nil
		}
		if err := t.killSomething(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// breakVendor gives the sandbox its faults; a restart of the sandbox forgets them.
func (t *Trial) breakVendor(ctx context.Context) error {
	for _, f := range vendorFaults {
		if err := t.control(ctx, http.MethodPost, "faults", f); err != nil {
			return err
		}
	}
	return nil
}

// crashAt runs one more replica, which kills itself at a step, or is killed after a while.
func (t *Trial) crashAt(ctx context.Context, point string) {
	replica, err := t.replica(ctx, "--crash-at", point)
	if err != nil {
		return
	}
	done := make(chan struct{})
	go func() { _ = replica.Wait(); close(done) }()
	select {
	case <-done:
		t.injected("crash at " + point)
	case <-time.After(4 * time.Second): // it did not come by; a kill at a random moment instead
		_ = replica.Process.Kill()
		<-done
		t.injected("kill of a replica")
	case <-ctx.Done():
		_ = replica.Process.Kill()
		<-done
	}
}

// replica starts one more process of the service, beside the one of the stack.
func (t *Trial) replica(ctx context.Context, args ...string) (*exec.Cmd, error) {
	log, err := os.OpenFile(filepath.Join(t.dir, "logs", "replicas.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.CommandContext(ctx, filepath.Join(t.Bin, service), append([]string{"--config", filepath.Join(t.dir, "mailwright.yaml")}, args...)...)
	cmd.Env = append(append(os.Environ(), t.environment()...), "MAILWRIGHT_NATS_URL="+t.Endpoints.NATS)
	cmd.Stdout, cmd.Stderr = log, log
	return cmd, cmd.Start()
}

// killSomething kills a part at a random moment and brings it back after a while.
func (t *Trial) killSomething(ctx context.Context) error {
	pause(ctx, time.Duration(200+t.pick(1300))*time.Millisecond)
	part := []string{service, service, service, service, "projection-svc", stack.NATS, stack.Postgres, stack.Sandbox}[t.pick(8)]
	if t.chance() < 0.3 {
		return t.joinAndLeave(ctx)
	}
	if err := t.Kill(part); err != nil {
		return fmt.Errorf("kill %s: %w", part, err)
	}
	t.injected("kill of " + part)
	pause(ctx, time.Duration(t.pick(1500))*time.Millisecond)
	if err := t.Restart(context.WithoutCancel(ctx), part); err != nil {
		return fmt.Errorf("restart %s: %w", part, err)
	}
	if part == stack.Sandbox {
		if err := t.control(ctx, http.MethodPut, "switches", map[string]any{"adaxes.pattern-uniquify": true}); err != nil {
			return err
		}
		return t.breakVendor(ctx)
	}
	return nil
}

// joinAndLeave lets up to three further replicas join for a moment; half of them leave in order, half by kill -9.
func (t *Trial) joinAndLeave(ctx context.Context) error {
	for range 1 + t.pick(3) {
		replica, err := t.replica(ctx)
		if err != nil {
			return err
		}
		pause(ctx, time.Duration(300+t.pick(700))*time.Millisecond)
		if t.chance() < 0.5 {
			_ = replica.Process.Kill()
			t.injected("kill of a replica")
		} else {
			_ = replica.Process.Signal(syscall.SIGTERM)
			t.injected("replica left")
		}
		_ = replica.Wait()
	}
	return nil
}

// pause is a part of the storm's timing, not a wait for something.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// control calls the sandbox's control API.
func (t *Trial) control(ctx context.Context, method, path string, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	_, err = t.controlRaw(ctx, method, path, raw)
	return err
}

func (t *Trial) controlRaw(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, t.Endpoints.Sandbox+"/control/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= http.StatusMultipleChoices {
		err = errors.New(res.Status + ": " + string(answer))
	}
	return answer, err
}

// projector runs one more projection-svc on a database of its own; stop ends it.
func (t *Trial) projector(ctx context.Context, databaseURL string) (stop func(), err error) {
	log, err := os.OpenFile(filepath.Join(t.dir, "logs", "replay.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.CommandContext(ctx, filepath.Join(t.Bin, "projection-svc"))
	cmd.Env = append(os.Environ(), "MAILWRIGHT_NATS_URL="+t.Endpoints.NATS, "MAILWRIGHT_DATABASE_URL="+databaseURL)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}, nil
}
