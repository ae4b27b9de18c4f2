// Package sandbox assembles the simulated APIs over one tenant into one HTTP handler.
package sandbox

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/adaxes"
	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/control"
	"github.com/mailwright/mailwright/services/sandbox/internal/enpower"
	"github.com/mailwright/mailwright/services/sandbox/internal/exchangeonline"
	"github.com/mailwright/mailwright/services/sandbox/internal/fault"
	"github.com/mailwright/mailwright/services/sandbox/internal/hostedexchange"
	"github.com/mailwright/mailwright/services/sandbox/internal/identity"
	"github.com/mailwright/mailwright/services/sandbox/internal/journal"
	"github.com/mailwright/mailwright/services/sandbox/internal/ldap"
	"github.com/mailwright/mailwright/services/sandbox/internal/seed"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
)

// Options configure a sandbox. The zero value is a tenant in memory with the default seed, which is
// scanned on demand.
type Options struct {
	Seed         []byte // YAML; nil: the default
	StateFile    string // "": nothing outlives the process
	JournalSize  int    // entries kept; 0: 100,000
	ControlToken string // "": the control API asks for none
	FaultSeed    uint64 // of faults with a probability; 0: random
	Log          *slog.Logger
	// Digits makes the random part of a colliding sAMAccountName; nil: random.
	Digits func(n int) string
}

// Sandbox is a running tenant with its APIs. Make one with [Open].
type Sandbox struct {
	world   *state.World
	handler http.Handler
	ldap    func(LDAP) *ldap.Server
	log     *slog.Logger
}

// Open makes the tenant, out of the state file where there is one, and its APIs.
func Open(o Options) (*Sandbox, error) {
	if o.Seed == nil {
		o.Seed = seed.Default
	}
	if o.JournalSize == 0 {
		o.JournalSize = 100_000
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Digits == nil {
		o.Digits = randomDigits
	}
	calls := journal.New(o.JournalSize)
	world, err := state.Open(o.Seed, o.StateFile, func(origin state.Origin) {
		calls.Add(journal.Entry{
			Sequence: origin.Sequence, Time: origin.At, Vendor: origin.Vendor, Call: origin.Call, Target: origin.Target, Detail: origin.Detail,
			Outcome: "committed", Committed: true, Restored: true,
		})
	})
	if err != nil {
		return nil, err
	}
	s := &Sandbox{world: world, log: o.Log}
	runner := &call.Runner{
		World: world, Journal: calls, Faults: fault.New(o.FaultSeed), Log: o.Log,
		Revoke: func(token string) error { return identity.Revoke(world, token) },
	}
	directory := adaxes.New(world)
	operator := &control.API{World: world, Journal: calls, Faults: runner.Faults, Approve: directory.Approve, Token: o.ControlToken}

	mux := http.NewServeMux()
	mux.Handle("/adaxes/", withoutBase("/adaxes/restApi", runner.Handler(directory)))
	mux.Handle("/exchange/", http.StripPrefix("/exchange", runner.Handler(exchangeonline.New(world))))
	mux.Handle("/entra/", http.StripPrefix("/entra", runner.Handler(identity.NewEntra(world))))
	mux.Handle("/hosted/", http.StripPrefix("/hosted", runner.Handler(hostedexchange.New(world, o.Digits))))
	mux.Handle("/enpower/", http.StripPrefix("/enpower", runner.Handler(enpower.New(world))))
	mux.Handle("/enpower-identity/", http.StripPrefix("/enpower-identity", runner.Handler(identity.NewAvePoint(world))))
	mux.Handle("/control/", operator.Handler())
	alive := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }
	mux.HandleFunc("GET /livez", alive)
	mux.HandleFunc("GET /readyz", alive)
	s.handler = mux
	s.ldap = func(l LDAP) *ldap.Server {
		return &ldap.Server{World: world, Journal: calls, Faults: runner.Faults, Log: o.Log, TLS: l.TLS, Encrypted: l.Encrypted}
	}
	return s, nil
}

// LDAP is how the directories are shown over LDAP.
type LDAP struct {
	Address string
	// TLS is for StartTLS, or for TLS from the first byte if Encrypted; nil: none.
	TLS       *tls.Config
	Encrypted bool
}

// StartLDAP shows the directories over LDAP as well, and gives the URL. End it with the function
// returned.
func (s *Sandbox) StartLDAP(o LDAP) (url string, stop func(), err error) {
	server, scheme := s.ldap(o), "ldap://"
	if o.Encrypted {
		scheme = "ldaps://"
	}
	address, err := server.Start(o.Address)
	return scheme + address, server.Stop, err
}

// Handler serves all APIs.
func (s *Sandbox) Handler() http.Handler { return s.handler }

// ScanEvery lets EnPower scan at an interval until the context ends; 0 never scans.
func (s *Sandbox) ScanEvery(ctx context.Context, interval time.Duration) {
	if interval <= 0 {
		return
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if _, err := s.world.Scan(); err != nil {
				s.log.Error("scan", "error", err)
			}
		}
	}
}

// Close closes the state file. The handler must not be in use any more.
func (s *Sandbox) Close() error { return s.world.Close() }

// withoutBase strips a base path in any case, as IIS does.
func withoutBase(base string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.URL.Path) < len(base) || !strings.EqualFold(r.URL.Path[:len(base)], base) {
			http.NotFound(w, r)
			return
		}
		http.StripPrefix(r.URL.Path[:len(base)], next).ServeHTTP(w, r)
	})
}

func randomDigits(n int) string {
	digits := make([]byte, n)
	for i := range digits {
		digits[i] = byte('0' + rand.IntN(10))
	}
	return string(digits)
}
