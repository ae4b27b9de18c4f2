package erasure

import (
	"encoding/json"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

// Matcher finds texts that name a person, such as a mail address, in what a message holds. It finds
// them as whole words, in any case of letters: alex@contoso.com is not found in
// malex@contoso.com or alex@contoso.com.au.
type Matcher struct{ words []string }

// NewMatcher returns a Matcher of texts, which must not be empty.
func NewMatcher(texts []string) Matcher {
	var m Matcher
	for _, t := range texts {
		m.words = append(m.words, strings.ToLower(t))
	}
	return m
}

// Message reports whether the subject, a header or the body of a message names the person.
func (m Matcher) Message(subject string, header nats.Header, body []byte) bool {
	for token := range strings.SplitSeq(subject, ".") {
		if m.Text(token) {
			return true
		}
	}
	for _, values := range header {
		for _, v := range values {
			if m.Text(v) {
				return true
			}
		}
	}
	return m.Body(body)
}

// Body reports whether a JSON text, or any other one, names the person.
func (m Matcher) Body(body []byte) bool {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return m.Text(string(body))
	}
	return m.value(v)
}

func (m Matcher) value(v any) bool {
	switch v := v.(type) {
	case string:
		return m.Text(v)
	case []any:
		for _, item := range v {
			if m.value(item) {
				return true
			}
		}
	case map[string]any:
		for name, member := range v {
			if m.Text(name) || m.value(member) {
				return true
			}
		}
	}
	return false
}

// Text reports whether a text names the person, as it is or percent-encoded, as in the token of a
// key.
func (m Matcher) Text(text string) bool {
	if m.plain(text) {
		return true
	}
	if !strings.Contains(text, "%") {
		return false
	}
	decoded, err := url.PathUnescape(text)
	return err == nil && m.plain(decoded)
}

func (m Matcher) plain(text string) bool {
	text = strings.ToLower(text)
	for _, word := range m.words {
		for from := 0; ; {
			i := strings.Index(text[from:], word)
			if i < 0 {
				break
			}
			begin, end := from+i, from+i+len(word)
			if !begunBefore(text[:begin]) && !goesOn(text[end:]) {
				return true
			}
			from = begin + 1
		}
	}
	return false
}

// begunBefore reports whether the text before a word belongs to it.
func begunBefore(before string) bool {
	r, size := utf8.DecodeLastRuneInString(before)
	return size > 0 && (isLetter(r) || strings.ContainsRune("._+-", r))
}

// goesOn reports whether the text behind a word belongs to it. A full stop that nothing follows
// ends a sentence.
func goesOn(behind string) bool {
	r, size := utf8.DecodeRuneInString(behind)
	if size > 0 && strings.ContainsRune(".-_", r) {
		r, size = utf8.DecodeRuneInString(behind[size:])
	}
	return size > 0 && isLetter(r)
}

func isLetter(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
