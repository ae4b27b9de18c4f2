package keyring_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/sealed"
	"github.com/mailwright/mailwright/services/internal/keyring"
)

func newKey(t *testing.T) string {
	t.Helper()
	key, err := sealed.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// secretPart is the private part of a key, without the words before it.
func secretPart(key string) string {
	_, secret, _ := strings.Cut(key, "AGE-SECRET-KEY-1")
	return strings.TrimSpace(secret)
}

// write replaces a file, as an editor or a mounted secret does.
func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	fresh := path + ".new"
	if err := os.WriteFile(fresh, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, path); err != nil {
		t.Fatal(err)
	}
}

func TestTheFileIsReadAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	path, first, second := filepath.Join(t.TempDir(), "keys"), newKey(t), newKey(t)
	write(t, path, first, 0o600)
	var log bytes.Buffer
	k, err := keyring.Open(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	holds := func(n int, what string) {
		t.Helper()
		if got := len(k.Identities().Recipients()); got != n {
			t.Errorf("%s: %d keys, not %d\n%s", what, got, n, log.String())
		}
	}
	holds(1, "at first")
	write(t, path, second+first, 0o400)
	holds(2, "after a rotation")
	logged := log.Len()
	holds(2, "again")
	if log.Len() != logged {
		t.Errorf("a file that has not changed is told of: %s", log.String()[logged:])
	}
	write(t, path, first, 0o644)
	holds(2, "while others may read it")
	holds(2, "and still")
	if n := strings.Count(log.String(), "0644"); n != 1 {
		t.Errorf("that others may read it is logged %d times:\n%s", n, log.String())
	}
	write(t, path, "nonsense", 0o600)
	holds(2, "while it is nonsense")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	holds(2, "while it is gone")
	holds(2, "and still")
	write(t, path, first, 0o600)
	holds(1, "once it is whole again")
	old := time.Now().Add(-time.Hour) // written in place, with the same size
	if err := os.WriteFile(path, []byte(second), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	keys, err := sealed.ParseIdentities(second)
	if err != nil {
		t.Fatal(err)
	}
	if k.Identities().String() != keys.String() {
		t.Error("a file that was written in place is not read again")
	}
	if strings.Contains(log.String(), secretPart(first)) || strings.Contains(log.String(), secretPart(second)) {
		t.Errorf("the log has a key:\n%s", log.String())
	}
}

// TestManyReadWhileTheFileChanges is for the race detector, and wants whole lists of keys.
func TestManyReadWhileTheFileChanges(t *testing.T) {
	t.Parallel()
	path, first, second := filepath.Join(t.TempDir(), "keys"), newKey(t), newKey(t)
	write(t, path, first, 0o600)
	k, err := keyring.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 200 {
				if n := len(k.Identities().Recipients()); n != 1 && n != 2 {
					t.Errorf("%d keys", n)
				}
			}
		})
	}
	for range 20 {
		write(t, path, second+first, 0o600)
		write(t, path, first, 0o600)
	}
	readers.Wait()
	if n := len(k.Identities().Recipients()); n != 1 {
		t.Errorf("%d keys at last", n)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"a file that its group may read":    {key, 0o640, "only its owner"},
		"a file that everybody may write":   {key, 0o602, "only its owner"},
		"another text":                      {"hunter2", 0o600, "line 1 is no X25519 identity"},
		"no key":                            {"# none\n", 0o600, "there is no identity"},
		"a file that is too large for keys": {strings.Repeat("#\n", 64<<10), 0o600, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "keys")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			if _, err := keyring.Open(path, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, not %q", err, c.want)
			}
		})
	}
	if _, err := keyring.Open(filepath.Join(t.TempDir(), "none"), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file that is not there is opened")
	}
}
