// Package keyring holds the private keys that open a tenant's sealed secrets. They stand in a file,
// which is read again when it changes.
package keyring

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/mailwright/mailwright/pkg/sealed"
	"github.com/mailwright/mailwright/services/internal/livefile"
)

// maxFile bounds the file, in bytes.
const maxFile = 64 << 10

// Keyring is the file of a tenant's keys. It is safe for concurrent use.
type Keyring struct {
	file *livefile.File[sealed.Identities]
}

// Open reads a file of age identities, one a line. The error is that it cannot be read, that others
// than its owner may read or write it, or that it holds something else. No error and no line of the
// log holds a key.
func Open(path string, log *slog.Logger) (*Keyring, error) {
	file, err := livefile.Open(livefile.Source[sealed.Identities]{
		Name: "the file of identities", Paths: []string{path}, Log: log,
		Read:       func() (sealed.Identities, error) { return read(path) },
		Attributes: func(keys sealed.Identities) []any { return []any{"recipients", keys.Recipients()} },
	})
	if err != nil {
		return nil, err
	}
	return &Keyring{file}, nil
}

// Identities are the keys as the file has them now. While a changed file cannot be read, they are
// those before the change, and the log says why.
func (k *Keyring) Identities() sealed.Identities { return k.file.Value() }

func read(path string) (sealed.Identities, error) {
	f, err := os.Open(path)
	if err != nil {
		return sealed.Identities{}, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return sealed.Identities{}, err
	case info.Mode().Perm()&0o077 != 0:
		return sealed.Identities{}, fmt.Errorf("%s has the permissions %04o: only its owner may have any (0600 or 0400)", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = errors.New("is too large for a file of keys")
	}
	if err != nil {
		return sealed.Identities{}, fmt.Errorf("%s: %w", path, err)
	}
	keys, err := sealed.ParseIdentities(string(text))
	if err != nil {
		return sealed.Identities{}, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}
