package conformance

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/failure"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/pkg/vendors/enpower"
	"github.com/mailwright/mailwright/pkg/vendors/exchangeonline"
	"github.com/mailwright/mailwright/pkg/vendors/oauth"
)

// certified registers a fresh certificate with an application of the seed, and gives it.
func (b *bed) certified(clientID string) *oauth.Certificate {
	b.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mailwright"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		b.Fatal(err)
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
	private := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	seed, err := os.ReadFile("../sandbox/internal/seed/default.yaml")
	if err != nil {
		b.Fatal(err)
	}
	text := strings.Replace(string(seed), "clientId: "+clientID+",", "clientId: "+clientID+`, publicKey: "`+strings.ReplaceAll(public, "\n", `\n`)+`",`, 1)
	b.control(http.MethodPost, "seed", []byte(text), nil)
	c, err := oauth.ParseCertificate(secret.New(public + private))
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// certificateFacts are about proving an application by a signed assertion.
func certificateFacts(source string, read func(b *bed, certificate *oauth.Certificate) error, clientID string) []fact {
	return []fact{
		{
			name: "an application proves itself by a certificate", source: source,
			client: func(b *bed) error { return read(b, b.certified(clientID)) },
		},
		{
			name: "another certificate is refused", source: source,
			client: func(b *bed) error {
				foreign := b.certified(clientID)
				b.certified(clientID) // takes the first one's place
				return wants(read(b, foreign), failure.Unavailable)
			},
		},
	}
}

func exchangeByCertificate(b *bed, certificate *oauth.Certificate) error {
	_, err := b.exchange(func(c *exchangeonline.Config) { c.ClientSecret, c.Certificate = secret.String{}, certificate }).AcceptedDomains(b.Context())
	return err
}

func powerByCertificate(b *bed, certificate *oauth.Certificate) error {
	_, err := b.walk(b.power(func(c *enpower.Config) { c.ClientSecret, c.Certificate = secret.String{}, certificate }), enpower.Query{}, nil)
	return err
}
