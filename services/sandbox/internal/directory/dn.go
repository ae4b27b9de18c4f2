// Package directory holds what every simulated directory needs whichever API reaches it:
// distinguished names, the attribute schema and the domain's password policy.
package directory

import (
	"fmt"
	"strings"
)

// SplitDN cuts a distinguished name at its unescaped commas. Each part keeps its escapes.
func SplitDN(dn string) ([]string, error) {
	var parts []string
	start := 0
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++
		case ',':
			parts = append(parts, strings.TrimSpace(dn[start:i]))
			start = i + 1
		}
	}
	parts = append(parts, strings.TrimSpace(dn[start:]))
	for _, part := range parts {
		kind, value, ok := strings.Cut(part, "=")
		if !ok || strings.TrimSpace(kind) == "" || strings.TrimSpace(value) == "" {
			return nil, fmt.Errorf("%q is not a distinguished name", dn)
		}
	}
	return parts, nil
}

// Fold gives the form of a DN that equal names share: lower case, no blanks around separators,
// escapes undone. What is not a DN folds to its lower case, which equals no DN.
func Fold(dn string) string {
	parts, err := SplitDN(dn)
	if err != nil {
		return strings.ToLower(strings.TrimSpace(dn))
	}
	for i, part := range parts {
		kind, value, _ := strings.Cut(part, "=")
		parts[i] = strings.ToLower(strings.TrimSpace(kind) + "=" + EscapeValue(Unescape(strings.TrimSpace(value))))
	}
	return strings.Join(parts, ",")
}

// Parent is the DN without its first part; "" at the top.
func Parent(dn string) string {
	parts, err := SplitDN(dn)
	if err != nil || len(parts) < 2 {
		return ""
	}
	return strings.Join(parts[1:], ",")
}

// Name is the unescaped value of the first part: "John Smith" for CN=John Smith,DC=example,DC=com.
func Name(dn string) string {
	parts, err := SplitDN(dn)
	if err != nil {
		return dn
	}
	_, value, _ := strings.Cut(parts[0], "=")
	return Unescape(strings.TrimSpace(value))
}

// Within reports whether dn is base or stands below it.
func Within(dn, base string) bool {
	d, b := Fold(dn), Fold(base)
	return d == b || strings.HasSuffix(d, ","+b)
}

// EscapeValue escapes an attribute value for use in a DN (RFC 4514, section 2.4).
func EscapeValue(value string) string {
	var b strings.Builder
	for i, r := range value {
		first, last := i == 0, i == len(value)-1
		switch {
		case strings.ContainsRune(`,+"\<>;=`, r), first && (r == ' ' || r == '#'), last && r == ' ':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\0A`)
		case r == '\r':
			b.WriteString(`\0D`)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Unescape undoes [EscapeValue], and hexadecimal pairs.
func Unescape(value string) string {
	if !strings.Contains(value, `\`) {
		return value
	}
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] != '\\' || i+1 == len(value) {
			b.WriteByte(value[i])
			continue
		}
		if i+2 < len(value) && isHex(value[i+1]) && isHex(value[i+2]) {
			b.WriteByte(unhex(value[i+1])<<4 | unhex(value[i+2]))
			i += 2
			continue
		}
		i++
		b.WriteByte(value[i])
	}
	return b.String()
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	default:
		return c - '0'
	}
}
