// Package certs is a certificate authority of its own, and issues certificates for servers and
// clients: for `mailwright certs`, which compose uses, and for tests.
//
// Each certificate has a folder with three files, named as Kubernetes and cert-manager name them:
// ca.crt, tls.crt and tls.key.
package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Names of files.
const (
	// CAFile holds the authority's certificates: the newest first, and earlier ones for as long as
	// certificates that they have signed may be in use.
	CAFile   = "ca.crt"
	CertFile = "tls.crt"
	KeyFile  = "tls.key"
	caKey    = "ca.key"
)

const (
	authorityLife   = 5 * 365 * 24 * time.Hour
	certificateLife = 90 * 24 * time.Hour
	// clockSkew is by how much the clocks of machines may differ.
	clockSkew = 5 * time.Minute
)

// Authority signs certificates.
type Authority struct {
	key         crypto.Signer
	certificate *x509.Certificate // the newest
	bundle      []*x509.Certificate
	now         time.Time
	mode        fs.FileMode
}

// Options say how an authority is opened. The zero value of each takes the default.
type Options struct {
	// Now is the present time.
	Now time.Time
	// Replace makes a new authority beside the one that is there, which stays in [CAFile] until it
	// expires.
	Replace bool
	// Shared makes the key files of certificates readable for every user, for folders that only
	// their program reaches. The authority's own key is never shared.
	Shared bool
}

// Open reads the authority of a folder, or makes one. One that would expire before a certificate of
// today is replaced.
func Open(dir string, o Options) (*Authority, error) {
	a := &Authority{now: o.Now, mode: Mode(o.Shared)}
	if a.now.IsZero() {
		a.now = time.Now()
	}
	err := a.read(dir)
	switch {
	case err == nil && !o.Replace && a.certificate.NotAfter.After(a.now.Add(certificateLife)):
		return a, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return a, a.create(dir)
}

func (a *Authority) read(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, CAFile))
	if err != nil {
		return err
	}
	if a.bundle, err = parse(text); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(dir, CAFile), err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, CAFile), filepath.Join(dir, caKey))
	if err != nil {
		return err
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return fmt.Errorf("%s: the key cannot sign", filepath.Join(dir, caKey))
	}
	a.key, a.certificate = key, a.bundle[0]
	return nil
}

// create makes a new authority, and keeps the certificates of earlier ones that have not expired.
func (a *Authority) create(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := a.template("Mailwright "+a.now.UTC().Format("2006-01-02 15:04:05"), authorityLife)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		return err
	}
	a.bundle = slices.DeleteFunc(a.bundle, func(c *x509.Certificate) bool { return c.NotAfter.Before(a.now) })
	a.key, a.certificate, a.bundle = key, certificate, slices.Insert(a.bundle, 0, certificate)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// The key last: without it, the next call makes an authority again.
	return errors.Join(Replace(filepath.Join(dir, CAFile), a.authorities(), 0o644), writeKey(filepath.Join(dir, caKey), key, 0o600))
}

// Issue makes sure that a folder has a certificate with its key for these hosts, names or IP
// addresses, and the authority's certificates. A certificate that has less than a third of its life
// left, is of an earlier authority or of other hosts, is replaced: renewed.
func (a *Authority) Issue(dir, name string, hosts ...string) (renewed bool, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, err
	}
	// The authorities first: whoever reads the folder knows them before a certificate of theirs.
	if err := Replace(filepath.Join(dir, CAFile), a.authorities(), 0o644); err != nil {
		return false, err
	}
	template := a.template(name, certificateLife)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if a.isGood(dir, template) {
		return false, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return false, err
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return false, err
	}
	// Between the two writes they do not fit together; programs then keep what they had.
	return true, errors.Join(writeKey(filepath.Join(dir, KeyFile), key, a.mode),
		Replace(filepath.Join(dir, CertFile), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o644))
}

// isGood reports whether a folder's certificate can stay.
func (a *Authority) isGood(dir string, want *x509.Certificate) bool {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile))
	if err != nil {
		return false
	}
	have := pair.Leaf
	same := slices.Equal(have.DNSNames, want.DNSNames) && slices.EqualFunc(have.IPAddresses, want.IPAddresses, net.IP.Equal)
	return same && have.CheckSignatureFrom(a.certificate) == nil && have.NotAfter.Sub(a.now) > certificateLife/3
}

func (a *Authority) template(name string, life time.Duration) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, NotBefore: a.now.Add(-clockSkew), NotAfter: a.now.Add(life),
	}
}

// serial is a random number, as RFC 5280 asks of an authority (section 4.1.2.2).
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

func (a *Authority) authorities() []byte {
	var text []byte
	for _, c := range a.bundle {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}

func parse(text []byte) (list []*x509.Certificate, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New("holds no certificate")
	}
	return list, nil
}

func writeKey(path string, key crypto.Signer, mode fs.FileMode) error {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return Replace(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), mode)
}

// Mode is the permissions of a key's file: for its owner alone, or shared as [Options] say.
func Mode(shared bool) fs.FileMode {
	if shared {
		return 0o644
	}
	return 0o600
}

// Replace writes a file as a whole, so that nobody reads a part of it. A file that is as it should
// be is left alone.
func Replace(path string, text []byte, mode fs.FileMode) error {
	if info, err := os.Stat(path); err == nil && info.Mode().Perm() == mode {
		if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, text) {
			return nil
		}
	}
	partial := path + ".partial"
	if err := os.Remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(partial, text, mode); err != nil {
		return err
	}
	return errors.Join(os.Chmod(partial, mode), os.Rename(partial, path))
}

// ServerConfig is the TLS of a server that reads its certificate anew at each handshake.
func ServerConfig(certFile, keyFile string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(certFile, keyFile)
			return &pair, err
		},
	}
}
