package event

import (
	"bytes"
	"slices"

	"github.com/nats-io/nats.go"
)

// HoldsSecret reports whether a message has something that is secret by its name, whatever its type
// and whether or not it can be read: a header, a member of its JSON, or what an object says of a
// directory property. A body that is not JSON is searched for such names as it is.
//
// The schema of a type may mark further secrets: see [Document.Secrets].
func HoldsSecret(header nats.Header, body []byte) bool {
	for name := range header {
		if secretName(name) {
			return true
		}
	}
	v, faults := parse(withoutMark(body), maxValues)
	if len(faults) > 0 {
		return secretName(string(bytes.ToValidUTF8(body, nil)))
	}
	return anyHidden(hideEncoded(hide(v, nil)))
}

func anyHidden(v any) bool {
	switch v := v.(type) {
	case hidden:
		return v.value != nil && v.value != ""
	case []any:
		return slices.ContainsFunc(v, anyHidden)
	case map[string]any:
		for _, member := range v {
			if anyHidden(member) {
				return true
			}
		}
	}
	return false
}
