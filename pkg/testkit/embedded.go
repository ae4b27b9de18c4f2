package testkit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
)

// processes are the parts as servers and processes of this machine.
type processes struct {
	stack *stack.Stack
	dir   string
}

func (s *System) runEmbedded(ctx context.Context) error {
	o := s.opts
	bare := o.noSandbox && len(o.services) == 0
	if o.programs == "" && !bare {
		return errors.New("the embedded backend runs Mailwright's programs: say with WithPrograms or MAILWRIGHT_BIN in which folder they are, or do without services and sandbox")
	}
	// Not a test's own folder: its parents are closed to the user that Postgres may run as.
	dir, err := os.MkdirTemp("", folderPrefix)
	if err != nil {
		return err
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, ownerFile), []byte(self().String()), 0o600)); err != nil {
		return err
	}
	sweptFolders.Do(func() { sweepFolders(os.TempDir(), o.log) })
	running, err := stack.Start(ctx, stack.Options{
		Dir: dir, Bin: o.programs, Log: o.log, Volatile: true, NATS: o.nats.URL, Postgres: o.postgres.URL,
		NATSInProcess: bare, Permissions: len(o.services) > 0, TLS: o.tls, NoSandbox: o.noSandbox, Console: o.console, Services: append([]string{}, o.services...), Env: o.env,
		Before: func(ctx context.Context, e Endpoints) error {
			s.Endpoints.CA = e.CA
			return s.streamsAhead(ctx, e.NATS)
		},
	})
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	s.parts = &processes{stack: running, dir: dir}
	s.Endpoints = running.Endpoints
	if !o.noSandbox {
		s.Vendors = &Vendors{url: running.Endpoints.Sandbox, ca: running.Endpoints.CA}
	}
	return nil
}

// Kill implements parts.
func (p *processes) Kill(name string) error { return p.stack.Kill(name) }

// Restart implements parts.
func (p *processes) Restart(ctx context.Context, name string) error {
	return p.stack.Restart(ctx, name)
}

// Logs implements parts. Servers within this process have no log.
func (p *processes) Logs(context.Context) (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(p.dir, "logs", "*.log"))
	if err != nil {
		return nil, err
	}
	logs := map[string]string{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		logs[strings.TrimSuffix(filepath.Base(file), ".log")] = string(raw)
	}
	return logs, nil
}

// Stop implements parts.
func (p *processes) Stop() error {
	return errors.Join(p.stack.Stop(), os.RemoveAll(p.dir))
}
