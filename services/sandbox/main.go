// Sandbox simulates the four vendor APIs over one tenant: Adaxes, the Exchange Online Admin
// API, Hosted Exchange and AvePoint EnPower, with the token endpoints they need. docs/sandbox.md
// tells how to use it.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/mailwright/mailwright/services/internal/livefile"
	"github.com/mailwright/mailwright/services/internal/process"
	"github.com/mailwright/mailwright/services/sandbox/internal/sandbox"
	"golang.org/x/term"
)

// config is everything an operator can set.
type config struct {
	Listen            string `help:"Address to listen on." default:"127.0.0.1:0" env:"MAILWRIGHT_SANDBOX_LISTEN"`
	process.HTTPFlags `envprefix:"MAILWRIGHT_SANDBOX_"`
	URLFile           string        `help:"File to write the base URL to." type:"path" env:"MAILWRIGHT_SANDBOX_URL_FILE"`
	LDAPListen        string        `name:"ldap-listen" help:"Address on which to show the directories over LDAP, for reading; empty: not at all." env:"MAILWRIGHT_SANDBOX_LDAP_LISTEN"`
	LDAPSListen       string        `name:"ldaps-listen" help:"Likewise, encrypted from the first byte; needs a certificate." env:"MAILWRIGHT_SANDBOX_LDAPS_LISTEN"`
	LDAPCertificate   string        `name:"ldap-certificate" help:"PEM file with a certificate and its key, for StartTLS and --ldaps-listen; default: --http-cert and --http-key." type:"existingfile" env:"MAILWRIGHT_SANDBOX_LDAP_CERTIFICATE"`
	LDAPURLFile       string        `name:"ldap-url-file" help:"File to write the LDAP URLs to, one a line." type:"path" env:"MAILWRIGHT_SANDBOX_LDAP_URL_FILE"`
	Seed              string        `help:"Seed (YAML) in place of the built-in one." type:"existingfile" env:"MAILWRIGHT_SANDBOX_SEED"`
	StateFile         string        `help:"File that keeps the state over restarts." type:"path" env:"MAILWRIGHT_SANDBOX_STATE_FILE"`
	ScanInterval      time.Duration `help:"Time between EnPower's scans; 0: on demand only." default:"2s" env:"MAILWRIGHT_SANDBOX_SCAN_INTERVAL"`
	JournalSize       int           `help:"Vendor calls that the journal keeps." default:"100000" env:"MAILWRIGHT_SANDBOX_JOURNAL_SIZE"`
	FaultSeed         uint64        `help:"Seed of the chance by which faults with a probability strike; 0: random." default:"0" env:"MAILWRIGHT_SANDBOX_FAULT_SEED"`
	ControlToken      string        `help:"Bearer token of the control API; needed to listen beyond loopback." env:"MAILWRIGHT_SANDBOX_CONTROL_TOKEN"`
	LogLevel          slog.Level    `help:"Least level to log: debug, info, warn or error." default:"info" env:"MAILWRIGHT_SANDBOX_LOG_LEVEL"`
	Healthcheck       bool          `help:"Ask the sandbox that runs with these settings whether it is ready, and exit: 0 or 1."`
}

func main() {
	var cfg config
	kong.Parse(&cfg, kong.Name("sandbox"), kong.Description("The vendors' APIs, simulated over one tenant."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := newLog(cfg.LogLevel)
	if cfg.Healthcheck {
		if err := process.Healthcheck(ctx, cfg.Listen, cfg.HTTPFlags); err != nil {
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
	listener, url, err := listen(cfg, log)
	if err != nil {
		return err
	}
	box, err := sandbox.Open(sandbox.Options{
		Seed: seedText, StateFile: cfg.StateFile, JournalSize: cfg.JournalSize, ControlToken: cfg.ControlToken, FaultSeed: cfg.FaultSeed, Log: log,
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, box.Close()) }()

	stopLDAP, err := showLDAP(box, cfg, log)
	defer stopLDAP()
	if err != nil {
		return errors.Join(err, listener.Close())
	}

	// A call that a fault holds back ends with the server, not with its hold.
	calls, endCalls := context.WithCancel(context.Background())
	defer endCalls()
	server := &http.Server{
		Handler: box.Handler(), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return calls },
	}
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
		return err
	case <-ctx.Done():
		log.Info("sandbox stops")
		endCalls()
		return shutdown(server)
	}
}

func listen(cfg config, log *slog.Logger) (listener net.Listener, url string, err error) {
	listener, url, err = cfg.HTTPFlags.Listen(cfg.Listen, log)
	if err != nil {
		return nil, "", err
	}
	address := listener.Addr().(*net.TCPAddr)
	if !address.IP.IsLoopback() && cfg.ControlToken == "" {
		_ = listener.Close() // nothing was served on it
		return nil, "", fmt.Errorf("listening on %s, beyond loopback, needs a control token", address)
	}
	return listener, url, nil
}

func shutdown(server *http.Server) error {
	limit, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(limit); err != nil {
		return errors.Join(err, server.Close())
	}
	return nil
}

// showLDAP opens the directories for reading over LDAP, on as many listeners as are asked for.
func showLDAP(box *sandbox.Sandbox, cfg config, log *slog.Logger) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	encryption, err := ldapTLS(cfg, log)
	if err != nil {
		return stop, err
	}
	if encryption == nil && cfg.LDAPSListen != "" {
		return stop, errors.New("--ldaps-listen needs --ldap-certificate, or --http-cert and --http-key")
	}
	var urls strings.Builder
	for _, o := range []sandbox.LDAP{{Address: cfg.LDAPListen, TLS: encryption}, {Address: cfg.LDAPSListen, TLS: encryption, Encrypted: true}} {
		if o.Address == "" {
			continue
		}
		url, end, err := box.StartLDAP(o)
		if err != nil {
			return stop, err
		}
		stops = append(stops, end)
		log.Info("sandbox listens for LDAP", "url", url)
		urls.WriteString(url + "\n")
	}
	if cfg.LDAPURLFile != "" {
		return stop, writeWhole(cfg.LDAPURLFile, urls.String())
	}
	return stop, nil
}

// ldapTLS is the TLS of LDAP: by a certificate of its own, else by that of HTTP; nil without
// either.
func ldapTLS(cfg config, log *slog.Logger) (*tls.Config, error) {
	certFile, keyFile := cfg.HTTPCert, cfg.HTTPKey
	if cfg.LDAPCertificate != "" {
		certFile, keyFile = cfg.LDAPCertificate, cfg.LDAPCertificate
	}
	if certFile == "" {
		return nil, nil
	}
	certificate, err := livefile.Certificate("the certificate for LDAP", certFile, keyFile, log)
	if err != nil {
		return nil, err
	}
	return livefile.ServerConfig(certificate), nil
}

// writeWhole writes a file in one step, so that no reader ever sees a part of it.
func writeWhole(path, text string) error {
	partial := path + ".partial"
	if err := os.WriteFile(partial, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(partial, path)
}
