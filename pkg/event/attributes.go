package event

import (
	"encoding/json"
	"mime"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// form reads the value of an attribute: text in binary mode; text, a boolean or a json.Number in
// structured mode. normal is nil where the attribute counts as absent. problem says what would be
// right, and never repeats the value.
type form func(value any) (normal any, problem string)

// attributes is the table of the envelope: what may stand in each attribute, in either mode. Their
// lengths, and which of them have to be there, stand in cloudevent.json.
var attributes = map[string]form{
	"specversion":     text,
	"id":              text,
	"source":          text,
	"type":            text,
	"subject":         text,
	"time":            timestamp,
	"datacontenttype": jsonMedia,
	"dataschema":      absoluteURI,
	"data":            nothing,

	AttrTenantID:      text,
	AttrCorrelationID: text,
	AttrCausationID:   text,
	AttrTraceParent:   text,
	AttrTraceState:    text,
	AttrAuthType:      text,
	AttrAuthID:        text,
	AttrAuthClaims:    objectText,
	AttrDryRun:        boolean,
	AttrNotBefore:     timestamp,
	AttrExpiryTime:    timestamp,
}

// formOf gives the form of an attribute. One that is not in the table is an extension of somebody
// else's.
func formOf(name string) form {
	if f, ok := attributes[name]; ok {
		return f
	}
	if !isAttributeName(name) {
		return noName
	}
	return extension
}

const maxAttributeName = 64

// isAttributeName says whether the specification allows a name (section "Attribute Naming
// Convention").
func isAttributeName(name string) bool {
	outside := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }
	return name != "" && len(name) <= maxAttributeName && !strings.ContainsFunc(name, outside)
}

func nothing(any) (any, string) { return nil, "cannot be an attribute: the data is the body" }

func noName(any) (any, string) {
	return nil, "cannot be the name of an attribute; use the letters a to z and digits, at most " + strconv.Itoa(maxAttributeName)
}

// text is a CloudEvents String. Empty or blank text counts as absent.
func text(value any) (any, string) {
	s, ok := value.(string)
	switch {
	case !ok:
		return nil, "must be text"
	case !utf8.ValidString(s):
		return nil, "is not UTF-8"
	case strings.ContainsFunc(s, unicode.IsControl):
		return nil, "has a control character"
	case strings.TrimSpace(s) == "":
		return nil, ""
	default:
		return value, ""
	}
}

// objectText is a JSON object as text.
func objectText(value any) (any, string) {
	s, problem := text(value)
	if problem != "" || s == nil {
		return s, problem
	}
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(s.(string)), &object) != nil {
		return nil, "must be a JSON object as text"
	}
	return s, ""
}

func boolean(value any) (any, string) {
	switch v := value.(type) {
	case bool:
		return v, ""
	case string:
		if strings.EqualFold(v, "true") {
			return true, ""
		}
		if strings.EqualFold(v, "false") {
			return false, ""
		}
	}
	return nil, "must be true or false, as a boolean or as text"
}

func timestamp(value any) (any, string) {
	if s, ok := value.(string); !ok || instant(s).IsZero() {
		return nil, "must be a time as RFC 3339 has it, with a zone, such as 2026-11-21T09:00:00Z"
	}
	return value, ""
}

// instant reads an RFC 3339 time; zero where it is none. The standard library also takes an hour of
// one digit, and a comma before a fraction of a second.
func instant(s string) time.Time {
	const hour = len("2006-01-02T15")
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || s[hour] != ':' || strings.Contains(s, ",") {
		return time.Time{}
	}
	return t
}

func absoluteURI(value any) (any, string) {
	s, problem := text(value)
	if problem != "" || s == nil {
		return s, problem
	}
	if u, err := url.Parse(s.(string)); err != nil || !u.IsAbs() {
		return nil, "must be an absolute URI"
	}
	return s, ""
}

// jsonMedia is the media type of JSON: */json or */*+json, in any case of letters (JSON event
// format, section 3.1.1).
func jsonMedia(value any) (any, string) {
	s, problem := text(value)
	if problem != "" || s == nil || s == contentTypeJSON {
		return s, problem
	}
	media, parameters, err := mime.ParseMediaType(s.(string))
	_, subtype, _ := strings.Cut(media, "/")
	if err != nil || (subtype != "json" && !strings.HasSuffix(subtype, "+json")) {
		return nil, "must be application/json, or another media type whose name ends in json"
	}
	if charset, given := parameters["charset"]; given && !strings.EqualFold(charset, "utf-8") {
		return nil, "must have the charset utf-8, or none"
	}
	return s, ""
}

// extension is a value of an attribute that Mailwright does not know: a String, a Boolean or an
// Integer of 32 bits.
func extension(value any) (any, string) {
	switch v := value.(type) {
	case bool:
		return v, ""
	case string:
		return text(v)
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 32); err == nil {
			return int32(n), ""
		}
	}
	return nil, "must be text, a boolean or an integer of 32 bits"
}
