// Package security holds what NATS' permissions promise against a NATS server that has exactly
// those which `mailwright nats permissions` writes: the programs do all their work under them, and
// no user does anything else.
package security

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/permissions"
	"github.com/mailwright/mailwright/services/internal/testprograms"
)

// bin holds the programs.
var bin string

// TestMain runs the suites, and leaves the table of the checks in the folder
// MAILWRIGHT_SECURITY_OUT.
func TestMain(m *testing.M) {
	os.Exit(testprograms.Run(func(dir string) int {
		bin = dir
		code := m.Run()
		if out := outDir(); out != "" {
			if err := save(out, report.finish()); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = max(code, 1)
			}
		}
		return code
	}))
}

// violations is a server's log, of which it keeps what was denied.
type violations struct {
	mu   sync.Mutex
	list []string
}

// Errorf implements [server.Logger]; the server logs what it denies as an error.
func (v *violations) Errorf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if strings.Contains(line, "Violation") {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.list = append(v.list, line)
	}
}

// Noticef implements [server.Logger].
func (v *violations) Noticef(string, ...any) {}

// Warnf implements [server.Logger].
func (v *violations) Warnf(string, ...any) {}

// Fatalf implements [server.Logger].
func (v *violations) Fatalf(string, ...any) {}

// Debugf implements [server.Logger].
func (v *violations) Debugf(string, ...any) {}

// Tracef implements [server.Logger].
func (v *violations) Tracef(string, ...any) {}

func (v *violations) all() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]string{}, v.list...)
}

// person has a user of the operator's permissions for himself.
const person = "alex"

// system is a NATS server with users.
type system struct {
	*testing.T
	url   string
	seeds string
	log   *violations
	// jwt has users connect with their credentials, instead of their nkeys.
	jwt bool
	// database is the URL of Postgres, where it runs.
	database string
}

// v2Acknowledgements is the part of a server's configuration that has it take acknowledgements on
// subjects with the account's hash.
const v2Acknowledgements = "feature_flags { js_ack_fc_v2: true }\n"

// start starts a server with the users that a configuration gives, which further lines precede.
func start(t *testing.T, seeds, users, further string) *system {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	text := fmt.Sprintf("listen: \"127.0.0.1:-1\"\njetstream { store_dir: %q }\n%s%s", filepath.Join(t.TempDir(), "js"), further, users)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	options.NoSigs = true
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	log := &violations{}
	s.SetLoggerV2(log, false, false, false)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server did not start")
	}
	return &system{T: t, url: s.ClientURL(), seeds: seeds, log: log}
}

// written is the configuration that the command line writes, and the folder of the seeds.
func written(t *testing.T, tenants ...string) (users, seeds string) {
	t.Helper()
	return writtenAs(t, "config", tenants...)
}

func writtenAs(t *testing.T, format string, tenants ...string) (users, seeds string) {
	t.Helper()
	seeds = filepath.Join(t.TempDir(), "seeds")
	args := []string{"nats", "permissions", "--format", format, "--seeds", seeds, "--operator", person}
	for _, tenant := range tenants {
		args = append(args, "--tenant", tenant)
	}
	return mailwright(t, 0, nil, args...), seeds
}

// mailwright runs the command line and returns its output; code is how it must end.
func mailwright(t *testing.T, code int, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "mailwright"), args...)
	cmd.Env = append(os.Environ(), env...)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	err := cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("mailwright %s: %v, want code %d\n%s%s", strings.Join(args, " "), err, code, out.String(), messages.String())
	}
	return out.String()
}

// as runs the command line as a user.
func (s *system) as(user string, code int, args ...string) string {
	s.Helper()
	return mailwright(s.T, code, append(s.env(user), "MAILWRIGHT_NATS_USER="+user, "MAILWRIGHT_DATABASE_URL="+s.database), args...)
}

func (s *system) env(user string) []string {
	if s.jwt {
		return []string{"MAILWRIGHT_NATS_URL=" + s.url, "MAILWRIGHT_NATS_CREDS=" + permissions.CredsFile(s.seeds, user)}
	}
	return []string{"MAILWRIGHT_NATS_URL=" + s.url, "MAILWRIGHT_NATS_NKEY=" + permissions.SeedFile(s.seeds, user)}
}

// connect connects as a user, and hands on what NATS denies it.
func (s *system) connect(user string, denied func(error)) *nats.Conn {
	s.Helper()
	identity, err := nats.NkeyOptionFromSeed(permissions.SeedFile(s.seeds, user))
	if err != nil {
		s.Fatal(err)
	}
	if s.jwt {
		identity = nats.UserCredentials(permissions.CredsFile(s.seeds, user))
	}
	nc, err := nats.Connect(s.url, identity, nats.CustomInboxPrefix(bus.InboxPrefix(user)),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied(err) }))
	if err != nil {
		s.Fatalf("connect as %s: %v", user, err)
	}
	s.Cleanup(nc.Close)
	return nc
}

// jetStream connects as a user whom NATS must deny nothing.
func (s *system) jetStream(user string) jetstream.JetStream {
	s.Helper()
	js, err := jetstream.New(s.connect(user, func(err error) { s.Errorf("%s: %v", user, err) }))
	if err != nil {
		s.Fatal(err)
	}
	return js
}
