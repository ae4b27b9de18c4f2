package sandbox_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/sandbox"
)

func TestClientAssertion(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	b := open(t, sandbox.Options{Seed: fmt.Appendf(nil, "enpower:\n  clients:\n    - {clientId: certified, publicKey: %q, roles: [enpower.data.read.all]}\n", public)})
	const path = "/enpower-identity/connect/token"
	jwt := func(change map[string]any) string {
		claims := map[string]any{
			"iss": "certified", "sub": "certified", "aud": b.server.URL + path, "jti": "1",
			"nbf": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		}
		for name, value := range change {
			claims[name] = value
		}
		text, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(text)
		sum := sha256.Sum256([]byte(signed))
		signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	ask := func(assertion string) int {
		form := url.Values{"grant_type": {"client_credentials"}, "scope": {"enpower.data.read.all"}, "client_assertion": {assertion},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
		return b.send("POST", path, form.Encode(), "Content-Type", "application/x-www-form-urlencoded").status
	}
	good := jwt(nil)
	if got := ask(good); got != http.StatusOK {
		t.Errorf("a good assertion: %d", got)
	}
	if got := ask(good); got != http.StatusBadRequest {
		t.Errorf("the same again: %d", got)
	}
	for name, change := range map[string]map[string]any{
		"another audience": {"jti": "2", "aud": "https://identity.avepointonlineservices.com/connect/token"},
		"expired":          {"jti": "3", "exp": time.Now().Add(-time.Minute).Unix()},
		"another subject":  {"jti": "4", "sub": "other"},
	} {
		if got := ask(jwt(change)); got != http.StatusBadRequest {
			t.Errorf("%s: %d", name, got)
		}
	}
	if got := ask(strings.Replace(jwt(map[string]any{"jti": "5"}), ".", ".e", 1)); got != http.StatusBadRequest {
		t.Errorf("a tampered assertion: %d", got)
	}
}
