// Package secret keeps passwords, tokens and keys from being printed, logged or
// marshalled by accident.
package secret

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// Redacted stands wherever a secret would have stood.
const Redacted = "[redacted]"

// String is a secret text. Every way of printing or marshalling it gives [Redacted]; only
// [String.Reveal] gives the value.
//
// The value is behind a pointer, because fmt prints unexported fields of foreign structs without
// calling any method: of a pointer it prints the address.
type String struct{ value *string }

// New wraps a value.
func New(value string) String { return String{&value} }

// FromFile reads a secret from a file and trims the line end that editors add.
func FromFile(path string) (String, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return String{}, err
	}
	return New(strings.TrimRight(string(b), "\r\n")), nil
}

// Reveal returns the value. Call it only where the secret goes onto the wire.
func (s String) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether there is no secret at all.
func (s String) IsZero() bool { return s.Reveal() == "" }

// String, GoString and Format cover every verb of fmt.
func (s String) String() string { return Redacted }

// GoString covers %#v.
func (s String) GoString() string { return Redacted }

// Format covers every verb and flag of fmt.
func (s String) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// LogValue covers slog.
func (s String) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText covers JSON, YAML and XML.
func (s String) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// UnmarshalText lets a secret be read from JSON, YAML or an environment variable.
func (s *String) UnmarshalText(b []byte) error { *s = New(string(b)); return nil }
