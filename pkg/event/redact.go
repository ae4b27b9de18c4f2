package event

import (
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
			if isSecret(name, property) {
				v[name] = secret.Redacted
			} else {
				v[name] = redact(member)
			}
		}
	}
	return v
}

// Secrets lists the secret texts in JSON data: what Redact would replace.
func Secrets(data []byte) []string { return read(data).Secrets() }

func collect(v any, hidden bool, found []string) []string {
	switch v := v.(type) {
	case string:
		if hidden && v != "" {
			found = append(found, v)
		}
	case []any:
		for _, item := range v {
			found = collect(item, hidden, found)
		}
	case map[string]any:
		property := secretProperty(v)
		for name, member := range v {
			found = collect(member, hidden || isSecret(name, property), found)
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

// isSecret reports whether a member is one, of an object that is a secret property or not.
func isSecret(name string, property bool) bool {
	return secretName(name) || (property && strings.EqualFold(name, "values"))
}

func secretName(name string) bool {
	n := strings.ToLower(name)
	// data_base64 is a structured event's data in disguise.
	return strings.Contains(n, "password") || strings.Contains(n, "pwd") || n == "data_base64"
}
