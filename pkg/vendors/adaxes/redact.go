package adaxes

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mailwright/mailwright/pkg/secret"
)

// temporaryPassword matches the documented message: "The temporary password is Rg8^6H#c." (Create directory object, example 2).
var temporaryPassword = regexp.MustCompile(`(?i)temporary password is:?\s+(\S+?)\.?(?:\s|$)`)

// maxText bounds a published text, in runes.
const maxText = 300

// redactor makes the vendor's free text fit to be published. Wordings change with version and language, so it does not rely
// on one: each of its rules alone hides a password that the others might miss, and in doubt a harmless word goes too.
type redactor struct {
	temporary *regexp.Regexp
}

var (
	// namesPassword matches the words that announce a password, in the languages that we thought of.
	namesPassword = regexp.MustCompile(`(?i)passw|pwd|passphrase|passcode|kennwort|wachtwoord|mot de passe|contrase|senha|hasło|heslo|lösen|adgangskode|salasana|parol|парол|密码|パスワード`)
	// assigns matches the end of a text after which a value is to be expected.
	assigns = regexp.MustCompile(`(?i)(^|\s)(is|lautet|ist|est|es|(set|reset|changed) to)$|[:=]$`)
	// plainWord matches what stays readable in a text that names a password: words, also hyphenated ones, small numbers, and signs
	// that stand alone.
	plainWord = regexp.MustCompile(`^(\(?(\p{L}+([-'’]\p{L}+)*|\d{1,4})\)?[.,;:!?]*|[-–=:]+)$`)
	// quoted matches a quotation, but no apostrophe.
	quoted   = regexp.MustCompile(`(^|[\s(:=])['"‘“„«][^'"’”“»]+['"’”“»]([\s.,;:!?)]|$)`)
	address  = regexp.MustCompile(`^[\w.+-]+@[\w-]+(\.[\w-]+)+$`)
	dnPart   = regexp.MustCompile(`(?i)^(CN|OU|DC)=`)
	hostName = regexp.MustCompile(`(?i)^(\w+://|\\\\)|^([a-z0-9-]+\.){2,}[a-z][a-z0-9-]*(:\d+)?$`)
)

// safe returns the first line of text without passwords and host names.
func (r redactor) safe(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(strings.ToValidUTF8(text, "")), "\n")
	if found, ok := r.find(text); ok {
		text = strings.ReplaceAll(text, found, secret.Redacted)
	}
	if namesPassword.MatchString(text) {
		text = quoted.ReplaceAllString(text, "${1}"+secret.Redacted+"${2}")
	}
	words := strings.Fields(text)
	original := slices.Clone(words)
	named, expected := false, false
	for i, word := range original {
		core := strings.TrimFunc(word, func(r rune) bool { return strings.ContainsRune(`'"().,;:`, r) })
		switch {
		case strings.Contains(word, secret.Redacted):
		case named && (expected || !plainWord.MatchString(word)), looksRandom(core):
			words[i] = secret.Redacted
		case hostName.MatchString(core):
			words[i] = "[host]"
		}
		before := strings.Join(original[max(0, i-2):i+1], " ")
		named = named || namesPassword.MatchString(before)
		expected = assigns.MatchString(before)
	}
	if text = strings.Join(words, " "); utf8.RuneCountInString(text) > maxText {
		text = string([]rune(text)[:maxText]) + "…"
	}
	return text
}

// find returns the temporary password in text, if there is one.
func (r redactor) find(text string) (string, bool) {
	m := r.temporary.FindStringSubmatch(text)
	if m == nil || m[1] == "" {
		return "", false
	}
	return m[1], true
}

// looksRandom reports whether a word mixes upper case, lower case, digits and signs as generated passwords do. Mail addresses and DNs
// are spared, as they say what the message is about.
func looksRandom(word string) bool {
	if utf8.RuneCountInString(word) < 6 || address.MatchString(word) || dnPart.MatchString(word) || hresult.MatchString(word) {
		return false
	}
	var upper, lower, digit, sign bool
	for _, r := range word {
		switch {
		case unicode.IsUpper(r):
			upper = true
		case unicode.IsLower(r):
			lower = true
		case unicode.IsDigit(r):
			digit = true
		default:
			sign = true
		}
	}
	return upper && lower && digit && sign
}
