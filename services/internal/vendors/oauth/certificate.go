package oauth

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // x5t of RFC 7515 is SHA-1 by definition; it names the certificate, it protects nothing
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
)

// assertionType is the client_assertion_type of RFC 7523 section 2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertionLife is the life of an assertion; AvePoint's sample has one hour.
const assertionLife = time.Hour

// Certificate is an RSA key and the certificate that is registered with the application.
type Certificate struct {
	// a function, so that printing a Certificate shows no key
	sign       func(sha256Digest []byte) ([]byte, error)
	thumbprint [sha1.Size]byte
}

// ParseCertificate reads a certificate and its unencrypted RSA private key from one PEM text.
// Its errors do not quote the text.
func ParseCertificate(pem secret.String) (*Certificate, error) {
	pair, err := tls.X509KeyPair([]byte(pem.Reveal()), []byte(pem.Reveal()))
	if err != nil {
		return nil, errors.New("oauth: the PEM text does not hold a certificate and the private key that belongs to it")
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("oauth: the certificate's key is not RSA, which RS256 needs")
	}
	sign := func(digest []byte) ([]byte, error) { return rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest) }
	// see the import
	return &Certificate{sign: sign, thumbprint: sha1.Sum(pair.Certificate[0])}, nil //nolint:gosec // see the import
}

// assertion is a JWT that proves the client to one token endpoint. Claims as AvePoint documents
// them (Authentication and Authorization, certificate sample) and Entra too; kid and x5t name the
// certificate in the form that .NET writes (inferred for AvePoint).
func (c *Certificate) assertion(clientID, tokenURL string, now time.Time) (string, error) {
	header := map[string]string{
		"alg": "RS256",
		"typ": "JWT",
		"kid": fmt.Sprintf("%X", c.thumbprint),
		"x5t": base64.RawURLEncoding.EncodeToString(c.thumbprint[:]),
	}
	claims := map[string]any{
		"iss": clientID,
		"sub": clientID,
		"aud": tokenURL,
		"jti": guid(),
		"nbf": now.Unix(),
		"exp": now.Add(assertionLife).Unix(),
	}
	var parts [3]string
	for i, v := range []any{header, claims} {
		b, err := json.Marshal(v)
		if err != nil {
			return "", err
		}
		parts[i] = base64.RawURLEncoding.EncodeToString(b)
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, err := c.sign(digest[:])
	if err != nil {
		return "", err
	}
	parts[2] = base64.RawURLEncoding.EncodeToString(signature)
	return strings.Join(parts[:], "."), nil
}

// guid is a random UUID (RFC 9562 version 4).
func guid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
