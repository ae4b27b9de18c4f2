package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/mailwright/mailwright/pkg/testkit/child"
)

const (
	// until a part must be ready; the first start of a slow machine included
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second // until a part that was asked to stop is killed
	restartDelay = time.Second      // before a part that ended by itself is started again
)

// program is one process that is watched over: should it end by itself, it is started again.
type program struct {
	name, path string
	args, env  []string
	// ready returns nil once the program serves.
	ready func(context.Context) error
	log   *slog.Logger
	dir   string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done <-chan struct{} // closed when cmd has ended
	down bool            // it is meant to be down
}

func (p *program) logFile() string { return filepath.Join(p.dir, "logs", p.name+".log") }

func (p *program) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.launch()
}

// launch starts the process. p.mu is held.
func (p *program) launch() error {
	out, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command(p.path, p.args...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = out, out
	ended, err := child.Start(cmd, syscall.SIGTERM)
	if err != nil {
		return err
	}
	p.cmd = cmd
	p.done = ended
	p.down = false
	go p.watch(cmd, ended)
	return nil
}

// watch waits for the end of one process and starts the next, unless it is meant to be down.
func (p *program) watch(cmd *exec.Cmd, ended <-chan struct{}) {
	<-ended
	p.mu.Lock()
	down := p.down
	p.mu.Unlock()
	if down {
		return
	}
	p.log.Error("a program ended by itself and is started again", "program", p.name, "state", cmd.ProcessState, "log", p.logFile())
	time.Sleep(restartDelay)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.down {
		if err := p.launch(); err != nil {
			p.log.Error("a program does not start", "program", p.name, "error", err)
		}
	}
}

func (p *program) signal(sig os.Signal) (<-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	if p.cmd == nil {
		return nil, nil
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return nil, err
	}
	return p.done, nil
}

func (p *program) kill() error {
	done, err := p.signal(syscall.SIGKILL)
	if done != nil {
		<-done
	}
	return err
}

func (p *program) stop() error {
	done, err := p.signal(syscall.SIGTERM)
	if err != nil || done == nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-time.After(stopTimeout):
		_ = p.kill()
		return fmt.Errorf("%s did not stop within %s and was killed; its log is %s", p.name, stopTimeout, p.logFile())
	}
}

// await waits until the program is ready. Its error shows the end of the program's log.
func (p *program) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.ready(ctx)
		if err == nil {
			return nil
		}
		p.mu.Lock()
		done := p.done
		p.mu.Unlock()
		select {
		case <-done:
			return fmt.Errorf("%s ended before it was ready; the end of its log (%s):\n%s", p.name, p.logFile(), p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; the end of its log (%s):\n%s", p.name, err, p.logFile(), p.tail())
		case <-tick.C:
		}
	}
}

// tail gives the last lines of the log.
func (p *program) tail() string {
	raw, err := os.ReadFile(p.logFile())
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(raw), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-10):], []byte("\n")))
}

// dials is ready when something listens.
func dials(port int) func(context.Context) error {
	return func(ctx context.Context) error {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		return c.Close()
	}
}

// answers is ready when [Answers] finds that the URL does.
func answers(url, ca string) func(context.Context) error {
	return func(ctx context.Context) error { return Answers(ctx, url, ca) }
}

// Answers reports whether a URL answers 200; its error quotes what the answer says. ca is the file
// of the authorities that may sign the server's certificate; "": the system's.
func Answers(ctx context.Context, url, ca string) error {
	client, err := HTTPClient(ca)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		return fmt.Errorf("%s: %s", res.Status, bytes.TrimSpace(body))
	}
	return nil
}
