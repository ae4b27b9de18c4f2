// Package sandboxtest runs the sandbox, as the program that it is, for a test.
package sandboxtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/internal/sandboxapi"
	"github.com/mailwright/mailwright/services/internal/testprograms"
)

// Sandbox is a running sandbox.
type Sandbox struct {
	sandboxapi.Client
	// LDAP and LDAPS are the URLs of its directories; Certificate, in PEM, is what both are
	// encrypted with.
	LDAP, LDAPS string
	Certificate []byte
	// PID is the process's id.
	PID int
}

// built is where the sandbox's program is, once a test process.
var built = sync.OnceValue(func() (b build) {
	b.dir, b.remove, b.err = testprograms.Dir("sandbox")
	return b
})

type build struct {
	dir    string
	remove func()
	err    error
}

// Clean removes what was built. Call it in TestMain, after the tests.
func Clean() {
	if b := built(); b.err == nil {
		b.remove()
	}
}

// Start runs a sandbox with the default seed until the test ends. EnPower scans on demand only.
func Start(t testing.TB) *Sandbox {
	t.Helper()
	program := built()
	if program.err != nil {
		t.Fatal(program.err)
	}
	dir := t.TempDir()
	urlFile, ldapFile, pair := filepath.Join(dir, "url"), filepath.Join(dir, "ldap"), filepath.Join(dir, "certificate.pem")
	certificate, key := selfSigned(t)
	if err := os.WriteFile(pair, append(key, certificate...), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(program.dir, "sandbox"),
		"--url-file", urlFile,
		"--ldap-listen", "127.0.0.1:0", "--ldaps-listen", "127.0.0.1:0", "--ldap-certificate", pair, "--ldap-url-file", ldapFile,
		"--scan-interval", "0", "--log-level", "error")
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	url := await(ctx, t, ended, urlFile)
	plain, encrypted, _ := strings.Cut(await(ctx, t, ended, ldapFile), "\n")
	return &Sandbox{Client: sandboxapi.Client{URL: url}, LDAP: plain, LDAPS: encrypted, Certificate: certificate, PID: cmd.Process.Pid}
}

// selfSigned makes a certificate for this machine and its key, in PEM.
func selfSigned(t testing.TB) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sandbox"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// await reads a file that the sandbox writes once it listens.
func await(ctx context.Context, t testing.TB, ended <-chan struct{}, path string) string {
	t.Helper()
	for {
		if raw, err := os.ReadFile(path); err == nil {
			return strings.TrimSpace(string(raw))
		}
		select {
		case <-ended:
			t.Fatal("the sandbox ended")
		case <-ctx.Done():
			t.Fatal("the sandbox does not start")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
