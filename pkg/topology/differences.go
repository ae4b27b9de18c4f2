// Package topology names the subjects and streams of Mailwright in NATS, and holds the streams as
// code.
package topology

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"
)

// Field is one setting that is compared between what we want and what the server has.
type Field[T any] struct {
	Name   string
	Value  func(T) any
	Remedy string // where it is not the usual one
}

// Differences compares field by field, and returns one error that lists all that differ.
func Differences[T any](of string, fields []Field[T], want, got T, remedy string) error {
	var found []string
	for _, f := range fields {
		if w, g := f.Value(want), f.Value(got); !reflect.DeepEqual(w, g) {
			found = append(found, fmt.Sprintf("%s: want %v, got %v (%s)", f.Name, w, g, cmp.Or(f.Remedy, remedy)))
		}
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("%s differs from what Mailwright needs: %s", of, strings.Join(found, "; "))
}
