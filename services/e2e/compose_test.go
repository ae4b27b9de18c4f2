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
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/mailwright/mailwright/pkg/testkit"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
)

const root = "../.."

var update = flag.Bool("update", false, "write deploy/compose anew")

// TestComposeConfigIsTheSandboxes holds the configuration that docker-compose.yml mounts against
// the one of `mailwright dev`.
func TestComposeConfigIsTheSandboxes(t *testing.T) {
	t.Parallel()
	for name, want := range stack.SandboxConfig(stack.SandboxAddress{URL: "https://sandbox:8080", LDAP: "ldap://sandbox:3389", CA: "/keys/ca.crt"}) {
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
			t.Errorf("%s differs from pkg/testkit/stack's: run the test with -update", path)
		}
	}
}

// TestCompose brings docker-compose.yml up, carries the demo's commands out from outside, and takes
// it down.
func TestCompose(t *testing.T) {
	if backend != testkit.Containers {
		t.Skip("the suites run on embedded servers")
	}
	t.Parallel()
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	// One project a checkout: what a killed run has left, the next one takes down.
	project := fmt.Sprintf("mailwright-e2e-%08x", crc32.ChecksumIEEE([]byte(here)))
	// What it makes is labelled as testkit's: a killed run in another checkout is swept up by
	// whoever uses testkit next.
	files := filepath.Join(here, "docker-compose.yml") + string(filepath.ListSeparator) + ownLabels(t)
	keys := t.TempDir()
	env := append(os.Environ(), "MAILWRIGHT_KEYS="+keys, "COMPOSE_PROJECT_NAME="+project, "COMPOSE_FILE="+files, "MAILWRIGHT_TAG="+project, "COMPOSE_PROFILES=",
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
		ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
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
	isDown := false
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if t.Failed() {
			logs, _ := call(ctx, "scripts/compose", "logs", "--tail=15", "--no-color")
			t.Log(logs)
		}
		if !isDown {
			if out, err := call(ctx, "scripts/compose", "down", "-v"); err != nil {
				t.Errorf("down: %v\n%s", err, out)
			}
		}
		for program := range images(t) {
			_, _ = call(ctx, "docker", "rmi", "mailwright/"+program+":"+project)
		}
	})
	run("scripts/compose", "config", "--quiet") // with the profile, whose images may not be had
	func() {
		starting.Lock()
		defer starting.Unlock()
		t.Log(run("scripts/compose", "up"))
	}()
	ids := func(further ...string) string {
		t.Helper()
		filters := append(further, "--filter=label=com.docker.compose.project="+project)
		list := func(args ...string) string { return run("docker", append(args, filters...)...) }
		return list("ps", "-aq") + list("network", "ls", "-q") + list("volume", "ls", "-q")
	}
	for name, value := range testkit.Labels() {
		if all, ours := ids(), ids("--filter=label="+name+"="+value); all == "" || all != ours {
			t.Errorf("of the containers, networks and volumes\n%sthese would be swept up:\n%s", all, ours)
		}
	}
	nats, database := run("scripts/compose", "port", "nats", "4222"), run("scripts/compose", "port", "postgres", "5432")
	mailwright := filepath.Join(bin, "mailwright")
	out := run(mailwright, "demo", "--running", "--nats-nkey="+filepath.Join(keys, "seeds", "operator.nk"), "--nats-ca="+filepath.Join(keys, "ca.crt"),
		"--nats-url=tls://"+strings.TrimSpace(nats), "--database-url=postgres://mailwright:mailwright@"+strings.TrimSpace(database)+"/mailwright?sslmode=verify-full&sslrootcert="+filepath.Join(keys, "ca.crt"))
	if !strings.Contains(out, " 0 failed") {
		t.Error(out)
	}
	run("scripts/compose", "down", "-v")
	isDown = true
	if left := ids(); left != "" {
		t.Errorf("containers, networks and volumes are left:\n%s", left)
	}
}

// composeFile is what the tests look at of docker-compose.yml.
type composeFile struct {
	Services map[string]struct {
		Image       string
		Ports       []string
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		SecurityOpt []string `yaml:"security_opt"`
		Labels      map[string]string
		Privileged  bool
		NetworkMode string `yaml:"network_mode"`
	}
	Volumes map[string]any
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var file composeFile
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestComposeIsSafeByDefault looks at every service of docker-compose.yml, those of the profile
// among them: what it publishes it publishes on loopback, and it has no rights.
func TestComposeIsSafeByDefault(t *testing.T) {
	t.Parallel()
	file := readCompose(t)
	published := 0
	for name, s := range file.Services {
		for _, port := range s.Ports {
			published++
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s publishes %s, beyond loopback", name, port)
			}
		}
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) || s.Privileged || s.NetworkMode != "" {
			t.Errorf("%s has rights: %+v", name, s)
		}
	}
	if published < 3 || len(file.Services) < 4+len(stack.Services) {
		t.Errorf("%d ports of %d services: the file was not understood", published, len(file.Services))
	}
}

// ownLabels is a Compose file that labels all that docker-compose.yml makes.
func ownLabels(t *testing.T) string {
	t.Helper()
	labelled := map[string]any{"labels": testkit.Labels()}
	file := map[string]map[string]any{"services": {}, "networks": {"default": labelled}, "volumes": {}}
	compose := readCompose(t)
	for name := range compose.Services {
		file["services"][name] = labelled
	}
	for name := range compose.Volumes {
		file["volumes"][name] = labelled
	}
	raw, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "labels.yml")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
