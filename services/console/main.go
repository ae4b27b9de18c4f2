// console is the page that an operator keeps open: what runs, waits and failed, one person's case,
// and what a person can do about it.
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/console/internal/page"
	"github.com/mailwright/mailwright/services/console/internal/pages/attention"
	"github.com/mailwright/mailwright/services/console/internal/pages/delegates"
	"github.com/mailwright/mailwright/services/console/internal/pages/inventory"
	"github.com/mailwright/mailwright/services/console/internal/pages/operation"
	"github.com/mailwright/mailwright/services/console/internal/pages/operations"
	"github.com/mailwright/mailwright/services/console/internal/pages/overview"
	"github.com/mailwright/mailwright/services/console/internal/pages/people"
	"github.com/mailwright/mailwright/services/console/internal/pages/send"
	"github.com/mailwright/mailwright/services/console/internal/pages/system"
	"github.com/mailwright/mailwright/services/console/internal/web"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/livefile"
	"github.com/mailwright/mailwright/services/internal/permissions"
	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/process"
)

type config struct {
	process.Config
	bus.ConnFlags
	DatabaseURL secret.String     `name:"database-url" help:"Postgres, as a member of the role mailwright_reader." env:"MAILWRIGHT_DATABASE_URL,DATABASE_URL" required:""`
	Listen      string            `help:"Address of the console; port 0 picks a free one." default:"127.0.0.1:8080"`
	PublicURL   string            `help:"Where people reach the console, if not at --listen: of a proxy that ends TLS, such as https://mailwright.example.com." placeholder:"URL"`
	TLSCert     string            `name:"tls-cert" help:"PEM file with the certificate of the console; with --tls-key it speaks https." placeholder:"FILE"`
	TLSKey      string            `name:"tls-key" help:"PEM file with the key of --tls-cert." placeholder:"FILE"`
	Services    map[string]string `help:"Health endpoints of services, NAME=URL, for the page System." placeholder:"NAME=URL"`
	ServicesCA  string            `name:"services-ca" help:"File with the certificates of the authorities that the services' certificates are checked against; default: the system's." placeholder:"FILE"`
	Token       secret.String     `help:"Token of the one local user; default: a new one at each start, which is printed."`
	SessionKey  secret.String     `help:"Key of the sessions, any text of 32 characters at least, the same for every replica; default: a new one at each start. A local user's sessions follow from the token."`
	OIDC        web.OIDCFlags     `embed:"" prefix:"oidc-" envprefix:"OIDC_"`
}

func main() {
	process.Main(permissions.Console, "Serves the console: pages that show what runs, waits and failed, and act on it.", &config{}, run)
}

// poolSize is how many queries run at once. Pages share their readings, so it does not grow with
// those who look.
const poolSize = 8

// pages are the pages, in the order of the navigation.
func pages(s page.Source, cfg *config, health *http.Client) []page.Page {
	return slices.Concat(
		[]page.Page{overview.New(s)},
		attention.New(s),
		[]page.Page{operations.New(s), operation.New(s), people.New(s), inventory.New(s)},
		delegates.New(s),
		[]page.Page{send.New(s), system.New(s, system.Options{Services: cfg.Services, HTTP: health})},
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

	health, err := cfg.healthClient(p.Log)
	if err != nil {
		return err
	}
	encryption, err := cfg.encryption(p.Log)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return err
	}
	base := cfg.base(listener.Addr().String())
	signIn, err := cfg.signIn(base, listener.Addr(), p.Log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	console, err := web.New(web.Options{
		Pages: pages(source, cfg, health), Source: source, SignIn: signIn, Secure: strings.HasPrefix(base, "https:"), Log: p.Log,
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	serve(ctx, p, listener, console, encryption)
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
func serve(ctx context.Context, p *process.Process, l net.Listener, console *web.Server, encryption *tls.Config) {
	requests, end := context.WithCancel(ctx)
	server := &http.Server{
		Handler: console, TLSConfig: encryption, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		BaseContext: func(net.Listener) context.Context { return requests },
	}
	go console.Run(requests)
	go func() {
		err := error(nil)
		if encryption != nil {
			err = server.ServeTLS(l, "", "")
		} else {
			err = server.Serve(l)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			p.Fail(err)
		}
	}()
	p.OnStop("console", func(ctx context.Context) error { end(); return server.Shutdown(ctx) })
}

// encryption is the TLS of the console, whose files are read again when they change; nil without a
// certificate.
func (c *config) encryption(log *slog.Logger) (*tls.Config, error) {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return nil, errors.New("--tls-cert and --tls-key belong together; give both")
	}
	if c.TLSCert == "" {
		return nil, nil
	}
	certificate, err := livefile.Certificate("--tls-cert", c.TLSCert, c.TLSKey, log)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert: %w", err)
	}
	return livefile.ServerConfig(certificate), nil
}

// healthClient asks the services how they are.
func (c *config) healthClient(log *slog.Logger) (*http.Client, error) {
	if c.ServicesCA == "" {
		return http.DefaultClient, nil
	}
	authorities, err := livefile.Authorities("--services-ca", c.ServicesCA, log)
	if err != nil {
		return nil, fmt.Errorf("--services-ca: %w", err)
	}
	return &http.Client{Transport: livefile.Transport(authorities)}, nil
}

// base is where people reach the console, without a path.
func (c *config) base(listens string) string {
	switch {
	case c.PublicURL != "":
		return strings.TrimSuffix(c.PublicURL, "/")
	case c.TLSCert != "":
		return "https://" + listens
	}
	return "http://" + listens
}

// minKey is the least length of a session key, in characters.
const minKey = 32

// signIn gives how people sign in. The link of the local user is printed, and not logged: it holds
// the token.
func (c *config) signIn(base string, listens net.Addr, log *slog.Logger) (web.SignIn, error) {
	if err := c.OIDC.Validate(); err != nil {
		return nil, err
	}
	if c.OIDC.Issuer != "" {
		var key []byte
		if text := c.SessionKey.Reveal(); text != "" {
			if len(text) < minKey {
				return nil, fmt.Errorf("--session-key has fewer than %d characters", minKey)
			}
			key = web.SessionKey(text)
		}
		return web.NewOpenID(c.OIDC, base, key, log)
	}
	if at, ok := listens.(*net.TCPAddr); ok && !at.IP.IsLoopback() && c.Token.IsZero() {
		return nil, errors.New("a console that others can reach needs --oidc-issuer, or a --token that its users know")
	}
	token := c.Token
	if token.IsZero() {
		token = secret.New(rand.Text())
	}
	local, err := web.NewLocal(token, strings.HasPrefix(base, "https:"))
	if err != nil {
		return nil, err
	}
	if c.Token.IsZero() {
		fmt.Println("Console:", local.Link(base))
	}
	return local, nil
}
