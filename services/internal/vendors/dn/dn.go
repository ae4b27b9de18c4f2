// Package dn writes and compares distinguished names (RFC 4514), the handles by which
// directories name their objects.
package dn

import (
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Escape returns value as it must stand in a DN: RFC 4514 section 2.4, and "=" too, as Active
// Directory writes it.
func Escape(value string) string {
	var b strings.Builder
	for i, r := range value {
		edge := i == 0 || i+utf8.RuneLen(r) == len(value)
		switch {
		case strings.ContainsRune(`"+,;<>\=`, r), r == '#' && i == 0, r == ' ' && edge:
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			b.WriteString(`\` + strings.ToUpper(hex.EncodeToString([]byte{byte(r)})))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Child returns the DN of an object in the container parent: Child("CN", "John Smith",
// "OU=Staff,DC=example,DC=com").
func Child(attribute, value, parent string) string {
	return attribute + "=" + Escape(value) + "," + parent
}

// FirstValue gives the value of a DN's first part, unescaped: "Store 1" of "CN=Store
// 1,CN=Databases". "" where s is no DN.
func FirstValue(s string) string {
	first := split(s, ",;")[0]
	_, value, found := strings.Cut(split(first, "+")[0], "=")
	if plain, ok := unescape(strings.TrimSpace(value)); found && ok {
		return plain
	}
	return ""
}

// Domain gives the DN of the domain in which s lies: its last parts that are of the type DC. ""
// where it has none.
func Domain(s string) string {
	parts := split(s, ",;")
	from := len(parts)
	for from > 0 && len(strings.TrimSpace(parts[from-1])) > 3 && strings.EqualFold(strings.TrimSpace(parts[from-1])[:3], "DC=") {
		from--
	}
	return strings.Join(parts[from:], ",")
}

// Equal reports whether two DNs name the same object. It ignores case, the way of escaping and
// spaces that carry no meaning, as directories do. Texts that are not DNs are equal to nothing.
func Equal(a, b string) bool {
	x, ok := canonical(a)
	if !ok {
		return false
	}
	y, ok := canonical(b)
	return ok && x == y
}

// Within reports whether a DN names container or an object below it. Both are compared as of
// [Equal].
//
// A DN with a ";" or a quotation mark that no backslash escapes is within nothing: some directories
// read it as a separator or a quotation, others as a part of the name.
func Within(name, container string) bool {
	if len(split(name, `;"`)) > 1 {
		return false
	}
	n, ok := canonical(name)
	if !ok {
		return false
	}
	c, ok := canonical(container)
	return ok && (n == c || strings.HasSuffix(n, ","+c))
}

// Valid reports whether s reads as a DN with at least one part.
func Valid(s string) bool {
	_, ok := canonical(s)
	return ok
}

// canonical rewrites a DN so that equal names are equal strings.
func canonical(s string) (string, bool) {
	var names []string
	for _, rdn := range split(s, ",;") {
		var parts []string
		for _, part := range split(rdn, "+") {
			attribute, value, found := strings.Cut(part, "=")
			attribute = strings.ToLower(strings.TrimSpace(attribute))
			plain, ok := unescape(value)
			if !found || !attributeType.MatchString(attribute) || !ok {
				return "", false
			}
			plain = strings.Join(strings.Fields(plain), " ")
			parts = append(parts, attribute+"="+Escape(strings.ToLower(plain)))
		}
		slices.Sort(parts) // the parts of a multi-valued name have no order
		names = append(names, strings.Join(parts, "+"))
	}
	return strings.Join(names, ","), true
}

// attributeType is RFC 4512 section 1.4 in lower case: a name or a numeric OID. A path such as
// "LDAP://host/OU" is neither.
var attributeType = regexp.MustCompile(`^([a-z][a-z0-9-]*|(oid\.)?[0-9]+(\.[0-9]+)*)$`)

// split cuts s at each separator that no backslash escapes.
func split(s, separators string) []string {
	var parts []string
	start := 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case strings.IndexByte(separators, s[i]) >= 0:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

// unescape undoes Escape and its hexadecimal form, "\0A".
func unescape(s string) (string, bool) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		if i+1 == len(s) {
			return "", false
		}
		if i+2 < len(s) {
			if octet, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				b = append(b, octet[0])
				i += 2
				continue
			}
		}
		i++
		b = append(b, s[i])
	}
	return string(b), true
}
