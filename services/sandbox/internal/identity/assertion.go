package identity

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/seed"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// maxAssertionLife bounds how far ahead an assertion may expire; the vendor's sample uses one hour.
const maxAssertionLife = 24 * time.Hour

// verifyAssertion checks a client's JWT (register-app page, "Certificate"): RS256, issuer and
// subject are the client, the audience is the token URL, unexpired, its jti unused.
func verifyAssertion(jwt string, clients []seed.Client, audience string, now time.Time, spent *spentAssertions) (*seed.Client, error) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return nil, errors.New("it is not a JWT")
	}
	var header struct {
		Alg string `json:"alg"`
	}
	var claims struct {
		Iss string `json:"iss"`
		Sub string `json:"sub"`
		Aud string `json:"aud"`
		Jti string `json:"jti"`
		Nbf int64  `json:"nbf"`
		Exp int64  `json:"exp"`
	}
	if decodePart(parts[0], &header) != nil || decodePart(parts[1], &claims) != nil {
		return nil, errors.New("it is not a JWT")
	}
	if header.Alg != "RS256" {
		return nil, errors.New("alg must be RS256")
	}
	var client *seed.Client
	for i := range clients {
		if clients[i].ID == claims.Iss && clients[i].PublicKey != "" {
			client = &clients[i]
		}
	}
	expires := time.Unix(claims.Exp, 0)
	switch {
	case client == nil:
		return nil, errors.New("the issuer is not known")
	case claims.Sub != claims.Iss:
		return nil, errors.New("sub must equal iss")
	case claims.Aud != audience:
		return nil, errors.New("aud must be the token URL")
	case claims.Nbf > now.Add(5*time.Minute).Unix():
		return nil, errors.New("nbf lies in the future")
	case !expires.After(now), expires.After(now.Add(maxAssertionLife)):
		return nil, errors.New("it has expired or lives too long")
	case claims.Jti == "":
		return nil, errors.New("jti is missing")
	}
	key, err := publicKey(client.PublicKey)
	if err != nil {
		return nil, err
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, errors.New("the signature is not base64url")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) != nil {
		return nil, errors.New("the signature does not match")
	}
	if !spent.spend(client.ID+" "+claims.Jti, expires, now) {
		return nil, errors.New("jti was used before")
	}
	return client, nil
}

func decodePart(part string, into any) error {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func publicKey(text string) (*rsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the client's public key is not PEM")
	}
	var parsed any
	var err error
	if block.Type == "CERTIFICATE" {
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			parsed = certificate.PublicKey
		}
	} else {
		parsed, err = x509.ParsePKIXPublicKey(block.Bytes)
	}
	key, ok := parsed.(*rsa.PublicKey)
	if err != nil || !ok {
		return nil, errors.New("the client's public key is not RSA")
	}
	return key, nil
}
