package bench

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/testkit/certs"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/internal/benchmark"
)

// minSecured is the share of their speed that commands keep with TLS and permissions.
const minSecured = 0.9

// security is what secured systems share: a certificate for all, the users of NATS, and a Postgres
// that speaks TLS alone. Nothing of a nil one asks for anything.
type security struct {
	dir      string
	bin      string
	postgres *embedded.Postgres
}

func newSecurity(b *testing.B, h *host) *security {
	b.Helper()
	x := &security{dir: filepath.Join(h.dir, "security"), bin: h.bin}
	authority, err := certs.Open(x.dir, certs.Options{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := authority.Issue(x.dir, "bench", "127.0.0.1"); err != nil {
		b.Fatal(err)
	}
	users, err := exec.CommandContext(b.Context(), filepath.Join(h.bin, "mailwright"), stack.PermissionsArgs(x.file("seeds"))...).Output()
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(x.file("users.conf"), users, 0o600); err != nil {
		b.Fatal(err)
	}
	config := postgresConfig(x.file("postgres"))
	config.TLS = &embedded.PostgresTLS{Cert: x.file(certs.CertFile), Key: x.file(certs.KeyFile), CA: x.ca()}
	if x.postgres, err = embedded.StartPostgres(b.Context(), config); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := x.postgres.Stop(); err != nil {
			b.Error(err)
		}
	})
	return x
}

func (x *security) file(name string) string { return filepath.Join(x.dir, name) }

// ca is the file of the authority.
func (x *security) ca() string {
	if x == nil {
		return ""
	}
	return x.file(certs.CAFile)
}

func (x *security) scheme() string {
	if x == nil {
		return "http"
	}
	return "https"
}

// connect are the options of the benchmark's own connection to NATS. It has no user, and may do
// everything.
func (x *security) connect() []nats.Option {
	if x == nil {
		return nil
	}
	return []nats.Option{nats.RootCAs(x.ca())}
}

func (x *security) serverArgs() []string {
	if x == nil {
		return nil
	}
	return []string{"--users", x.file("users.conf"), "--cert", x.file(certs.CertFile), "--key", x.file(certs.KeyFile)}
}

func (x *security) httpArgs() []string {
	if x == nil {
		return nil
	}
	return []string{"--http-cert", x.file(certs.CertFile), "--http-key", x.file(certs.KeyFile)}
}

// env is the environment in which a program connects to NATS as its user.
func (x *security) env(user string) []string {
	if x == nil {
		return nil
	}
	return []string{"MAILWRIGHT_NATS_CA=" + x.ca(), "MAILWRIGHT_NATS_NKEY=" + filepath.Join(x.file("seeds"), user+".nk")}
}

// applyStreams makes streams and consumers, which the programs may not.
func (x *security) applyStreams(y *system, natsURL string) error {
	if x == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(y.Context(), startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(x.bin, "mailwright"), "streams", "apply")
	cmd.Env = slices.Concat(os.Environ(), []string{"MAILWRIGHT_NATS_URL=" + natsURL}, x.env("streams"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("streams apply: %w: %s", err, out)
	}
	return nil
}

// secured holds what commands cost with TLS and permissions against what they cost without, by
// turns. The vendor's API is the same in both: plain HTTP.
func (h *host) secured(b *testing.B, r *report) {
	h.security = newSecurity(b, h)
	for _, s := range []scenario{
		{tenants: 1, commands: 3000},
		{latency: 20 * time.Millisecond, tenants: 20, commands: 3000},
	} {
		if full() {
			s.commands = fullCommands
		}
		s.variants = []variant{ours, secured}
		results := h.byTurns(b, s)
		rates := [2]float64{}
		for i, v := range s.variants {
			rates[i] = median(pick(results[i], func(r round) float64 { return r.rate }))
			name := fmt.Sprintf("end to end, %s: %s", s.name(), v.name)
			r.add(benchmark.Row{Name: name + ", beside the other", Value: rates[i], Unit: "commands/s", CPU: median(pick(results[i], round.cpuOfAll))})
			for _, part := range slices.Sorted(maps.Keys(results[i][0].cpu)) {
				r.add(benchmark.Row{Name: name + ", CPU of " + part, Value: median(pick(results[i], func(r round) float64 { return r.cpu[part] })), Unit: "us a command"})
			}
		}
		r.atLeast(minSecured, benchmark.Row{Name: fmt.Sprintf("end to end, %s: with TLS and permissions", s.name()), Value: rates[1] / rates[0], Unit: "of without"})
	}
}
