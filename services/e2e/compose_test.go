package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/stack"
	"github.com/mailwright/mailwright/pkg/testkit"
)

const root = "../.."

var update = flag.Bool("update", false, "write deploy/compose anew")

// TestComposeConfigIsTheSandboxes holds the configuration that docker-compose.yml mounts against the one of `mailwright dev`.
func TestComposeConfigIsTheSandboxes(t *testing.T) {
	t.Parallel()
	for name, want := range stack.SandboxConfig("http://sandbox:8080", "ldap://sandbox:3389") {
		path := filepath.Join(root, "deploy/compose", name)
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		} else if string(got) != want {
			t.Errorf("%s differs from pkg/stack's: run the test with -update", path)
		}
	}
}

// TestCompose brings docker-compose.yml up, carries the demo's commands out from outside, and takes it down.
func TestCompose(t *testing.T) {
	if backend != testkit.Containers {
		t.Skip("the suites run on embedded servers")
	}
	if exec.Command("docker", "compose", "version").Run() != nil && exec.Command("docker-compose", "version").Run() != nil {
		t.Skip("neither 'docker compose' nor 'docker-compose' is on this machine")
	}
	t.Parallel()
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	// One project a checkout: what a killed run has left, the next one takes down.
	project := fmt.Sprintf("mailwright-e2e-%08x", crc32.ChecksumIEEE([]byte(here)))
	env := append(os.Environ(), "COMPOSE_PROJECT_NAME="+project, "MAILWRIGHT_TAG="+project, "COMPOSE_PROFILES=",
		"MAILWRIGHT_NATS_PORT=", "MAILWRIGHT_POSTGRES_PORT=", "MAILWRIGHT_SANDBOX_PORT=")
	call := func(ctx context.Context, name string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir, cmd.Env = here, env
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		return out.String(), err
	}
	run := func(name string, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		out, err := call(ctx, name, args...)
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return out
	}
	run("scripts/compose", "down", "-v", "--remove-orphans")
	for program, id := range images(t) {
		run("docker", "tag", id, "mailwright/"+program+":"+project)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if t.Failed() {
			logs, _ := call(ctx, "scripts/compose", "logs", "--tail=15", "--no-color")
			t.Log(logs)
		}
		if out, err := call(ctx, "scripts/compose", "down", "-v"); err != nil {
			t.Errorf("down: %v\n%s", err, out)
		}
		for program := range images(t) {
			_, _ = call(ctx, "docker", "rmi", "mailwright/"+program+":"+project)
		}
	})
	t.Log(run("scripts/compose", "up"))
	nats, database := run("scripts/compose", "port", "nats", "4222"), run("scripts/compose", "port", "postgres", "5432")
	if both := nats + database; strings.Count(both, "127.0.0.1:") != 2 {
		t.Errorf("published beyond loopback: %s", both)
	}
	mailwright := filepath.Join(bin, "mailwright")
	out := run(mailwright, "demo", "--running", "--nats-url=nats://"+strings.TrimSpace(nats),
		"--database-url=postgres://mailwright:mailwright@"+strings.TrimSpace(database)+"/mailwright?sslmode=disable")
	if !strings.Contains(out, " 0 failed") {
		t.Error(out)
	}
}
