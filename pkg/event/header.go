package event

import (
	"strings"
	"unicode/utf8"
)

// decodeValue reads a header's value by the NATS protocol binding, section 3.1.3.2: white space
// around it does not count, double quotes are taken away, and percent-encoding is decoded once.
func decodeValue(value string) (decoded, problem string) {
	value, problem = unquote(strings.Trim(value, " \t"))
	if problem == "" && strings.Contains(value, "%") {
		value, problem = percentDecode(value)
	}
	if problem == "" && !utf8.ValidString(value) {
		problem = "is not UTF-8"
	}
	return value, problem
}

// unquote undoes a quoted-string (RFC 7230, section 3.2.6).
func unquote(s string) (text, problem string) {
	if !strings.HasPrefix(s, `"`) {
		return s, ""
	}
	out := make([]byte, 0, len(s))
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"' && i == len(s)-1:
			return string(out), ""
		case s[i] == '"':
			return "", "goes on behind its closing double quote"
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		out = append(out, s[i])
	}
	return "", "lacks its closing double quote"
}

func percentDecode(s string) (text, problem string) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
			return "", "has a % without two hexadecimal digits behind it; a % itself is written %25"
		}
		out = append(out, hexValue(s[i+1])<<4|hexValue(s[i+2]))
		i += 2
	}
	return string(out), ""
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

const upperHex = "0123456789ABCDEF"

// percentEncode is the binding's percent-encoding: of space, double quote, percent, and everything
// outside printable ASCII.
func percentEncode(s string) string {
	plain := 0
	for plain < len(s) && !toEncode(s[plain]) {
		plain++
	}
	if plain == len(s) {
		return s
	}
	out := []byte(s[:plain])
	for i := plain; i < len(s); i++ {
		if c := s[i]; toEncode(c) {
			out = append(out, '%', upperHex[c>>4], upperHex[c&15])
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}

func toEncode(c byte) bool { return c <= ' ' || c == '"' || c == '%' || c >= 0x7f }

// clip bounds a foreign text that an error quotes.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
