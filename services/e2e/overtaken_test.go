package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/child"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// TestAPausedReplicaWritesNothing stops a replica between its Get-Mailbox and its Set-Mailbox for
// 25 s. Another carries out its command and the next of the mailbox; when the first goes on, that
// list stays.
func TestAPausedReplicaWritesNothing(t *testing.T) {
	t.Parallel()
	s := startServers(t)
	const mailbox = "adele.vance@contoso.com"
	set := func(id string, delegates string) command {
		return command{id, event.TypeDelegationSet, "adele", fmt.Sprintf(`{"mailbox":%q,"delegates":%s}`, mailbox, delegates)}
	}
	first := s.replica("--stop-at", "change")
	s.mustPublish(set("1", `["delegate2@contoso.com"]`).message())
	s.eventually(func(context.Context) string { return first.lacks("stop-at: change") })
	stopped := time.Now()
	s.replica()
	s.mustPublish(set("2", `["delegate3@contoso.com","delegate4@contoso.com"]`).message())
	for _, id := range []string{"1", "2"} {
		if e := s.outcome(event.DomainDelegation, id); e.Type() != event.TypeDelegationChanged {
			t.Fatalf("%s ended as %s: %s", id, e.Type(), e.Data())
		}
	}
	// the pause itself, not a wait for something
	time.Sleep(time.Until(stopped.Add(25 * time.Second)))
	if err := first.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.eventually(func(context.Context) string {
		if len(s.lists()) > 2 {
			return "" // it has written
		}
		// Which of its goroutines goes on first decides what it notices.
		if first.lacks("another replica has taken over") == "" {
			return ""
		}
		return first.lacks("the lease was lost")
	})
	want := []string{`["delegate2@contoso.com"]`, `["delegate3@contoso.com","delegate4@contoso.com"]`}
	if got := s.lists(); !slices.Equal(got, want) {
		t.Errorf("the mailbox had the lists %q, want %q", got, want)
	}
}

// servers are NATS and the sandbox, whose replicas the test starts itself.
type servers struct {
	*env
	url     string // of the sandbox
	nats    string
	workdir string
}

func startServers(t *testing.T) *servers {
	t.Helper()
	starting.Lock()
	defer starting.Unlock()
	dir, err := os.MkdirTemp("", "mailwright-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // Postgres may run as another user below it
		t.Fatal(err)
	}
	running, err := stack.Start(t.Context(), stack.Options{Dir: dir, Bin: bin, Volatile: true, Services: []string{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	nc, err := bus.Connect(t.Context(), running.Endpoints.NATS, t.Name(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err == nil {
		err = topology.Ensure(t.Context(), js, topology.Config{Partitions: 8})
	}
	if err != nil {
		t.Fatal(err)
	}
	return &servers{env: &env{T: t, js: js}, url: running.Endpoints.Sandbox, nats: running.Endpoints.NATS, workdir: dir}
}

// worker is a process of a service.
type worker struct {
	*exec.Cmd
	mu  sync.Mutex
	log bytes.Buffer
}

// replica starts a process of delegation-svc.
func (s *servers) replica(args ...string) *worker {
	s.Helper()
	return s.start("delegation-svc", args...)
}

func (s *servers) start(service string, args ...string) *worker {
	s.Helper()
	w := &worker{Cmd: exec.Command(failpointProgram(s.T, service), append([]string{"--config", filepath.Join(s.workdir, stack.ConfigFile), "--nats-url", s.nats}, args...)...)}
	w.Stdout, w.Stderr = w, w
	ended, err := child.Start(w.Cmd, syscall.SIGKILL)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = w.Process.Kill()
		<-ended
		if s.Failed() {
			s.Logf("a replica's log:\n%s", &w.log)
		}
	})
	return w
}

func (w *worker) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

// lacks says that the log does not hold a text.
func (w *worker) lacks(text string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.Contains(w.log.String(), text) {
		return ""
	}
	return "the log does not say: " + text
}

// lists are those that Set-Mailbox has written, one after another.
func (s *servers) lists() []string { return s.listsOf("") }

// listsOf are those of a mailbox; "": of any.
func (s *servers) listsOf(mailbox string) (list []string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, s.url+"/control/journal?committed=true&limit=0", nil)
	if err != nil {
		s.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	var journal struct {
		Entries []struct{ Call, Target, Detail string }
	}
	if err := errors.Join(json.NewDecoder(res.Body).Decode(&journal), res.Body.Close()); err != nil {
		s.Fatal(err)
	}
	for _, e := range journal.Entries {
		if e.Call == "Set-Mailbox" && strings.Contains(e.Target, mailbox) {
			list = append(list, e.Detail)
		}
	}
	return list
}
