package event

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/mailwright/mailwright/pkg/secret"
)

// Redact returns JSON data with every secret in it replaced, for logs, dead letters and people.
// Secret is what the schemas mark writeOnly: a member whose name contains "password" or "pwd",
// and the values of a directory property with such a name. Data that is no JSON becomes nil:
// nobody can tell what is in it. The result has its members in alphabetical order.
func Redact(data []byte) []byte {
	var v any
	if len(data) == 0 || json.Unmarshal(data, &v) != nil {
		return nil
	}
	out, err := json.Marshal(redact(v))
	if err != nil {
		return nil
	}
	return out
}

func redact(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = redact(v[i])
		}
	case map[string]any:
		property := secretProperty(v)
		for name, member := range v {
			if secretName(name) || (property && strings.EqualFold(name, "values")) {
				v[name] = secret.Redacted
			} else {
				v[name] = redact(member)
			}
		}
	}
	return v
}

// Secrets lists the secret texts in JSON data: what Redact would replace.
func Secrets(data []byte) []string {
	var v any
	if json.Unmarshal(data, &v) != nil {
		return nil
	}
	return collect(v, false, nil)
}

func collect(v any, isSecret bool, found []string) []string {
	switch v := v.(type) {
	case string:
		if isSecret && v != "" {
			found = append(found, v)
		}
	case []any:
		for _, item := range v {
			found = collect(item, isSecret, found)
		}
	case map[string]any:
		property := secretProperty(v)
		for name, member := range v {
			found = collect(member, isSecret || secretName(name) || (property && strings.EqualFold(name, "values")), found)
		}
	}
	return found
}

// secretProperty recognises {"propertyName": "unicodePwd", "values": […]} and {"name": …}.
func secretProperty(m map[string]any) bool {
	for name, v := range m {
		text, _ := v.(string)
		if (strings.EqualFold(name, "propertyName") || strings.EqualFold(name, "name")) && secretName(text) {
			return true
		}
	}
	return false
}

func secretName(name string) bool {
	n := strings.ToLower(name)
	// data_base64 is a structured event's data in disguise.
	return strings.Contains(n, "password") || strings.Contains(n, "pwd") || n == "data_base64"
}

// Fingerprint tells two commands with the same source and id apart: SHA-256, in hex, of the
// type and the redacted data. Secrets are left out, since a hash of a password could be
// guessed from; commands that differ only there count as the same.
func Fingerprint(e Event) string {
	h := sha256.New()
	h.Write([]byte(e.Type() + "\n"))
	h.Write(Redact(e.Data()))
	return hex.EncodeToString(h.Sum(nil))
}
