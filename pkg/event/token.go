package event

import (
	"fmt"
	"strconv"
	"strings"
)

// Token encodes any text as one token of a NATS subject: each byte other than A-Z, a-z, 0-9,
// "-" and "_" becomes "%" and two upper-case hexadecimal digits, and the empty text becomes a
// lone "%". Every language can predict it, [Untoken] reverses it, and different texts never
// share a token. NATS limits a subject to about 4,000 bytes, so a key should stay under 1,000.
func Token(s string) string {
	if s == "" {
		return "%"
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(s))
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// Untoken reverses [Token]. A token that Token would not have made is an error, so that no
// two tokens mean the same text.
func Untoken(token string) (string, error) {
	if token == "%" {
		return "", nil
	}
	var b strings.Builder
	for i := 0; i < len(token); i++ {
		if token[i] != '%' {
			b.WriteByte(token[i])
			continue
		}
		if len(token) < i+3 {
			return "", fmt.Errorf("event: token %q ends within an escape", token)
		}
		c, err := strconv.ParseUint(token[i+1:i+3], 16, 8)
		if err != nil {
			return "", fmt.Errorf("event: token %q has an escape that is not hexadecimal", token)
		}
		b.WriteByte(byte(c))
		i += 2
	}
	if Token(b.String()) != token {
		return "", fmt.Errorf("event: token %q is not in its one valid form", token)
	}
	return b.String(), nil
}

func plain(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}
