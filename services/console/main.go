// console is the page that an operator keeps open: what runs, waits and failed, one person's case,
// and what a person can do about it.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/console/internal/page"
	"github.com/mailwright/mailwright/services/console/internal/pages/delegates"
	"github.com/mailwright/mailwright/services/console/internal/pages/inventory"
	"github.com/mailwright/mailwright/services/console/internal/pages/operations"
	"github.com/mailwright/mailwright/services/console/internal/pages/overview"
	"github.com/mailwright/mailwright/services/console/internal/pages/people"
	"github.com/mailwright/mailwright/services/console/internal/pages/system"
	"github.com/mailwright/mailwright/services/console/internal/web"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/permissions"
	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/process"
)

type config struct {
	process.Config
	bus.ConnFlags
	DatabaseURL secret.String     `name:"database-url" help:"Postgres, as a member of the role mailwright_reader." env:"MAILWRIGHT_DATABASE_URL,DATABASE_URL" required:""`
	Listen      string            `help:"Address of the console; port 0 picks a free one." default:"127.0.0.1:8080"`
	Services    map[string]string `help:"Health endpoints of services, NAME=URL, for the page System." placeholder:"NAME=URL"`
	Token       secret.String     `help:"Token of the one local user; default: a new one at each start, which is printed."`
}

func main() {
	process.Main(permissions.Console, "Serves the console: pages that show what runs, waits and failed, and act on it.", &config{}, run)
}

// poolSize is how many queries run at once. Pages share their readings, so it does not grow with
// those who look.
const poolSize = 8

// pages are the pages, in the order of the navigation.
func pages(s page.Source, cfg *config) []page.Page {
	return slices.Concat(
		[]page.Page{overview.New(s), operations.New(s), people.New(s), inventory.New(s)},
		delegates.New(s),
		[]page.Page{system.New(s, system.Options{Services: cfg.Services})},
	)
}

func run(ctx context.Context, p *process.Process, cfg *config) error {
	pool, err := postgres.OpenReader(ctx, cfg.DatabaseURL.Reveal(), poolSize)
	if err != nil {
		return err
	}
	p.OnStop("Postgres connections", func(context.Context) error { pool.Close(); return nil })
	nc, js, err := cfg.Dial(p.Name, p.Log)
	if err != nil {
		return err
	}
	p.OnStop("NATS connection", func(context.Context) error { nc.Close(); return nil })
	source := page.Source{DB: pool, NATS: nc, JS: js, Log: p.Log}

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return err
	}
	base := "http://" + listener.Addr().String()
	signIn, err := signIn(cfg, base)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	console, err := web.New(web.Options{Pages: pages(source, cfg), Source: source, SignIn: signIn, Log: p.Log})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	serve(ctx, p, listener, console)
	p.Check("console", console.Check)
	p.Log.Info("console", "url", base)
	return p.Wait(ctx)
}

const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 2 * time.Minute
)

// serve answers until the program stops. Streams of live parts end then, since their requests'
// context does.
func serve(ctx context.Context, p *process.Process, l net.Listener, console *web.Server) {
	requests, end := context.WithCancel(ctx)
	server := &http.Server{
		Handler: console, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		BaseContext: func(net.Listener) context.Context { return requests },
	}
	go console.Run(requests)
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			p.Fail(err)
		}
	}()
	p.OnStop("console", func(ctx context.Context) error { end(); return server.Shutdown(ctx) })
}

// signIn gives how people sign in. The link of the local user is printed, and not logged: it holds
// the token.
func signIn(cfg *config, base string) (web.SignIn, error) {
	token := cfg.Token
	if token.Reveal() == "" {
		token = secret.New(rand.Text())
	}
	local, err := web.NewLocal(token)
	if err != nil {
		return nil, err
	}
	if cfg.Token.Reveal() == "" {
		fmt.Println("Console:", local.Link(base))
	}
	return local, nil
}
