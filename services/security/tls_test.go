package security

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

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
	file        string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := certificate("authority")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{T: t, certificate: parsed, key: key}
	a.file = a.write("CERTIFICATE", raw)
	return a
}

// issue gives the files of a certificate and its key.
func (a *authority) issue(name string) (certFile, keyFile string) {
	a.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.Fatal(err)
	}
	template := certificate(name)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		a.Fatal(err)
	}
	rawKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.Fatal(err)
	}
	return a.write("CERTIFICATE", raw), a.write("PRIVATE KEY", rawKey)
}

func certificate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func (a *authority) write(kind string, raw []byte) string {
	a.Helper()
	file := filepath.Join(a.TempDir(), "file.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600); err != nil {
		a.Fatal(err)
	}
	return file
}
