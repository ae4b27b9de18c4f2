package conformance

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/enpower"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
	"github.com/mailwright/mailwright/services/internal/vendors/oauth"
)

// certified registers a fresh certificate with an application of the seed, and gives it.
func (b *env) certified(clientID string) *oauth.Certificate {
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
	b.reseed("clientId: "+clientID+",", "clientId: "+clientID+`, publicKey: "`+strings.ReplaceAll(public, "\n", `\n`)+`",`)
	c, err := oauth.ParseCertificate(secret.New(public + private))
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// certificateFacts are about proving an application by a signed assertion, at a token endpoint of
// that path.
func certificateFacts(source string, read func(b *env, certificate *oauth.Certificate) error, clientID, path string) []fact {
	return []fact{
		{
			name: "an application proves itself by a certificate", source: source,
			client: func(b *env) error { return read(b, b.certified(clientID)) },
		},
		{
			name: "another certificate is refused", source: source,
			client: func(b *env) error {
				foreign := b.certified(clientID)
				b.certified(clientID) // takes the first one's place
				return wants(read(b, foreign), failure.Unavailable)
			},
			vendor: func(b *env) error {
				form := url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {"e30.e30.e30"}, "scope": {"x"}}
				a, err := b.send(http.MethodPost, path, form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
				return all(err, that(a.status == http.StatusBadRequest || a.status == http.StatusUnauthorized, "status %d", a.status), that(strings.Contains(a.body, `"invalid_client"`), "%s", a.body))
			},
		},
	}
}

func exchangeByCertificate(b *env, certificate *oauth.Certificate) error {
	_, err := b.exchange(func(c *exchangeonline.Config) { c.ClientSecret, c.Certificate = secret.String{}, certificate }).AcceptedDomains(b.Context())
	return err
}

func powerByCertificate(b *env, certificate *oauth.Certificate) error {
	_, err := b.walk(b.power(func(c *enpower.Config) { c.ClientSecret, c.Certificate = secret.String{}, certificate }), enpower.Query{}, nil)
	return err
}
