package oauth_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/vendors/oauth"
)

// selfSigned is a PEM text of a key and its certificate, and the certificate in DER.
func selfSigned(t *testing.T, key crypto.Signer) (secret.String, []byte) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	_ = pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: private})
	_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	return secret.New(text.String()), der
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestCertificateRequestIsTheDocumentedForm(t *testing.T) {
	t.Parallel()
	key := rsaKey(t)
	text, der := selfSigned(t, key)
	certificate, err := oauth.ParseCertificate(text)
	if err != nil {
		t.Fatal(err)
	}
	for name, assertionOnly := range map[string]bool{"AvePoint": true, "Entra": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var forms []url.Values
				cfg := config(handlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_ = r.ParseForm()
					forms = append(forms, r.PostForm)
					w.Header().Set("Content-Type", "application/json")
					_, _ = w.Write([]byte(`{"access_token":"T","expires_in":1}`))
				}))
				cfg.ClientSecret, cfg.Certificate, cfg.AssertionOnly = secret.String{}, certificate, assertionOnly
				s := source(t, cfg)
				token(t, s)
				s.Invalidate(secret.New("T"))
				token(t, s)

				jtis := map[string]bool{}
				for _, form := range forms {
					claims := verify(t, form.Get("client_assertion"), &key.PublicKey, der)
					jtis[fmt.Sprint(claims["jti"])] = true
					delete(claims, "jti")
					now := float64(time.Now().Unix())
					if d := cmp.Diff(map[string]any{"iss": "app", "sub": "app", "aud": cfg.TokenURL, "nbf": now, "exp": now + 3600}, claims); d != "" {
						t.Error(d)
					}
					form.Del("client_assertion")
					want := url.Values{
						"grant_type":            {"client_credentials"},
						"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
						"scope":                 {"enpower.data.read.all"},
					}
					if !assertionOnly {
						want.Set("client_id", "app")
					}
					if d := cmp.Diff(want, form); d != "" {
						t.Error(d)
					}
				}
				if len(jtis) != 2 {
					t.Errorf("jti values: %v, want a fresh one each time", jtis)
				}
			})
		})
	}
}

// verify checks header and signature of a JWT and returns its claims.
func verify(t *testing.T, jwt string, key *rsa.PublicKey, certificate []byte) map[string]any {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	var decoded [3][]byte
	for i, p := range parts {
		var err error
		if decoded[i], err = base64.RawURLEncoding.DecodeString(p); err != nil {
			t.Fatal(err)
		}
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], decoded[2]); err != nil {
		t.Fatal(err)
	}
	var header, claims map[string]any
	if err := json.Unmarshal(decoded[0], &header); err != nil {
		t.Fatal(err)
	}
	thumbprint := sha1.Sum(certificate)
	want := map[string]any{"alg": "RS256", "typ": "JWT", "kid": fmt.Sprintf("%X", thumbprint), "x5t": base64.RawURLEncoding.EncodeToString(thumbprint[:])}
	if d := cmp.Diff(want, header); d != "" {
		t.Error(d)
	}
	if err := json.Unmarshal(decoded[1], &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestParseCertificateRefuses(t *testing.T) {
	t.Parallel()
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	otherKind, _ := selfSigned(t, elliptical)
	whole, _ := selfSigned(t, rsaKey(t))
	keyOnly, _, _ := strings.Cut(whole.Reveal(), "-----BEGIN CERTIFICATE")
	for name, text := range map[string]secret.String{
		"nothing":       {},
		"no PEM":        secret.New("hush"),
		"key only":      secret.New(keyOnly),
		"another kind":  otherKind,
		"cut in middle": secret.New(whole.Reveal()[:400]),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := oauth.ParseCertificate(text)
			if err == nil || c != nil || strings.Contains(err.Error(), "hush") {
				t.Fatalf("%v, %v", c, err)
			}
		})
	}
}

func TestCertificateIsNotPrinted(t *testing.T) {
	t.Parallel()
	key := rsaKey(t)
	text, _ := selfSigned(t, key)
	c, err := oauth.ParseCertificate(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		if got := fmt.Sprintf(verb, c); strings.Contains(got, key.D.String()) || strings.Contains(got, key.D.Text(16)) {
			t.Errorf("%s: %s", verb, got)
		}
	}
}
