package scenario

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mailwright/mailwright/services/guarantees/internal/check"
	"github.com/mailwright/mailwright/services/internal/failpoint"
)

// steps lists the points of each service at which a replica is killed: just before or after
// something leaves or reaches the process. The engine's own points are tried in the first service,
// the points around a vendor's calls in every service.
var steps = []struct {
	service string
	// nth bounds how often a replica may pass one of the points before it is killed there.
	nth    int
	points []failpoint.Point
}{
	{"directory-svc", 3, []failpoint.Point{
		failpoint.ReadRecord, failpoint.RecordRead,
		failpoint.LookUp, failpoint.LookedUp,
		failpoint.Announce, failpoint.Announced,
		failpoint.Perform, failpoint.Performed,
		failpoint.PublishOutcome, failpoint.PublishedOutcome,
		failpoint.Acknowledge, failpoint.ReadHead, failpoint.Recheck,
	}},
	{"directory-svc", 2, []failpoint.Point{
		failpoint.Park, failpoint.Parked,
		failpoint.ScheduleWakeUp, failpoint.ScheduledWakeUp,
		failpoint.HeadRead, failpoint.ReadOriginal, failpoint.ReadWakeUp,
		failpoint.Unpark, failpoint.Unparked, failpoint.AcknowledgeWakeUp,
		failpoint.DeadLetter, failpoint.DeadLettered,
	}},
	{"mailbox-svc", 2, []failpoint.Point{
		failpoint.LookUp, failpoint.LookedUp, failpoint.Announced,
		failpoint.Perform, failpoint.Performed, failpoint.PublishedOutcome,
	}},
	{"delegation-svc", 2, []failpoint.Point{
		failpoint.Perform, failpoint.Change, failpoint.Performed, failpoint.PublishedOutcome, failpoint.Acknowledge,
	}},
	{"inventory-svc", 1, []failpoint.Point{
		failpoint.Perform, failpoint.Put, failpoint.Putting, failpoint.PutDone, failpoint.Performed,
	}},
	{"projection-svc", 3, []failpoint.Point{failpoint.Commit, failpoint.Committed}},
}

const (
	// stepTimeout bounds the time until a replica reaches one of its points; most take a second.
	stepTimeout = 12 * time.Second
	// extraReplicas is how many replicas may end without having reached one of their points.
	extraReplicas = 12
)

// killAtSteps starts one replica after another. Each kills itself at the first point that it
// reaches of those that are left. So a rarely reached point has the time of all replicas.
func (s *Scenario) killAtSteps(ctx context.Context, service string, names []failpoint.Point, nth int, rng *rand.Rand) error {
	left := map[failpoint.Point]bool{}
	for _, name := range names {
		left[name] = true
	}
	for tries := len(names) + extraReplicas; len(left) > 0 && tries > 0 && ctx.Err() == nil; tries-- {
		var points []string
		for _, name := range names {
			if left[name] {
				points = append(points, fmt.Sprintf("%s:%d", name, 1+rng.IntN(nth)))
			}
		}
		hit, err := s.crashAt(ctx, service, points)
		if err != nil {
			return err
		}
		if delete(left, failpoint.Point(hit)); hit == "" {
			nth = 1 // the points that are left are rarely reached
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.evidence.Points = append(s.evidence.Points, check.Point{Service: service, Step: string(name), Hit: !left[name]})
	}
	return nil
}

// crashAt runs a replica until it has killed itself at one of the points. hit is that point; "" if
// it reached none in time. Any other end of the replica is an error. Of several projection-svc one
// leads, and the others wait: so the running one is killed first.
func (s *Scenario) crashAt(ctx context.Context, service string, points []string) (hit string, err error) {
	if service == projection {
		if err := s.stack.Kill(service); err != nil {
			return "", err
		}
		s.countKill(killKind(service))
		defer func() {
			if failed := s.stack.Restart(context.WithoutCancel(ctx), service); err == nil {
				err = failed
			}
		}()
	}
	r, err := s.replica(ctx, service, "--crash-at", strings.Join(points, ","))
	if err != nil {
		return "", err
	}
	defer r.kill()
	select {
	case <-r.done:
	case <-time.After(stepTimeout):
		r.kill()
		s.countKill(replicaKilled)
		return "", nil
	case <-ctx.Done():
		return "", nil
	}
	step := r.log.step()
	status, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL || step == "" {
		return "", fmt.Errorf("a replica of %s that was to be killed at one of %v ended with %v", service, points, r.cmd.ProcessState)
	}
	s.countKill(crashAtStep)
	return step, nil
}

const projection = "projection-svc"

// replica is a further process of a service, beside the one of the stack.
type replica struct {
	cmd  *exec.Cmd
	log  *replicaLog
	done chan struct{}
}

func (s *Scenario) replica(ctx context.Context, service string, args ...string) (*replica, error) {
	file, err := os.OpenFile(filepath.Join(s.dir, "logs", service+"-replicas.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	args = append([]string{"--config", filepath.Join(s.dir, "mailwright.yaml")}, args...)
	cmd := exec.CommandContext(ctx, filepath.Join(s.Bin, service), args...)
	cmd.Env = append(slices.Concat(os.Environ(), s.environment(), s.stack.IdentityEnv(service)),
		"MAILWRIGHT_NATS_URL="+s.stack.Endpoints.NATS, "MAILWRIGHT_DATABASE_URL="+s.stack.Endpoints.Postgres)
	r := &replica{cmd: cmd, log: &replicaLog{file: file}, done: make(chan struct{})}
	cmd.Stdout = r.log
	cmd.Stderr = r.log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait()
		_ = file.Close()
		close(r.done)
	}()
	return r, nil
}

// kill ends a replica at once.
func (r *replica) kill() { r.signalAndWait(syscall.SIGKILL) }

// stop lets a replica end in order.
func (r *replica) stop() { r.signalAndWait(syscall.SIGTERM) }

// signalAndWait sends a signal to a replica that may have ended, and waits for its end.
func (r *replica) signalAndWait(s os.Signal) {
	_ = r.cmd.Process.Signal(s)
	<-r.done
}

// replicaLog writes the output of a replica to a file, and keeps the end of it.
type replicaLog struct {
	file *os.File

	mu   sync.Mutex
	last []byte
}

func (l *replicaLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = append(l.last, p...)
	l.last = l.last[max(0, len(l.last)-4096):]
	return l.file.Write(p)
}

// stopped reports whether the replica has announced that it stops itself.
func (l *replicaLog) stopped() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.last, []byte(failpoint.StoppedAt))
}

// step is the point at which the replica announced that it kills itself; "" before.
func (l *replicaLog) step() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, rest, _ := bytes.Cut(l.last, []byte(failpoint.KilledAt))
	name, _, _ := bytes.Cut(rest, []byte("\n"))
	return string(name)
}
