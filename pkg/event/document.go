package event

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
)

// Document is an event with its data, read and checked once for all that is asked of it.
type Document struct {
	Event Event
	// data is what was read, with a [hidden] in the place of each secret. It counts only where
	// there is no fault.
	data     any
	faults   []Fault
	panicked string
}

// Read reads an event's data and holds it against the schema of the event's type.
func Read(e Event) Document {
	if IsCommand(e.Type()) {
		return readData(e, maxValues)
	}
	return readData(e, math.MaxInt)
}

// readData reads the data of an event, which may have so many values.
func readData(e Event, values int) Document {
	d := Document{Event: e}
	if len(e.Data()) > 0 {
		d.data, d.faults = parse(e.Data(), values)
	}
	s := compiled().types[e.Type()]
	switch {
	case s == nil:
		d.faults = []Fault{{Field: "type", Problem: fmt.Sprintf("%q is not a type that this system knows; asyncapi.yaml lists them", clip(e.Type()))}}
	case len(e.Data()) == 0:
		d.faults = []Fault{{Field: "data", Problem: "is missing; it is required"}}
	case len(d.faults) == 0:
		d.faults, d.panicked = s.check(d.data)
	}
	d.faults = sorted(d.faults)
	if len(d.faults) > 0 {
		s = nil // what breaks its schema is not told by it
	}
	d.data = s.hide(d.data)
	return d
}

// Check returns every fault of the data, in the order of their fields; none means valid.
func (d Document) Check() []Fault { return bounded(d.faults) }

// Panicked is what a panic of the schema library said while it checked the data; "" as a rule. Then
// Check has the fault that the data cannot be checked, which is our fault and not the publisher's.
func (d Document) Panicked() string { return d.panicked }

// Secrets lists the secret texts in the data: what [Excerpt] would replace.
func (d Document) Secrets() []string { return collect(d.data, false, nil) }

// Fingerprint tells two commands with the same source and id apart: SHA-256, in hex, of the type,
// the data, notbefore and expirytime, whatever the order of members and however a number or a time
// is written. Secrets are left out, since a hash of a password could be guessed from; commands that
// differ only there count as the same. Of data with a fault it is not known where its secrets are:
// there the faults stand for it.
func (d Document) Fingerprint() string {
	return fingerprint(d, d.faults, extensionTime(d.Event, AttrNotBefore), extensionTime(d.Event, AttrExpiryTime))
}

// Fingerprint is [Document.Fingerprint], where faults of the envelope count as well. A dry run has
// that of its command.
func (c Command) Fingerprint() string {
	return fingerprint(c.Document, slices.Concat(c.faults, c.Document.faults), c.NotBefore, c.ExpiryTime)
}

// Fingerprint is [Document.Fingerprint] of an event that has not been read.
func Fingerprint(e Event) string { return Read(e).Fingerprint() }

func extensionTime(e Event, name string) time.Time { return instant(Extension(e, name)) }

func fingerprint(d Document, faults []Fault, notBefore, expiryTime time.Time) string {
	out := make([]byte, 0, 256)
	out = append(append(out, d.Event.Type()...), '\n')
	if len(faults) > 0 {
		for _, f := range faults {
			out = append(append(out, f.Field...), '\n')
		}
	} else {
		out = canonical(out, d.data)
	}
	out = appendInstant(out, AttrNotBefore, notBefore)
	out = appendInstant(out, AttrExpiryTime, expiryTime)
	sum := sha256.Sum256(out)
	return hex.EncodeToString(sum[:])
}

func appendInstant(out []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return out
	}
	return t.UTC().AppendFormat(append(out, "\n"+name+"="...), time.RFC3339Nano)
}

// canonical writes a value so that different ones never look the same, without secrets.
func canonical(out []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return strconv.AppendQuote(out, v)
	case json.Number:
		return append(out, v...)
	case bool:
		return strconv.AppendBool(out, v)
	case hidden:
		return append(out, secret.Redacted...)
	case []any:
		out = append(out, '[')
		for _, item := range v {
			out = append(canonical(out, item), ',')
		}
		return append(out, ']')
	case map[string]any:
		out = append(out, '{')
		for _, name := range slices.Sorted(maps.Keys(v)) {
			out = append(strconv.AppendQuote(out, name), ':')
			out = append(canonical(out, v[name]), ',')
		}
		return append(out, '}')
	default:
		return append(out, "null"...)
	}
}
