// Package dev is `mailwright dev`: everything on one machine, without Docker.
package dev

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"text/tabwriter"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Command is `mailwright dev`.
type Command struct {
	Bin string   `help:"Folder with the programs; default: where mailwright itself is." type:"existingdir" placeholder:"DIR"`
	Env []string `help:"Further environment of the services, NAME=VALUE." placeholder:"NAME=VALUE"`
}

// Help implements kong.HelpProvider.
func (Command) Help() string {
	return `Starts NATS with JetStream, Postgres, the sandbox (the vendors' APIs, simulated), the five services and the console, each as a
process of its own on a free port of the loopback interface. A process that ends is started again. Ctrl-C stops all
of it in order.

Postgres is the machine's own, run as another user if needed. If there is none, it is installed from Debian's
packages where that is possible, else downloaded, and the log says so.

The state directory (--state) keeps databases, streams, logs and the services' configuration, mailwright.yaml. While
the system runs it also has endpoints.json, with the URLs "console", "nats", "postgres" and "sandbox": other commands find
the system there.`
}

// Run implements the command.
func (c *Command) Run(ctx context.Context, a *app.App) error {
	log := slog.New(slog.NewTextHandler(a.Err, nil))
	s, err := stack.Start(ctx, stack.Options{Dir: a.StateDir(), Bin: c.Bin, Log: log, Env: c.Env, Console: true})
	if err != nil {
		return err
	}
	if err := c.announce(a, s); err != nil {
		return err
	}
	<-ctx.Done()
	log.Info("stopping")
	return s.Stop()
}

func (c *Command) announce(a *app.App, s *stack.Stack) error {
	if a.JSON {
		return a.PrintJSON(s.Endpoints)
	}
	PrintEndpoints(a, s)
	_, err := fmt.Fprintf(a.Out, "\nTry:  mailwright --state %s send --help\nStop: Ctrl-C\n", a.StateDir())
	return err
}

// PrintEndpoints prints where everything is, for people.
func PrintEndpoints(a *app.App, s *stack.Stack) {
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "Console\t%s\n", s.Endpoints.Console)
	_, _ = fmt.Fprintf(w, "NATS\t%s\n", s.Endpoints.NATS)
	_, _ = fmt.Fprintf(w, "Postgres\t%s\n", s.Endpoints.Postgres)
	_, _ = fmt.Fprintf(w, "Sandbox\t%s\n", s.Endpoints.Sandbox)
	for _, name := range stack.Services {
		_, _ = fmt.Fprintf(w, "%s\t%s/readyz\n", name, s.Endpoints.Services[name])
	}
	_, _ = fmt.Fprintf(w, "Network\tloopback only, without TLS and without users of NATS: every program of this machine may do everything\n")
	_, _ = fmt.Fprintf(w, "Secrets\tplain ones are allowed, since the vendors are simulated\n")
	_, _ = fmt.Fprintf(w, "Logs\t%s\n", filepath.Join(a.StateDir(), "logs"))
	_ = w.Flush()
}
