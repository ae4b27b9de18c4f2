// Package process is what Mailwright's programs have in common as processes: settings from flags,
// environment and file, logs, health endpoints, and an ordered stop.
//
// A main is a straight list:
//
//	func main() { process.Main("mailbox-svc", "…", &config{}, run) }
//
//	func run(ctx context.Context, p *process.Process, cfg *config) error {
//		// build in order; p.OnStop for each thing that must end; p.Check for what readiness waits for
//		return p.Wait(ctx)
//	}
package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/mailwright/mailwright/services/internal/metrics"
)

// Config holds the settings of every long-running program. Embed it.
type Config struct {
	Config      string `help:"YAML file with settings; its keys are the long names of flags."`
	HTTP        string `name:"http" help:"Address of /livez, /readyz and /metrics; port 0 picks a free one." default:"127.0.0.1:0"`
	HTTPFlags   `envprefix:"MAILWRIGHT_"`
	LogLevel    slog.Level    `help:"Least level that is logged: debug, info, warn, error." default:"info"`
	LogFormat   string        `help:"Format of logs: auto is text on a terminal, else json." enum:"auto,json,text" default:"auto"`
	StopTimeout time.Duration `help:"How long a stop may take until what is left is abandoned." default:"25s"`
	Healthcheck bool          `help:"Ask the program that runs with these settings whether it is ready, say what it waits for, and exit: 0 or 1."`
}

// Base lets Main reach the embedded Config.
func (c *Config) Base() *Config { return c }

// Exit codes of our programs, as BSD's sysexits and shells expect them.
const (
	ExitFailure = 1
	ExitUsage   = 2
)

// Main parses the settings, runs the program until SIGINT or SIGTERM, stops in order, and exits: 0
// after a clean stop, 1 after an error, 2 for wrong settings.
func Main[C interface{ Base() *Config }](name, description string, cfg C, run func(context.Context, *Process, C) error) {
	parser, err := kong.New(cfg, Options(name, description)...)
	if err != nil {
		panic(err) // the config type itself is wrong
	}
	if _, err := parser.Parse(os.Args[1:]); err != nil {
		parser.Errorf("%s", err)
		os.Exit(ExitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if base := cfg.Base(); base.Healthcheck {
		if err := Healthcheck(ctx, base.HTTP, base.HTTPFlags); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(ExitFailure)
		}
		return
	}
	TuneMemory()
	if err := Run(ctx, name, cfg, run); err != nil {
		os.Exit(ExitFailure)
	}
}

// Run is Main without flags and signals, for tests and for programs that embed others: it ends when
// ctx does.
func Run[C interface{ Base() *Config }](ctx context.Context, name string, cfg C, run func(context.Context, *Process, C) error) error {
	p := &Process{Name: name, Log: NewLogger(name, *cfg.Base(), os.Stderr), cfg: *cfg.Base(), failed: make(chan error, 1)}
	err := errors.Join(p.exportTraces(ctx), p.serveHealth(p.cfg.HTTP))
	if err == nil {
		err = run(ctx, p, cfg)
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil // stopped on request
	}
	err = errors.Join(err, p.stop())
	if err != nil {
		p.Log.Error("ended with an error", "error", err)
		return err
	}
	p.Log.Info("stopped")
	return nil
}

// Process is the running program, as its run function sees it.
type Process struct {
	Name string
	Log  *slog.Logger

	cfg     Config
	failed  chan error
	metrics metrics.Scraper

	mu       sync.Mutex
	stops    []step
	starting string
	checks   []check
	results  map[string]string // of the checks, when readiness was asked for last
	url      string
}

type step struct {
	name string
	fn   func(context.Context) error
}

// OnStop registers the end of something that was started. Steps run in reverse order, once, and
// together have StopTimeout.
func (p *Process) OnStop(name string, fn func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stops = append(p.stops, step{name, fn})
}

// Fail ends the program with an error, from any goroutine. The first call counts.
func (p *Process) Fail(err error) {
	select {
	case p.failed <- err:
	default:
	}
}

// Wait blocks until the program is asked to stop, or fails.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-p.failed:
		return err
	}
}

func (p *Process) stop() error {
	p.mu.Lock()
	stops := slices.Clone(p.stops)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), p.cfg.StopTimeout)
	defer cancel()
	var errs []error
	for _, s := range slices.Backward(stops) {
		p.Log.Debug("stopping", "part", s.name)
		if err := s.fn(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", s.name, err))
		}
	}
	return errors.Join(errs...)
}

// NewLogger gives the program's logger: JSON unless w is a terminal or the format says otherwise.
func NewLogger(name string, cfg Config, w *os.File) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.LogLevel}
	text := cfg.LogFormat == "text" || (cfg.LogFormat != "json" && term.IsTerminal(int(w.Fd())))
	if text {
		return slog.New(slog.NewTextHandler(w, opts)).With("service", name)
	}
	return slog.New(slog.NewJSONHandler(w, opts)).With("service", name)
}
