package security

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/permissions"
)

func TestAWorkerTellsWhichPermissionItLacks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lacks     string // a permission that is taken away
		consumers bool   // they were made before
		names     string // what /readyz names
	}{
		"it may not ask for messages": {
			lacks: "$JS.API.CONSUMER.MSG.NEXT.COMMANDS.mailbox-3", consumers: true, names: "$JS.API.CONSUMER.MSG.NEXT.COMMANDS.mailbox-3",
		},
		"nobody has made the consumers": {names: "$JS.API.CONSUMER.CREATE."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			users, seeds := written(t, scopes...)
			s := start(t, seeds, altered(t, users, seeds, "mailbox-svc", func(u *permissions.User) {
				var kept []permissions.Rule
				for _, r := range u.Publish {
					if r.Subject != c.lacks {
						kept = append(kept, r)
					}
				}
				u.Publish = kept
			}), "")
			if c.consumers {
				s.as(permissions.Streams, 0, "streams", "apply")
			} else if err := topology.Ensure(t.Context(), s.jetStream(permissions.Streams), topology.Config{}); err != nil {
				t.Fatal(err)
			}
			url := s.mailboxService()
			var answer string
			s.eventually("/readyz names the permission that is missing", func() bool {
				answer = ""
				if err := stack.Answers(t.Context(), url+"/readyz", ""); err != nil {
					answer = err.Error()
				}
				return strings.Contains(answer, c.names)
			})
			if t.Failed() {
				t.Logf("/readyz: %s", answer)
			}
		})
	}
}

// mailboxService starts mailbox-svc alone and gives the URL of its health endpoints.
func (s *system) mailboxService() string {
	s.Helper()
	dir := s.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "secrets"), 0o700); err != nil {
		s.Fatal(err)
	}
	for name, text := range stack.SandboxConfig(stack.SandboxAddress{URL: "http://127.0.0.1:1"}) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			s.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	cmd := exec.Command(filepath.Join(bin, "mailbox-svc"), "--config", filepath.Join(dir, stack.ConfigFile), "--http", address)
	cmd.Env = append(os.Environ(), s.env("mailbox-svc")...)
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return "http://" + address
}
