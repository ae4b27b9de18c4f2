// Package livefile reads files again when they change: certificates, keys and other secrets, which
// are replaced while programs run.
//
// A file is looked at when its value is used, so nothing runs in the background. While a changed
// file cannot be read, or holds nothing valid, the value before the change stays in use.
package livefile

import (
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// Source says which files a value is read from, and how.
type Source[T any] struct {
	// Name is the value's name in the log, such as "the certificate of --http-cert".
	Name string
	// Paths are the files. If one of them changes, Read is called again. Without any, Read is
	// called once.
	Paths []string
	// Read reads the value. Its error must not quote a secret: it is logged.
	Read func() (T, error)
	// Interval is the shortest time between two looks at the files; 0: they are looked at on each
	// use.
	Interval time.Duration
	// Attributes, if set, describe a new value in the log, as slog takes them. They must hold no
	// secret.
	Attributes func(T) []any
	Log        *slog.Logger
}

// File is a value that is read from files. It is safe for concurrent use.
type File[T any] struct {
	source Source[T]

	mu     sync.Mutex
	value  T
	seen   []fs.FileInfo // by Paths, as they were before Read was called last; nil: not there
	looked time.Time
}

// Open reads the value for the first time. The error is that of Read.
func Open[T any](s Source[T]) (*File[T], error) {
	// Before it is read: a change in between is seen as one at the next look.
	f := &File[T]{source: s, seen: look(s.Paths), looked: time.Now()}
	var err error
	if f.value, err = s.Read(); err != nil {
		return nil, err
	}
	return f, nil
}

// Value is what the files hold now, or held before a change after which they cannot be read. The
// log says once that they have changed, or why they cannot be read.
func (f *File[T]) Value() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.source.Interval > 0 {
		if time.Since(f.looked) < f.source.Interval {
			return f.value
		}
		f.looked = time.Now()
	}
	now := look(f.source.Paths)
	if slices.EqualFunc(f.seen, now, isSame) {
		return f.value
	}
	f.seen = now
	value, err := f.source.Read()
	if err != nil {
		f.source.Log.Error(f.source.Name+" cannot be read again; what was read before stays in use", "files", f.source.Paths, "error", err)
		return f.value
	}
	f.value = value
	attributes := []any{"files", f.source.Paths}
	if f.source.Attributes != nil {
		attributes = append(attributes, f.source.Attributes(value)...)
	}
	f.source.Log.Info(f.source.Name+" changed, and was read again", attributes...)
	return f.value
}

func look(paths []string) []fs.FileInfo {
	infos := make([]fs.FileInfo, len(paths))
	for i, path := range paths {
		if info, err := os.Stat(path); err == nil {
			infos[i] = info
		}
	}
	return infos
}

// isSame reports whether a file is as it was. A mounted secret is exchanged by a link to another
// file.
func isSame(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && a.Mode() == b.Mode()
}
