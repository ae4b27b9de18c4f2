package stack

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/mailwright/mailwright/pkg/testkit/certs"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
)

// RenewCertificates makes sure that each part has a good certificate in a folder of its own, as
// 'mailwright certs' would. With newCA they are of a new authority; the one before stays trusted.
// The parts read the files again by themselves, Postgres when it is told here.
func (s *Stack) RenewCertificates(newCA bool) error {
	authority, err := certs.Open(s.certsDir(), certs.Options{Replace: newCA})
	if err != nil {
		return err
	}
	for _, part := range slices.Concat([]string{NATS, Postgres, Sandbox, Console}, s.opts.Services) {
		if _, err := authority.Issue(filepath.Join(s.certsDir(), part), part, "127.0.0.1", "localhost"); err != nil {
			return fmt.Errorf("the certificate of %s: %w", part, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.postgres == nil {
		return nil
	}
	return s.postgres.RenewTLS()
}

func (s *Stack) certsDir() string { return filepath.Join(s.opts.Dir, "certs") }

// certificate gives the files of a part's certificate and its key.
func (s *Stack) certificate(part string) (cert, key string) {
	dir := filepath.Join(s.certsDir(), part)
	return filepath.Join(dir, certs.CertFile), filepath.Join(dir, certs.KeyFile)
}

// certArgs are the arguments by which a program shows its certificate; none without [Options.TLS].
func (s *Stack) certArgs(part, certFlag, keyFlag string) []string {
	if !s.opts.TLS {
		return nil
	}
	cert, key := s.certificate(part)
	return []string{certFlag, cert, keyFlag, key}
}

func (s *Stack) postgresTLS() *embedded.PostgresTLS {
	if !s.opts.TLS {
		return nil
	}
	cert, key := s.certificate(Postgres)
	return &embedded.PostgresTLS{Cert: cert, Key: key, CA: s.Endpoints.CA}
}

// scheme is http, or https with [Options.TLS].
func (s *Stack) scheme() string {
	if s.opts.TLS {
		return "https"
	}
	return "http"
}

// HTTPClient is a client that trusts the authorities of a file; "": those of the system. Make one
// for each call where the file may change.
func HTTPClient(ca string) (*http.Client, error) {
	if ca == "" {
		return http.DefaultClient, nil
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", ca)
	}
	// Its connections would stay when it is dropped.
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}}}, nil
}
