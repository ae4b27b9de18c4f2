package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
)

// carryOutExamples has the command line publish the vendors' own examples, and wait for their
// outcomes and rows.
func carryOutExamples(t *testing.T, at stack.Endpoints) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "mailwright"), "demo", "--running",
		"--nats-url="+at.NATS, "--nats-ca="+at.CA, "--database-url="+at.Postgres).CombinedOutput()
	if err != nil || !strings.Contains(string(out), " 0 failed") {
		t.Errorf("the examples: %v\n%s", err, out)
	}
}

// host is the host and port of a URL.
func host(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// TestEverythingOverTLS carries the examples out over TLS, and finds no other way in.
func TestEverythingOverTLS(t *testing.T) {
	t.Parallel()
	s := start(t, testkit.WithTLS())
	carryOutExamples(t, s.Endpoints)

	if state, err := s.NATS.TLSConnectionState(); err != nil || state.Version < tls.VersionTLS12 {
		t.Errorf("the connection to NATS: TLS version %x, %v", state.Version, err)
	}
	if info := greeting(t, host(t, s.Endpoints.NATS)); !strings.Contains(info, `"tls_required":true`) {
		t.Errorf("NATS takes connections without TLS: %s", info)
	}
	for name, base := range s.Endpoints.Services {
		if err := stack.Answers(t.Context(), strings.Replace(base, "https:", "http:", 1)+"/metrics", ""); err == nil {
			t.Errorf("%s answers by plain HTTP", name)
		}
	}
	if err := stack.Answers(t.Context(), strings.Replace(s.Endpoints.Sandbox, "https:", "http:", 1)+"/readyz", ""); err == nil {
		t.Error("the sandbox answers by plain HTTP")
	}
	plain := strings.Replace(s.Endpoints.Postgres, "sslmode=verify-full", "sslmode=disable", 1)
	if conn, err := pgx.Connect(t.Context(), plain); err == nil {
		_ = conn.Close(t.Context())
		t.Error("Postgres takes connections without TLS")
	}
	if left := unencrypted(t, s); left != 0 {
		t.Errorf("%d connections to Postgres are not encrypted", left)
	}
}

// greeting is what NATS says first.
func greeting(t *testing.T, address string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// unencrypted counts the connections of programs to Postgres that have no TLS.
func unencrypted(t *testing.T, s *env) (n int) {
	t.Helper()
	const query = `SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE NOT ssl AND client_addr IS NOT NULL`
	if err := s.db.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestCertificatesAreReplacedWhileServicesRun makes a new authority, and certificates of it for
// every part. The services go on without a restart, although each connection that they had breaks.
func TestCertificatesAreReplacedWhileServicesRun(t *testing.T) {
	t.Parallel()
	running := startTLS(t)
	nc, err := nats.Connect(running.Endpoints.NATS, nats.RootCAs(running.Endpoints.CA), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	read := func(id string) {
		t.Helper()
		awaitRead(t, nc, id)
	}
	read("before")
	if err := running.RenewCertificates(true); err != nil {
		t.Fatal(err)
	}
	read("while connections stay") // those that are open know nothing of it
	for _, part := range []string{stack.NATS, stack.Sandbox, stack.Postgres} {
		if err := running.Kill(part); err != nil {
			t.Fatal(err)
		}
		if err := running.Restart(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	carryOutExamples(t, running.Endpoints)

	newest := newestAuthority(t, running.Endpoints.CA)
	for name, base := range running.Endpoints.Services {
		conn, err := tls.Dial("tcp", host(t, base), &tls.Config{RootCAs: newest, MinVersion: tls.VersionTLS12})
		if err != nil {
			t.Errorf("%s does not show its new certificate: %v", name, err)
			continue
		}
		_ = conn.Close()
	}
	state, err := nc.TLSConnectionState()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: newest}); err != nil {
		t.Errorf("NATS does not show its new certificate: %v", err)
	}
}

// startTLS starts a stack with TLS and permissions. When the test ends, each service must have been
// started once.
func startTLS(t *testing.T) *stack.Stack {
	t.Helper()
	starting.Lock()
	defer starting.Unlock()
	dir, err := os.MkdirTemp("", "mailwright-tls-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // Postgres has a user of its own
		t.Fatal(err)
	}
	running, err := stack.Start(t.Context(), stack.Options{Dir: dir, Bin: bin, TLS: true, Permissions: true, Volatile: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Stop(); err != nil {
			t.Error(err)
		}
		for _, name := range stack.Services {
			log, err := os.ReadFile(filepath.Join(dir, "logs", name+".log"))
			if err != nil {
				t.Error(err)
			}
			if n := bytes.Count(log, []byte(`"msg":"started"`)); n != 1 {
				t.Errorf("%s was started %d times", name, n)
			}
		}
		if t.Failed() {
			t.Logf("the files are in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return running
}

// awaitRead has the delegates of a mailbox read.
func awaitRead(t *testing.T, nc *nats.Conn, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.PublishMsg(ctx, command{id, event.TypeDelegationRead, "alex", `{"mailbox":"alex@contoso.com"}`}.message()); err != nil {
		t.Fatal(err)
	}
	receipt := client.Receipt{Tenant: "contoso", Domain: event.DomainDelegation, OperationID: event.OperationID("contoso", source, id)}
	if outcome, err := client.Await(ctx, js, receipt); err != nil || outcome.State != event.StateSucceeded {
		t.Errorf("%s: %v, %v", id, outcome, err)
	}
}

// newestAuthority is the first of the authorities of a file, alone.
func newestAuthority(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(text)
	if block == nil || len(rest) == 0 {
		t.Fatalf("%s does not hold two authorities", file)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(block))
	return pool
}
