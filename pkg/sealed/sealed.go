// Package sealed encrypts single secrets of a command, such as a password, so that only the
// services can read them. A sealed value is a text: an age file with armor (https://age-encryption.org/v1)
// to X25519 recipients, as "age -r RECIPIENT -a" writes it. It stands where the secret would stand.
//
// # What is inside
//
// The plaintext is the secret, in UTF-8. It may have one line before it that binds it to an
// operation:
//
//	mailwright-operation dledhykyrcmjfv2k2c4hadmox7
//	the secret
//
// Age has no place for data that is authenticated and not encrypted, so the line stands inside. A
// value that is bound to another operation is not opened. A value without the line is opened in
// any command of its tenant: whoever can read the command can put it into a command of his own.
package sealed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// The bounds of what is opened. An X25519 operation costs some 50 µs, and each identity is tried
// with each recipient of each value, so a command costs a few milliseconds at most.
const (
	// MaxText is the longest sealed text, in bytes.
	MaxText = 4 << 10
	// MaxValues is the largest number of sealed values in a command.
	MaxValues = 8
	// MaxRecipients is the largest number of recipients of a sealed value, and of identities of a
	// tenant.
	MaxRecipients = 4
)

// What can be wrong with a sealed value. None of the errors quotes it.
var (
	ErrTooLong        = fmt.Errorf("has more than %d bytes", MaxText)
	ErrMalformed      = errors.New("is no complete age file with armor")
	ErrTooMany        = fmt.Errorf("is sealed to more than %d recipients", MaxRecipients)
	ErrOtherKey       = errors.New("is sealed to none of this tenant's keys")
	ErrOtherOperation = errors.New("is sealed for another operation")
	ErrEmpty          = errors.New("has nothing sealed in it")
	ErrNoText         = errors.New("has something sealed in it that is no UTF-8")
)

// Is reports whether a text has the form of a sealed value. It may still be one that cannot be
// opened.
func Is(text string) bool { return strings.HasPrefix(text, armor.Header) }

// binding begins the line that names the operation.
const binding = "mailwright-operation "

// Recipient is a public key to which secrets are sealed.
type Recipient struct{ key *age.X25519Recipient }

// String is the recipient as age writes it: age1….
func (r Recipient) String() string { return r.key.String() }

// ParseRecipients reads recipients, one a line. Empty lines and those that begin with # are
// skipped. The error is that a line is no X25519 recipient, or that there are none or more than
// [MaxRecipients].
func ParseRecipients(text string) ([]Recipient, error) {
	var list []Recipient
	err := eachLine(text, func(number int, line string) error {
		key, err := age.ParseX25519Recipient(line)
		if err != nil {
			return fmt.Errorf("line %d is no X25519 recipient of age (age1…)", number)
		}
		list = append(list, Recipient{key})
		return nil
	})
	if err == nil {
		err = checkCount("recipient", len(list))
	}
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Seal encrypts a secret to each of the recipients. operationID binds it to that operation: see
// [event.OperationID]; "" binds it to none. The error is that there is no recipient, or that the
// secret is too long.
func Seal(secret, operationID string, recipients ...Recipient) (string, error) {
	if err := checkCount("recipient", len(recipients)); err != nil {
		return "", err
	}
	if operationID != "" {
		secret = binding + operationID + "\n" + secret
	}
	keys := make([]age.Recipient, len(recipients))
	for i, r := range recipients {
		keys[i] = r.key
	}
	var out strings.Builder
	armored := armor.NewWriter(&out)
	if err := encrypt(armored, secret, keys); err != nil {
		return "", fmt.Errorf("seal a secret: %w", err)
	}
	if err := armored.Close(); err != nil {
		return "", fmt.Errorf("seal a secret: %w", err)
	}
	if out.Len() > MaxText {
		return "", errors.New("the secret is too long: a sealed value " + ErrTooLong.Error())
	}
	return out.String(), nil
}

// Sealer seals the secrets of commands; it is a client.Sealer. The zero value is ready to use.
type Sealer struct{}

// SealFor is [Seal] to recipients as [ParseRecipients] reads them.
func (Sealer) SealFor(secret, operationID, recipients string) (string, error) {
	list, err := ParseRecipients(recipients)
	if err != nil {
		return "", fmt.Errorf("cannot be sealed: %w", err)
	}
	return Seal(secret, operationID, list...)
}

func encrypt(to io.Writer, secret string, keys []age.Recipient) error {
	w, err := age.Encrypt(to, keys...)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, secret); err != nil {
		return err
	}
	return w.Close()
}

// Identities are the private keys of a tenant. They print as their recipients.
type Identities struct{ keys []*age.X25519Identity }

// ParseIdentities reads private keys (AGE-SECRET-KEY-1…), one a line, as age-keygen writes them.
// Empty lines and those that begin with # are skipped. The error quotes nothing of the text.
func ParseIdentities(text string) (Identities, error) {
	var list Identities
	err := eachLine(text, func(number int, line string) error {
		key, err := age.ParseX25519Identity(line)
		if err != nil {
			return fmt.Errorf("line %d is no X25519 identity of age (AGE-SECRET-KEY-1…)", number)
		}
		list.keys = append(list.keys, key)
		return nil
	})
	if err == nil {
		err = checkCount("identity", len(list.keys))
	}
	if err != nil {
		return Identities{}, err
	}
	return list, nil
}

// GenerateIdentity makes a key, in the form of a file that [ParseIdentities] reads.
func GenerateIdentity() (string, error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return "", err
	}
	return "# recipient: " + key.Recipient().String() + "\n" + key.String() + "\n", nil
}

// Recipients are those of the identities, in their order.
func (s Identities) Recipients() []Recipient {
	list := make([]Recipient, len(s.keys))
	for i, key := range s.keys {
		list[i] = Recipient{key.Recipient()}
	}
	return list
}

// String, GoString and Format keep the keys out of texts.
func (s Identities) String() string { return fmt.Sprint(s.Recipients()) }

// GoString covers %#v.
func (s Identities) GoString() string { return s.String() }

// Format covers every verb and flag of fmt.
func (s Identities) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText covers JSON, YAML and slog.
func (s Identities) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Open returns the secret of a sealed value that stands in a command of an operation. The error is
// one of those above.
func (s Identities) Open(text, operationID string) (string, error) {
	if len(text) > MaxText {
		return "", ErrTooLong
	}
	if !Is(text) {
		return "", ErrMalformed
	}
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(text)), bounded(s))
	var noMatch *age.NoIdentityMatchError
	switch {
	case errors.Is(err, ErrTooMany):
		return "", ErrTooMany
	case errors.As(err, &noMatch):
		return "", ErrOtherKey
	case err != nil:
		return "", ErrMalformed
	}
	plain, err := io.ReadAll(r) // no longer than the text
	switch {
	case err != nil:
		return "", ErrMalformed
	case !utf8.Valid(plain):
		return "", ErrNoText
	}
	if rest, bound := bytes.CutPrefix(plain, []byte(binding)); bound {
		id, secret, _ := bytes.Cut(rest, []byte("\n"))
		if string(id) != operationID {
			return "", ErrOtherOperation
		}
		plain = secret
	}
	if len(plain) == 0 {
		return "", ErrEmpty
	}
	return string(plain), nil
}

// bounded are identities that look at a few recipients only.
type bounded Identities

// Unwrap implements age.Identity.
func (b bounded) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if len(stanzas) > MaxRecipients {
		return nil, ErrTooMany
	}
	for _, key := range b.keys {
		fileKey, err := key.Unwrap(stanzas)
		if !errors.Is(err, age.ErrIncorrectIdentity) {
			return fileKey, err
		}
	}
	return nil, age.ErrIncorrectIdentity
}

func checkCount(what string, n int) error {
	switch {
	case n == 0:
		return fmt.Errorf("there is no %s", what)
	case n > MaxRecipients:
		return fmt.Errorf("there are more than %d of %s", MaxRecipients, what)
	}
	return nil
}

// eachLine calls a function for each line that says something.
func eachLine(text string, f func(number int, line string) error) error {
	number := 0
	for line := range strings.Lines(text) {
		number++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if err := f(number, line); err != nil {
			return err
		}
	}
	return nil
}
