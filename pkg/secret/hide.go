package secret

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"
)

// leastHidden is the shortest secret that is looked for, in bytes: to hide shorter ones would shred honest words, and so betray them.
const leastHidden = 6

// Hide returns text with [Redacted] in the place of every secret, however JSON, XML, HTML or URLs may have escaped it.
func Hide(text string, secrets ...String) string {
	return string(HideBytes([]byte(text), secrets...))
}

// HideBytes is [Hide] for bytes. It returns text itself where there is nothing to hide.
func HideBytes(text []byte, secrets ...String) []byte {
	for _, s := range secrets {
		for _, form := range s.forms() {
			if bytes.Contains(text, form) {
				text = bytes.ReplaceAll(text, form, []byte(Redacted))
			}
		}
	}
	return text
}

// forms are the ways in which an answer may spell the secret, the longest first; none for one that is too short.
func (s String) forms() [][]byte {
	value := s.Reveal()
	if len(value) < leastHidden {
		return nil
	}
	quoted, _ := json.Marshal(value) // of a string: never fails
	forms := []string{value, strings.Trim(string(quoted), `"`), dotNetJSON(value), html.EscapeString(value), url.QueryEscape(value), url.PathEscape(value)}
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	var out [][]byte
	for _, form := range slices.Compact(forms) {
		out = append(out, []byte(form))
	}
	return out
}

// dotNetJSON escapes as System.Text.Json does, in which the vendors' servers are written: more than JSON asks for.
func dotNetJSON(value string) string {
	var b strings.Builder
	for _, r := range value {
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case strings.ContainsRune("\"'&+<>`", r), r > 126 && r < 0x10000:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
