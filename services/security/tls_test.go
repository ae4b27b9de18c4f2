package security

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/mailwright/mailwright/pkg/testkit/certs"
	"github.com/mailwright/mailwright/services/internal/permissions"
)

func TestAServerAndAClientProveWhoTheyAre(t *testing.T) {
	t.Parallel()
	authority, foreign := newAuthority(t), newAuthority(t)
	serverCert, serverKey := authority.issue("nats")
	clientCert, clientKey := authority.issue("streams")
	foreignCert, foreignKey := foreign.issue("streams")
	users, seeds := written(t)
	s := start(t, seeds, users, fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }\n", serverCert, serverKey, authority.file))
	for _, c := range []struct {
		name string
		code int
		args []string
	}{
		{"everything as it must be", 4, []string{"--nats-ca", authority.file, "--nats-cert", clientCert, "--nats-key", clientKey}},
		{"the server is of an authority that the client does not know", 1, []string{"--nats-ca", foreign.file, "--nats-cert", clientCert, "--nats-key", clientKey}},
		{"the client is of an authority that the server does not know", 1, []string{"--nats-ca", authority.file, "--nats-cert", foreignCert, "--nats-key", foreignKey}},
		{"the client has no certificate", 1, []string{"--nats-ca", authority.file}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			mailwright(t, c.code, s.env(permissions.Streams), append([]string{"streams", "plan"}, c.args...)...)
		})
	}
}

// authority issues certificates for 127.0.0.1.
type authority struct {
	*testing.T
	dir    string
	file   string
	issuer *certs.Authority
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	dir := t.TempDir()
	made, err := certs.Open(dir, certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &authority{T: t, dir: dir, file: filepath.Join(dir, certs.CAFile), issuer: made}
}

// issue gives the files of a certificate and its key.
func (a *authority) issue(name string) (certFile, keyFile string) {
	a.Helper()
	dir := filepath.Join(a.dir, name)
	if _, err := a.issuer.Issue(dir, name, "127.0.0.1"); err != nil {
		a.Fatal(err)
	}
	return filepath.Join(dir, certs.CertFile), filepath.Join(dir, certs.KeyFile)
}
