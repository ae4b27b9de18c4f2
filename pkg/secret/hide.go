package secret

import (
	"bytes"
	"html"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// minHidden is the shortest secret that is looked for, in bytes. To hide shorter ones would shred
// honest words, and so betray them.
const minHidden = 6

// Hide returns text with [Redacted] in the place of every secret, however JSON, XML, HTML or URLs
// may have escaped it: each character counts in each of its spellings, also where one answer mixes
// them. Letters and digits of ASCII have one spelling, their own, since no encoder escapes them.
func Hide(text string, secrets ...String) string {
	return string(HideBytes([]byte(text), secrets...))
}

// HideBytes is [Hide] for bytes. It returns text itself where there is nothing to hide.
func HideBytes(text []byte, secrets ...String) []byte {
	for _, s := range secrets {
		if value := s.Reveal(); len(value) >= minHidden && bytes.Contains(text, anchor(value)) {
			text = hide(text, []rune(value))
		}
	}
	return text
}

// anchor is the longest run of letters and digits in a secret. A text without it does not hold the
// secret, which spares most texts the slow search.
func anchor(value string) []byte {
	var longest, run []byte
	for i := range len(value) {
		if !isPlain(value[i]) {
			run = nil
			continue
		}
		if run = append(run, value[i]); len(run) > len(longest) {
			longest = run
		}
	}
	return longest
}

func isPlain(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// hide replaces every spelling of a secret.
func hide(text []byte, value []rune) []byte {
	var out []byte
	kept := 0 // what lies before it is in out already
	for at := 0; at < len(text); {
		end := spelledAt(text, at, value)
		if end == 0 {
			at++
			continue
		}
		out = append(append(out, text[kept:at]...), Redacted...)
		at, kept = end, end
	}
	if kept == 0 {
		return text
	}
	return append(out, text[kept:]...)
}

// spelledAt returns the end of a spelling of the secret that begins at a place; 0 for none.
//
// It keeps every place where the characters so far may end, since "\\" may be one character or two.
// That bounds the work by the product of both lengths, whatever the text.
func spelledAt(text []byte, at int, value []rune) (end int) {
	ends, next := []int{at}, []int(nil)
	for _, r := range value {
		next = next[:0]
		for _, e := range ends {
			for _, length := range spellings(text[e:], r) {
				if length > 0 && (len(next) == 0 || next[len(next)-1] < e+length) {
					next = append(next, e+length)
				}
			}
		}
		if len(next) == 0 {
			return 0
		}
		ends, next = next, ends
	}
	return ends[len(ends)-1]
}

// spellings returns the lengths of the spellings of a character with which a text begins, the
// shorter first; 0 where there is none.
func spellings(text []byte, r rune) [2]int {
	if len(text) == 0 {
		return [2]int{}
	}
	var lengths [2]int
	if literal, size := utf8.DecodeRune(text); literal == r {
		lengths[0] = size
	}
	escaped, size := rune(-1), 0
	switch text[0] {
	case '\\':
		escaped, size = jsonEscape(text)
	case '&':
		escaped, size = entity(text)
	case '%':
		escaped, size = percent(text)
	case '+':
		escaped, size = ' ', 1
	}
	if size > 0 && escaped == r {
		lengths[1] = size
	}
	return lengths
}

// jsonEscape reads a JSON escape (RFC 8259 section 7). A character beyond U+FFFF is a pair of them.
func jsonEscape(text []byte) (r rune, size int) {
	if len(text) < 2 {
		return 0, 0
	}
	if short := bytes.IndexByte([]byte(`"\/bfnrt`), text[1]); short >= 0 {
		return rune("\"\\/\b\f\n\r\t"[short]), 2
	}
	first, ok := unit(text)
	if !ok || !utf16.IsSurrogate(first) {
		return first, map[bool]int{true: 6}[ok]
	}
	if second, ok := unit(text[6:]); ok {
		return utf16.DecodeRune(first, second), 12
	}
	return 0, 0
}

// unit reads one \uXXXX.
func unit(text []byte) (r rune, ok bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(n), err == nil
}

// maxEntity bounds a character reference of HTML or XML, in bytes: &#0000000034; has 13.
const maxEntity = 16

// entity reads a character reference of HTML or XML: &quot; &#34; &#x22;.
func entity(text []byte) (r rune, size int) {
	end := bytes.IndexByte(text[:min(len(text), maxEntity)], ';')
	if end < 0 {
		return 0, 0
	}
	r, _ = utf8.DecodeRuneInString(html.UnescapeString(string(text[:end+1])))
	if r == '&' && !bytes.EqualFold(text[:end+1], []byte("&amp;")) && text[1] != '#' {
		return 0, 0 // no reference
	}
	return r, end + 1
}

// percent reads a character of a URL: %22, or several for one beyond ASCII.
func percent(text []byte) (r rune, size int) {
	var decoded []byte
	for ; len(decoded) < utf8.UTFMax && len(text) >= 3 && text[0] == '%'; text = text[3:] {
		n, err := strconv.ParseUint(string(text[1:3]), 16, 8)
		if err != nil {
			break
		}
		decoded = append(decoded, byte(n))
	}
	if len(decoded) == 0 {
		return 0, 0
	}
	r, size = utf8.DecodeRune(decoded)
	return r, 3 * size
}
