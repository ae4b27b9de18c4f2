package livefile

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
)

// Certificate is a certificate and its key, in PEM files that are read again when they change. The
// name is that of [Source]. The error names the files and quotes neither.
func Certificate(name, certFile, keyFile string, log *slog.Logger) (*File[*tls.Certificate], error) {
	return Open(Source[*tls.Certificate]{
		Name: name, Paths: []string{certFile, keyFile}, Log: log,
		Read: func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(certFile, keyFile)
			if err != nil {
				return nil, fmt.Errorf("%s and %s are no certificate and its key: %w", certFile, keyFile, err)
			}
			return &pair, nil
		},
		Attributes: func(c *tls.Certificate) []any { return []any{"expires", c.Leaf.NotAfter} },
	})
}

// Authorities are the certificates of authorities, in a PEM file that is read again when it
// changes. The name is that of [Source].
func Authorities(name, file string, log *slog.Logger) (*File[*x509.CertPool], error) {
	return Open(Source[*x509.CertPool]{
		Name: name, Paths: []string{file}, Log: log,
		Read: func() (*x509.CertPool, error) { return ReadAuthorities(file) },
	})
}

// ReadAuthorities reads the certificates of authorities from a PEM file. The error is that it
// cannot be read, or that it holds no certificate.
func ReadAuthorities(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return pool, nil
}

// ServerConfig is the TLS of a server that shows the certificate as its files hold it at each
// handshake.
func ServerConfig(certificate *File[*tls.Certificate]) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate.Value(), nil },
	}
}

// Transport is the HTTP of a client that checks servers against the authorities as their file holds
// them when it connects.
func Transport(authorities *File[*x509.CertPool]) *http.Transport {
	return &http.Transport{DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		d := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authorities.Value()}}
		return d.DialContext(ctx, network, address)
	}}
}

// OnlyItself is the TLS of a client that trusts no server but the one that shows this certificate.
// A program uses it to ask itself, by an address that its certificate need not name.
func OnlyItself(certificate *File[*tls.Certificate]) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection compares the whole certificate instead
		VerifyConnection: func(s tls.ConnectionState) error {
			if !bytes.Equal(s.PeerCertificates[0].Raw, certificate.Value().Leaf.Raw) {
				return errors.New("the server shows another certificate than this program's")
			}
			return nil
		},
	}
}
