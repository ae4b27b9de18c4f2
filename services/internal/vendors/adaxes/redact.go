package adaxes

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mailwright/mailwright/pkg/secret"
)

// temporaryPassword matches the documented message: "The temporary password is Rg8^6H#c." (Create
// directory object, example 2).
var temporaryPassword = regexp.MustCompile(`(?i)temporary password is:?\s+(\S+?)\.?(?:\s|$)`)

// maxText bounds a published text, in runes.
const maxText = 300

// redactor makes the vendor's free text fit to be published. It hides the secrets that were sent,
// wherever they stand. It does not know the passwords that the vendor generated. So it hides a
// value that a text assigns to a password, and a word that can only be a generated password. It
// leaves ordinary words, names and DNs, since a warning without its "not" says the opposite.
type redactor struct {
	secrets   []secret.String // of the request
	temporary *regexp.Regexp
}

// passwordWord matches the words for a password in the languages that we thought of.
const passwordWord = `(?:\pL*(?:passw|pwd|passphrase|passcode|kennwort|wachtwoord|contrase|senha|hasło|heslo|lösen|` +
	`adgangskode|salasana|parol|парол|密码|パスワード)\pL*|mot de passe)`

var (
	namesPassword = regexp.MustCompile(`(?i)` + passwordWord)
	// assigned, equals and colon match a value that is assigned to a password: one in quotation
	// marks, one behind "=", one behind ":" or "set to". The last is one only if its clause ends
	// there: "password: it is too short" holds none.
	assigned = regexp.MustCompile(`(?i)(` + passwordWord + `["']?\s*(?:[:=]|\s(?:is|lautet|ist|est|es|(?:was |is )?(?:set|reset|changed) to):?)?\s*)` +
		`(?:"[^"]+"|'[^']+'|“[^”]+”|„[^“”]+[“”]|«[^»]+»)`)
	equals = regexp.MustCompile(`(?i)(` + passwordWord + `["']?\s*=\s*)[^\s"'\[][^\s]*`)
	colon  = regexp.MustCompile(`(?i)(` + passwordWord + `["']?(?:\s*:|\s(?:was |is )?(?:set|reset|changed) to:?)\s*)` +
		`[^\s"'.,;:!\[]+([.,;:!]+(?:\s|$)|\s*$|\s+\()`)

	// distinguishedName matches the DN of an object in Active Directory, which ends with its
	// domain.
	distinguishedName = regexp.MustCompile(`(?i)\b(?:(?:CN|OU)=(?:\\.|[^,\\=])+,\s*)+(?:DC=[\w-]+,\s*)*DC=[\w-]+`)
	// plainWord matches words, also hyphenated and joined ones, small numbers, dates and times, and
	// signs that stand alone.
	plainWord = regexp.MustCompile(`^(?:\p{L}+(?:[-'’/]\p{L}+)*|\d{1,4}(?:[.,:/-]\d{1,4})*(?:-\p{L}+)?|[-–=:+/&]+)$`)
	address   = regexp.MustCompile(`^[\w.+-]+@[\w-]+(?:\.[\w-]+)+$`)
	logonName = regexp.MustCompile(`^[A-Z0-9-]+\\[\w.-]+$`)
	guidOrSID = regexp.MustCompile(`(?i)^\{?(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|S-1(?:-\d+)+)\}?$`)
	dnPart    = regexp.MustCompile(`(?i)^(?:CN|OU|DC)=[\pL\d_-]*$`)
	hostName  = regexp.MustCompile(`(?i)^(?:\w+://|\\\\)|^(?:[a-z0-9-]+\.){2,}[a-z][a-z0-9-]*(?::\d+)?$`)
)

// safe returns the first line of text without passwords and host names.
func (r redactor) safe(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(strings.ToValidUTF8(text, "")), "\n")
	text = secret.Hide(text, r.secrets...)
	if found, ok := r.find(text); ok {
		text = strings.ReplaceAll(text, found, secret.Redacted)
	}
	names := namesPassword.MatchString(text)
	if names {
		for _, form := range []*regexp.Regexp{assigned, equals} {
			text = form.ReplaceAllString(text, "${1}"+secret.Redacted)
		}
		text = colon.ReplaceAllString(text, "${1}"+secret.Redacted+"${2}")
	}
	text = inWords(text, names)
	if utf8.RuneCountInString(text) > maxText {
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

// inWords hides the words of a text that may be passwords. DNs are kept whole, but for values in
// them that a directory would not hold.
func inWords(text string, namesPassword bool) string {
	var out strings.Builder
	from := 0
	for _, at := range distinguishedName.FindAllStringIndex(text, -1) {
		name := text[at[0]:at[1]]
		if strings.ContainsFunc(name, isOddSign) {
			continue
		}
		out.WriteString(words(text[from:at[0]], namesPassword) + name)
		from = at[1]
	}
	out.WriteString(words(text[from:], namesPassword))
	return strings.Join(strings.Fields(out.String()), " ")
}

// isOddSign reports whether a character is a sign that names in a directory hardly ever hold, and
// generated passwords do.
func isOddSign(r rune) bool { return strings.ContainsRune("^#!%*$?~`|<>{}[]", r) }

// words hides single words whole, with the signs at their ends, and keeps the spaces around them.
func words(text string, namesPassword bool) string {
	return word.ReplaceAllStringFunc(text, func(w string) string {
		core := strings.TrimFunc(w, func(r rune) bool { return strings.ContainsRune(`'"“”„«»().,;:!?`, r) })
		switch {
		case strings.Contains(w, secret.Redacted), core == "":
			return w
		case hostName.MatchString(core):
			return "[host]"
		case isName(core):
			return w
		case namesPassword && !plainWord.MatchString(core), looksRandom(core):
			return secret.Redacted
		}
		return w
	})
}

var word = regexp.MustCompile(`\S+`)

// isName reports whether a word is the name or the number of something that a message is about.
func isName(word string) bool {
	for _, form := range []*regexp.Regexp{address, logonName, guidOrSID, dnPart, hresult} {
		if form.MatchString(word) {
			return true
		}
	}
	return false
}

// looksRandom reports whether a word mixes upper case, lower case, digits and signs as generated
// passwords do.
func looksRandom(word string) bool {
	if utf8.RuneCountInString(word) < 6 {
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
