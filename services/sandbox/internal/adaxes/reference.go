package adaxes

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
)

// reference is %property[:format][:lower|upper][,count][,char]%, or %% (help page ValueReferences).
var reference = regexp.MustCompile(`%%|%([A-Za-z][A-Za-z0-9-]*)(?::([A-Za-z]*\[[^\]]*\]))?(?::(lower|upper))?(?:,(\d+))?(?:,(.))?%`)

// aliases are the names that Adaxes gives to properties beside the schema's.
var aliases = map[string]string{
	"username": "sAMAccountName", "firstname": "givenName", "lastname": "sn", "fullname": "cn", "email": "mail",
	"logonname": "userPrincipalName",
}

// resolve puts property values in the place of a template's references.
func resolve(template string, value func(property string) string) string {
	return reference.ReplaceAllStringFunc(template, func(ref string) string {
		if ref == "%%" {
			return "%"
		}
		parts := reference.FindStringSubmatch(ref)
		name := parts[1]
		if alias, ok := aliases[strings.ToLower(name)]; ok {
			name = alias
		}
		if attribute, ok := directory.FindAttribute(name); ok {
			name = attribute.Name
		}
		text := value(name)
		switch parts[3] {
		case "lower":
			text = strings.ToLower(text)
		case "upper":
			text = strings.ToUpper(text)
		}
		if parts[4] == "" {
			return text
		}
		return fit(text, parts[4], parts[5])
	})
}

// fit cuts a text to a length, or pads a shorter one.
func fit(text, length, pad string) string {
	n, err := strconv.Atoi(length)
	if err != nil || n > 1024 {
		return text
	}
	runes := []rune(text)
	if len(runes) >= n {
		return string(runes[:n])
	}
	return text + strings.Repeat(pad, n-len(runes))
}

// legalAlias removes what an Exchange alias may not contain, silently, as Adaxes does.
func legalAlias(text string) string {
	kept := strings.Map(func(r rune) rune {
		if r > 126 || r <= ' ' || strings.ContainsRune(`"(),:;<>@[\]`, r) {
			return -1
		}
		return r
	}, text)
	for strings.Contains(kept, "..") {
		kept = strings.ReplaceAll(kept, "..", ".")
	}
	return strings.Trim(kept, ".")
}
