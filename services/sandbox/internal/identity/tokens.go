// Package identity issues and checks access tokens: Microsoft Entra's, AvePoint's and Adaxes'.
// A token is random text; the state keeps its hash, so that a token outlives a restart.
package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/state"
)

// prefix begins every issued token, so that one is recognised where it should not be.
const prefix = "sbxtok_"

// Issue makes a token for the grant, good for life by the sandbox's clock.
func Issue(w *state.World, grant state.Token, life time.Duration) (string, time.Time, error) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	text := prefix + base64.RawURLEncoding.EncodeToString(b[:])
	grant.Hash = Hash(text)
	grant.Expires = w.Now().Add(life)
	err := w.Update(state.Origin{}, func(tx *state.Tx) error {
		tx.PutToken(&grant)
		return nil
	})
	return text, grant.Expires, err
}

// Check finds the unexpired grant of a token for an audience; nil where there is none.
func Check(w *state.World, text, audience string) *state.Token {
	var grant *state.Token
	w.View(func(tx *state.Tx) {
		t := tx.Token(Hash(text))
		if t != nil && t.Audience == audience && tx.Now().Before(t.Expires) {
			grant = t
		}
	})
	return grant
}

// Revoke forgets a token, and those that came from it. A text that is no token changes nothing.
func Revoke(w *state.World, text string) error {
	return w.Update(state.Origin{}, func(tx *state.Tx) error {
		if tx.Token(Hash(text)) != nil {
			tx.DeleteToken(Hash(text))
		}
		return nil
	})
}

// Hash is the form in which a token is kept.
func Hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
