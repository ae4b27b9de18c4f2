// Sandbox simulates the four vendor APIs over one tenant: Adaxes, the Exchange Online Admin
// API, Hosted Exchange and AvePoint EnPower, with the token endpoints they need. docs/sandbox.md
// tells how to use it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/mailwright/mailwright/pkg/process"
	"github.com/mailwright/mailwright/services/sandbox/internal/sandbox"
	"golang.org/x/term"
)

// config is everything an operator can set.
type config struct {
	Listen       string        `help:"Address to listen on." default:"127.0.0.1:0" env:"MAILWRIGHT_SANDBOX_LISTEN"`
	URLFile      string        `help:"File to write the base URL to." type:"path" env:"MAILWRIGHT_SANDBOX_URL_FILE"`
	LDAPListen   string        `name:"ldap-listen" help:"Address on which to show the directories over LDAP, for reading; empty: not at all." env:"MAILWRIGHT_SANDBOX_LDAP_LISTEN"`
	LDAPURLFile  string        `name:"ldap-url-file" help:"File to write the LDAP URL to." type:"path" env:"MAILWRIGHT_SANDBOX_LDAP_URL_FILE"`
	Seed         string        `help:"Seed (YAML) in place of the built-in one." type:"existingfile" env:"MAILWRIGHT_SANDBOX_SEED"`
	StateFile    string        `help:"File that keeps the state over restarts." type:"path" env:"MAILWRIGHT_SANDBOX_STATE_FILE"`
	ScanInterval time.Duration `help:"Time between EnPower's scans; 0: on demand only." default:"2s" env:"MAILWRIGHT_SANDBOX_SCAN_INTERVAL"`
	JournalSize  int           `help:"Vendor calls that the journal keeps." default:"100000" env:"MAILWRIGHT_SANDBOX_JOURNAL_SIZE"`
	ControlToken string        `help:"Bearer token of the control API; needed to listen beyond loopback." env:"MAILWRIGHT_SANDBOX_CONTROL_TOKEN"`
	LogLevel     slog.Level    `help:"Least level to log: debug, info, warn or error." default:"info" env:"MAILWRIGHT_SANDBOX_LOG_LEVEL"`
	Healthcheck  bool          `help:"Ask the sandbox that runs with these settings whether it is ready, and exit: 0 or 1."`
}

func main() {
	var cfg config
	kong.Parse(&cfg, kong.Name("sandbox"), kong.Description("The vendors' APIs, simulated over one tenant."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := newLog(cfg.LogLevel)
	if cfg.Healthcheck {
		if err := process.Healthcheck(ctx, cfg.Listen); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := run(ctx, cfg, log); err != nil {
		log.Error("sandbox ends", "error", err)
		os.Exit(1)
	}
}

// newLog writes text to a terminal and JSON elsewhere.
func newLog(level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		return slog.New(slog.NewTextHandler(os.Stderr, options))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, options))
}

func run(ctx context.Context, cfg config, log *slog.Logger) (err error) {
	var seedText []byte
	if cfg.Seed != "" {
		if seedText, err = os.ReadFile(cfg.Seed); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return err
	}
	address := listener.Addr().(*net.TCPAddr)
	if !address.IP.IsLoopback() && cfg.ControlToken == "" {
		_ = listener.Close() // nothing was served on it
		return fmt.Errorf("listening on %s, beyond loopback, needs a control token", address)
	}
	box, err := sandbox.Open(sandbox.Options{
		Seed: seedText, StateFile: cfg.StateFile, JournalSize: cfg.JournalSize, ControlToken: cfg.ControlToken, Log: log,
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, box.Close()) }()

	if cfg.LDAPListen != "" {
		stop, err := showLDAP(box, cfg, log)
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		defer stop()
	}

	// A call that a fault holds back ends with the server, not with its hold.
	calls, endCalls := context.WithCancel(context.Background())
	defer endCalls()
	server := &http.Server{
		Handler: box.Handler(), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return calls },
	}
	url := "http://" + address.String()
	if cfg.URLFile != "" {
		if err := writeWhole(cfg.URLFile, url+"\n"); err != nil {
			return errors.Join(err, listener.Close())
		}
	}
	log.Info("sandbox listens", "url", url)
	scanning, endScans := context.WithCancel(ctx)
	scans := make(chan struct{})
	go func() {
		defer close(scans)
		box.ScanEvery(scanning, cfg.ScanInterval)
	}()
	defer func() { endScans(); <-scans }()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err = <-served:
	case <-ctx.Done():
		log.Info("sandbox stops")
		endCalls()
		limit, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err = server.Shutdown(limit); err != nil {
			err = errors.Join(err, server.Close())
		}
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// showLDAP opens the directories for reading over LDAP.
func showLDAP(box *sandbox.Sandbox, cfg config, log *slog.Logger) (stop func(), err error) {
	url, stop, err := box.StartLDAP(cfg.LDAPListen)
	if err != nil {
		return nil, err
	}
	log.Info("sandbox listens for LDAP", "url", url)
	if cfg.LDAPURLFile != "" {
		if err := writeWhole(cfg.LDAPURLFile, url+"\n"); err != nil {
			stop()
			return nil, err
		}
	}
	return stop, nil
}

// writeWhole writes a file so that whoever waits for it never sees half of it.
func writeWhole(path, text string) error {
	partial := path + ".partial"
	if err := os.WriteFile(partial, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(partial, path)
}
