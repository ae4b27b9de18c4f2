package operation

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/secret"
)

// secrets are the secret texts of one command. They are the last line of defence: if a vendor's
// text quotes one of them, it is replaced before the text leaves the process in an event or in the
// log.
type secrets []string

// minSecret is the length of the shortest secret that is looked for: shorter ones are too likely to
// be a part of another word.
const minSecret = 6

func secretsOf(d event.Document) secrets { return longSecrets(d.Secrets()) }

func longSecrets(texts []string) (list secrets) {
	for _, s := range texts {
		if len(s) >= minSecret {
			list = append(list, s)
		}
	}
	return list
}

// text replaces the secrets in a text.
func (list secrets) text(s string) string {
	for _, hidden := range list {
		s = strings.ReplaceAll(s, hidden, secret.Redacted)
	}
	return s
}

// scrub returns data that marshals to the same JSON without the secrets.
func (list secrets) scrub(data any) any {
	if len(list) == 0 {
		return data
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return data // marshalling it again will say so
	}
	found := false
	for _, hidden := range list {
		quoted, _ := json.Marshal(hidden)
		found = found || bytes.Contains(raw, bytes.Trim(quoted, `"`))
	}
	var v any
	if !found || json.Unmarshal(raw, &v) != nil {
		return data
	}
	return list.walk(v)
}

func (list secrets) walk(v any) any {
	switch v := v.(type) {
	case string:
		return list.text(v)
	case []any:
		for i := range v {
			v[i] = list.walk(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = list.walk(v[name])
		}
	}
	return v
}
