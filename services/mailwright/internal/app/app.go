// Package app is shared by the commands of mailwright: the addresses of the servers, the form of
// the output, and the exit codes.
package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/permissions"
)

// Exit codes of every command.
const (
	// it did not succeed: an operation failed or was rejected, or a server does not answer
	ExitFailure   = 1
	ExitUsage     = 2 // the arguments or the input are wrong; nothing was done
	ExitNoOutcome = 3 // no outcome in time; the operation goes on
	ExitDifferent = 4 // a comparison found differences
	ExitSuspect   = 5 // an inventory missed so many mailboxes that it reports none as missing
)

// ExitError is an error that ends the program with a code of its own.
type ExitError struct {
	Code int
	Err  error
}

// Error implements error.
func (e *ExitError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *ExitError) Unwrap() error { return e.Err }

// Usage is an error with code ExitUsage.
func Usage(format string, args ...any) error {
	return &ExitError{ExitUsage, fmt.Errorf(format, args...)}
}

// Code gives the exit code of an error.
func Code(err error) int {
	if e, ok := errors.AsType[*ExitError](err); ok {
		return e.Code
	}
	if err != nil {
		return ExitFailure
	}
	return 0
}

// Globals are the settings of every command. Addresses come from flag or environment, else from the
// state directory of a running `mailwright dev`, else from the usual local ports.
type Globals struct {
	Config      string `help:"YAML file with settings; its keys are the long names of flags." placeholder:"FILE"`
	JSON        bool   `help:"Print JSON, one document or one line each, instead of tables."`
	State       string `name:"state" help:"State directory of 'mailwright dev', for its addresses. Default: .mailwright." type:"path" placeholder:"DIR"`
	NATSURL     string `name:"nats-url" help:"NATS server." env:"MAILWRIGHT_NATS_URL,NATS_URL" placeholder:"URL"`
	DatabaseURL string `name:"database-url" help:"Postgres." env:"MAILWRIGHT_DATABASE_URL,DATABASE_URL" placeholder:"URL"`
	NATSUser    string `name:"nats-user" help:"NATS user, of those that 'mailwright nats permissions' writes. Default: operator, for 'streams' streams." placeholder:"NAME"`
	bus.AuthFlags
	bus.JetStreamFlags
}

// App is what every command gets from the program.
type App struct {
	Globals
	In     io.Reader // nil: standard input
	Out    io.Writer // results
	Err    io.Writer // progress and errors
	Prompt io.Reader // answers to questions; nil: there is no terminal
	Log    *slog.Logger
}

// Stdin is where a command reads what "-" names.
func (a *App) Stdin() io.Reader {
	if a.In == nil {
		return os.Stdin
	}
	return a.In
}

// defaultState is the state directory where none is given.
const defaultState = ".mailwright"

// StateDir is the state directory, as an absolute path.
func (g Globals) StateDir() string {
	dir := cmp.Or(g.State, defaultState)
	if absolute, err := filepath.Abs(dir); err == nil {
		return absolute
	}
	return dir
}

// Endpoints gives the addresses of the servers. A state directory that was given must be that of a
// running system: otherwise a mistyped one would send the call to another system on the usual local
// ports.
func (a *App) Endpoints() (stack.Endpoints, error) {
	e := stack.Endpoints{NATS: nats.DefaultURL, Postgres: "postgres://127.0.0.1:5432/mailwright"}
	file := filepath.Join(a.StateDir(), stack.EndpointsFile)
	raw, err := os.ReadFile(file)
	switch {
	case err == nil:
		if err := json.Unmarshal(raw, &e); err != nil {
			return e, fmt.Errorf("%s: %w", file, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return e, err
	case a.State != "":
		return e, Usage("--state %s: no system runs there, since it has no %s; "+
			"give the directory of a running 'mailwright dev', or leave --state out and give --nats-url", a.State, stack.EndpointsFile)
	}
	if a.NATSURL != "" {
		e.NATS = a.NATSURL
	}
	if a.DatabaseURL != "" {
		e.Postgres = a.DatabaseURL
	}
	return e, nil
}

// ServerTimeout bounds how long a command without a timeout of its own waits for a server to
// answer.
const ServerTimeout = 5 * time.Second

// Connect connects to NATS. It waits until ctx ends; the connection outlives ctx.
func (a *App) Connect(ctx context.Context) (*nats.Conn, jetstream.JetStream, error) {
	return a.ConnectAs(ctx, permissions.Operator)
}

// ConnectAs is Connect with the inbox of a user of package permissions, where no setting gives
// another.
func (a *App) ConnectAs(ctx context.Context, user string) (*nats.Conn, jetstream.JetStream, error) {
	e, err := a.Endpoints()
	if err != nil {
		return nil, nil, err
	}
	auth := a.AuthFlags
	auth.NATSCA = cmp.Or(auth.NATSCA, e.CA)
	auth.NATSInboxPrefix = cmp.Or(auth.NATSInboxPrefix, bus.InboxPrefix(cmp.Or(a.NATSUser, user)))
	nc, js, err := bus.ConnFlags{NATSURL: e.NATS, AuthFlags: auth, JetStreamFlags: a.JetStreamFlags}.Connect(ctx, "mailwright", a.Log)
	if err != nil && ctx.Err() != nil {
		return nil, nil, fmt.Errorf("NATS does not answer at %s: is 'mailwright dev' running? "+
			"--nats-url says where else it is (%w)", withoutUser(e.NATS), context.Cause(ctx))
	}
	return nc, js, err
}

var userinfo = regexp.MustCompile(`//[^/@]*@`)

// withoutUser takes user names and passwords out of a list of URLs.
func withoutUser(urls string) string { return userinfo.ReplaceAllString(urls, "//") }
