package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mailwright/mailwright/pkg/secret"
)

// Document is an event with its data, read once for all that is asked of it.
type Document struct {
	Event Event
	data  any
	err   error // the data is no JSON
}

// Read reads an event's data.
func Read(e Event) Document {
	d := read(e.Data())
	d.Event = e
	return d
}

func read(data []byte) (d Document) {
	d.data, d.err = jsonschema.UnmarshalJSON(bytes.NewReader(data))
	return d
}

// Secrets lists the secret texts in the data: what [Redact] would replace.
func (d Document) Secrets() []string { return collect(d.data, false, nil) }

// Fingerprint tells two commands with the same source and id apart: SHA-256, in hex, of the type and the data, whatever
// the order of its members. Secrets are left out, since a hash of a password could be guessed from; commands that differ only
// there count as the same.
func (d Document) Fingerprint() string {
	sum := sha256.Sum256(canonical([]byte(d.Event.Type()+"\n"), d.data))
	return hex.EncodeToString(sum[:])
}

// Fingerprint is [Document.Fingerprint] of an event that has not been read.
func Fingerprint(e Event) string { return Read(e).Fingerprint() }

// canonical writes a value so that different ones never look the same, without secrets.
func canonical(out []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return strconv.AppendQuote(out, v)
	case json.Number:
		return append(out, v...)
	case bool:
		return strconv.AppendBool(out, v)
	case []any:
		out = append(out, '[')
		for _, item := range v {
			out = append(canonical(out, item), ',')
		}
		return append(out, ']')
	case map[string]any:
		property := secretProperty(v)
		out = append(out, '{')
		for _, name := range slices.Sorted(maps.Keys(v)) {
			out = append(strconv.AppendQuote(out, name), ':')
			if isSecret(name, property) {
				out = append(out, secret.Redacted...)
			} else {
				out = canonical(out, v[name])
			}
			out = append(out, ',')
		}
		return append(out, '}')
	default:
		return append(out, "null"...)
	}
}
