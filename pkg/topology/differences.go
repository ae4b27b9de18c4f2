// Package topology names the subjects and streams of Mailwright in NATS, and holds the streams as
// code.
package topology

import (
	"fmt"
	"reflect"
	"strings"
)

// Field is one setting that is compared between what we want and what the server has.
type Field[T any] struct {
	Name  string
	Value func(T) any
}

// Differences compares field by field, and returns one error that lists all that differ, and says
// what to do.
func Differences[T any](of string, fields []Field[T], want, got T, remedy string) error {
	var found []string
	for _, f := range fields {
		if w, g := f.Value(want), f.Value(got); !reflect.DeepEqual(w, g) {
			found = append(found, fmt.Sprintf("%s: want %v, got %v", f.Name, w, g))
		}
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("%s differs from what Mailwright needs: %s (%s)", of, strings.Join(found, "; "), remedy)
}
