package process_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/mailwright/mailwright/services/internal/process"
)

type config struct {
	process.Config
	NATSURL string `name:"nats-url" help:"NATS server." env:"MAILWRIGHT_NATS_URL,NATS_URL" default:"nats://127.0.0.1:4222"`
	Workers int    `help:"Workers." default:"1"`
}

func parse(t *testing.T, args ...string) config {
	t.Helper()
	var c config
	k, err := kong.New(&c, process.Options("test", "A test.")...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Parse(args); err != nil {
		t.Fatal(err)
	}
	return c
}

// Not parallel: it sets the environment.
func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("nats-url: nats://file:1\nworkers: 7\ntenants: {a: {}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := parse(t); c.NATSURL != "nats://127.0.0.1:4222" || c.Workers != 1 {
		t.Errorf("defaults: %+v", c)
	}
	if c := parse(t, "--config", file); c.NATSURL != "nats://file:1" || c.Workers != 7 {
		t.Errorf("file: %+v", c)
	}
	t.Setenv("MAILWRIGHT_CONFIG", file)
	if c := parse(t); c.NATSURL != "nats://file:1" {
		t.Errorf("file named by the environment: %+v", c)
	}
	t.Setenv("NATS_URL", "nats://plain:1")
	if c := parse(t); c.NATSURL != "nats://plain:1" {
		t.Errorf("the usual variable: %+v", c)
	}
	t.Setenv("MAILWRIGHT_NATS_URL", "nats://ours:1")
	if c := parse(t); c.NATSURL != "nats://ours:1" || c.Workers != 7 {
		t.Errorf("our variable: %+v", c)
	}
	if c := parse(t, "--nats-url", "nats://flag:1"); c.NATSURL != "nats://flag:1" {
		t.Errorf("flag: %+v", c)
	}
}

func TestConfigFileIsHeldAgainstItsForm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"no members":  {"hunter2", "line 1: must be members with values"},
		"twice":       {"workers: 1\nworkers: 2", "line 2: workers stands here a second time"},
		"not a value": {"tenants: {? {a: hunter2} : b}\nworkers: [hunter2]", "line 2 of the config file must give a single value"},
		"no YAML":     {"workers: [hunter2", "yaml: line 1: did not find expected"},
	} {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var into config
		k, err := kong.New(&into, process.Options("test", "A test.")...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Parse([]string{"--config", file}); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want something with %q", name, err, c.want)
		}
	}
}

func TestHelpShowsAllThreeNames(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var c config
	k, err := kong.New(&c, append(process.Options("test", "A test."), kong.Writers(&out, &out), kong.Exit(func(int) {}))...)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = k.Parse([]string{"--help"})
	help := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"--nats-url", "$MAILWRIGHT_NATS_URL, $NATS_URL", "file: nats-url", "nats://127.0.0.1:4222", "$MAILWRIGHT_LOG_LEVEL"} {
		if !strings.Contains(help, want) {
			t.Errorf("help lacks %q:\n%s", want, out.String())
		}
	}
}

func TestStopRunsInReverseAndHealthFollowsChecks(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var order []string
	broken := errors.New("NATS is not connected")
	err := process.Run(ctx, "test", &process.Config{HTTP: "127.0.0.1:0", StopTimeout: 1e9}, func(ctx context.Context, p *process.Process, _ *process.Config) error {
		p.OnStop("first", func(context.Context) error { order = append(order, "first"); return nil })
		p.OnStop("second", func(context.Context) error { order = append(order, "second"); return nil })
		ready(t, p, http.StatusServiceUnavailable, "start", "not finished")
		p.Starting("NATS")
		ready(t, p, http.StatusServiceUnavailable, "start", "not finished: waits for NATS")
		p.Check("nats", func(context.Context) error { return broken })
		ready(t, p, http.StatusServiceUnavailable, "nats", "NATS is not connected")
		broken = nil
		ready(t, p, http.StatusOK, "nats", "ok")
		cancel()
		return p.Wait(ctx)
	})
	if err != nil || !slices.Equal(order, []string{"second", "first"}) {
		t.Errorf("err %v, order %v", err, order)
	}
}

func ready(t *testing.T, p *process.Process, status int, check, text string) {
	t.Helper()
	err := process.Healthcheck(t.Context(), strings.TrimPrefix(p.URL(), "http://"), process.HTTPFlags{})
	if (err == nil) != (status == http.StatusOK) || err != nil && !strings.Contains(err.Error(), text) {
		t.Errorf("health check: %v, want %s=%s", err, check, text)
	}
	res, err := http.Get(p.URL() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var body struct{ Checks map[string]string }
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != status || body.Checks[check] != text {
		t.Errorf("%d %v, want %d %s=%s", res.StatusCode, body.Checks, status, check, text)
	}
}

func TestHealthcheckNeedsAPort(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"127.0.0.1:0", "127.0.0.1"} {
		if err := process.Healthcheck(t.Context(), addr, process.HTTPFlags{}); err == nil {
			t.Errorf("%s is healthy", addr)
		}
	}
}
