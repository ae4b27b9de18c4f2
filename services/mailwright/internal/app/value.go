package app

import (
	"io"
	"os"
	"strings"
)

// ReadValue reads what the value of a flag or an argument names: @file, - for standard input, or
// the value itself.
func ReadValue(value string, stdin io.Reader) ([]byte, error) {
	if value == "-" {
		return io.ReadAll(stdin)
	}
	if name, ok := strings.CutPrefix(value, "@"); ok {
		return os.ReadFile(name)
	}
	return []byte(value), nil
}
