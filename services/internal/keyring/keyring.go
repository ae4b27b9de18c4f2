// Package keyring holds the private keys that open a tenant's sealed secrets. They stand in a file,
// which is read again when it changes.
package keyring

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"

	"github.com/mailwright/mailwright/pkg/sealed"
)

// maxFile bounds the file, in bytes.
const maxFile = 64 << 10

// Keyring is the file of a tenant's keys. It is safe for concurrent use.
type Keyring struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex
	keys sealed.Identities
	// seen is the file as it was read or refused last.
	seen fs.FileInfo
}

// Open reads a file of age identities, one a line. The error is that it cannot be read, that others
// than its owner may read or write it, or that it holds something else. No error and no line of the
// log holds a key.
func Open(path string, log *slog.Logger) (*Keyring, error) {
	k := &Keyring{path: path, log: log}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	k.seen = info
	if k.keys, err = read(path); err != nil {
		return nil, err
	}
	return k, nil
}

// Identities are the keys as the file has them now. While a changed file cannot be read, they are
// those before the change, and the log says why.
func (k *Keyring) Identities() sealed.Identities {
	k.mu.Lock()
	defer k.mu.Unlock()
	info, err := os.Stat(k.path)
	if err != nil {
		k.complain(nil, err)
		return k.keys
	}
	if k.seen != nil && isSame(k.seen, info) {
		return k.keys
	}
	keys, err := read(k.path)
	if err != nil {
		k.complain(info, err)
		return k.keys
	}
	k.keys, k.seen = keys, info
	k.log.Info("the identities have changed", "file", k.path, "recipients", keys.Recipients())
	return k.keys
}

// complain says once a change why the earlier keys stay in use.
func (k *Keyring) complain(info fs.FileInfo, err error) {
	if info == nil && k.seen == nil {
		return
	}
	k.seen = info
	k.log.Error("the identities cannot be read again; the earlier ones stay in use", "file", k.path, "error", err)
}

// isSame reports whether a file is as it was. A mounted secret is exchanged by a link to another
// file.
func isSame(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && a.Mode() == b.Mode()
}

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
