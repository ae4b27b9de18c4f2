package permissions

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nkeys"
)

// SeedFile is the file that holds the seed of a user's nkey, in the folder of the seeds.
func SeedFile(dir, user string) string { return filepath.Join(dir, user+".nk") }

// Seeds gives the public nkeys of users. A user whose seed is not in the folder gets a new one,
// which only the owner of the file can read. The error names a file, and never quotes a seed.
func Seeds(dir string, users []User) (map[string]string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	keys := map[string]string{}
	for _, u := range users {
		key, err := publicKey(SeedFile(dir, u.Name))
		if err != nil {
			return nil, err
		}
		keys[u.Name] = key
	}
	return keys, nil
}

func publicKey(file string) (string, error) {
	pair, err := keyPair(file, nkeys.CreateUser)
	if err != nil {
		return "", err
	}
	defer pair.Wipe()
	key, err := pair.PublicKey()
	if err != nil || !nkeys.IsValidPublicUserKey(key) {
		return "", fmt.Errorf("%s holds no seed of a user's nkey", file)
	}
	return key, nil
}

// keyPair reads a seed, or makes one where the file does not exist.
func keyPair(file string, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		if err := newSeed(file, create); err != nil {
			return nil, err
		}
	}
	seed, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pair, err := nkeys.ParseDecoratedNKey(seed)
	if err != nil {
		return nil, fmt.Errorf("%s holds no seed of an nkey", file)
	}
	return pair, nil
}

// newSeed writes a seed to a file that does not exist.
func newSeed(file string, create func() (nkeys.KeyPair, error)) error {
	pair, err := create()
	if err != nil {
		return err
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return err
	}
	return writeOnce(file, append(seed, '\n'))
}

// writeOnce writes a file that does not exist, for its owner only.
func writeOnce(file string, text []byte) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
