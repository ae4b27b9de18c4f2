package livefile_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/internal/livefile"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestAValueOfTwoFiles: both are read together, and a half that does not fit leaves the former
// value in use.
func TestAValueOfTwoFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	write(t, one, "1")
	write(t, two, "1")
	var log strings.Builder
	f, err := livefile.Open(livefile.Source[string]{
		Name: "the pair", Paths: []string{one, two}, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Read: func() (string, error) {
			a, errA := os.ReadFile(one)
			b, errB := os.ReadFile(two)
			if err := errors.Join(errA, errB); err != nil {
				return "", err
			}
			if string(a) != string(b) {
				return "", errors.New("the halves differ")
			}
			return string(a), nil
		},
		Attributes: func(v string) []any { return []any{"value", v} },
	})
	if err != nil {
		t.Fatal(err)
	}
	holds := func(want, when string) {
		t.Helper()
		for range 2 { // the second look finds nothing new
			if got := f.Value(); got != want {
				t.Errorf("%s: %s, not %s", when, got, want)
			}
		}
	}
	holds("1", "at first")
	write(t, two, "2")
	holds("1", "while one half is new")
	write(t, one, "2")
	holds("2", "once both are new")
	if err := os.Remove(one); err != nil {
		t.Fatal(err)
	}
	holds("2", "while one half is gone")
	for line, n := range map[string]int{"the halves differ": 1, "no such file": 1, "value=2": 1} {
		if got := strings.Count(log.String(), line); got != n {
			t.Errorf("the log has %q %d times, not %d:\n%s", line, got, n, log.String())
		}
	}
}

func TestAnIntervalBetweenLooks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "1")
	f, err := livefile.Open(livefile.Source[string]{
		Paths: []string{path}, Log: slog.New(slog.DiscardHandler), Interval: time.Hour,
		Read: func() (string, error) { text, err := os.ReadFile(path); return string(text), err },
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, "22")
	if got := f.Value(); got != "1" {
		t.Errorf("read again after no time: %s", got)
	}
}
