package livefile_test

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/testkit/certs"
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

// TestAClientTakesNewAuthorities: it checks the server's name too.
func TestAClientTakesNewAuthorities(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own := filepath.Join(dir, "own")
	issue := func(o certs.Options, host string) {
		t.Helper()
		authority, err := certs.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := authority.Issue(own, "server", host); err != nil {
			t.Fatal(err)
		}
	}
	issue(certs.Options{}, "127.0.0.1")
	log := slog.New(slog.DiscardHandler)
	certificate, err := livefile.Certificate("the server's", filepath.Join(own, certs.CertFile), filepath.Join(own, certs.KeyFile), log)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", livefile.ServerConfig(certificate))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	known := filepath.Join(dir, "known.crt")
	know := func(from string) {
		t.Helper()
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, known, string(text))
	}
	know(filepath.Join(dir, certs.CAFile))
	authorities, err := livefile.Authorities("the client's", known, log)
	if err != nil {
		t.Fatal(err)
	}
	transport := livefile.Transport(authorities)
	transport.DisableKeepAlives = true
	client := &http.Client{Transport: transport}
	asks := func(when string, want bool) {
		t.Helper()
		res, err := client.Get("https://" + l.Addr().String())
		if err == nil {
			_ = res.Body.Close()
		}
		if (err == nil) != want {
			t.Errorf("%s: %v", when, err)
		}
	}
	asks("at first", true)
	issue(certs.Options{Replace: true}, "127.0.0.1")
	asks("of an authority that is not known", false)
	know(filepath.Join(dir, certs.CAFile))
	asks("once it is known", true)
	issue(certs.Options{}, "server.example.com")
	asks("of another name", false)
}
