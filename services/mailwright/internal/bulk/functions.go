package bulk

import (
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/go-ldap/ldap/v3"
)

const colFunction = "col"

// functions are those of text/template and these. The last argument is the value, so that they can
// stand in a pipe.
func (m *mapping) functions() template.FuncMap {
	return template.FuncMap{
		colFunction: func(string) string { return "" }, // never called: see usage.command
		"lower":     strings.ToLower,
		"upper":     strings.ToUpper,
		"trim":      strings.TrimSpace,
		"replace":   func(old, with, value string) string { return strings.ReplaceAll(value, old, with) },
		"default":   defaultTo,
		"required":  required,
		"dn":        ldap.EscapeDN,
		"date":      m.date,
	}
}

func isBlank(s string) bool { return strings.TrimSpace(s) == "" }

func defaultTo(otherwise, value string) string {
	if isBlank(value) {
		return otherwise
	}
	return value
}

func required(value string) (string, error) {
	if isBlank(value) {
		return "", cellError{"is empty; it is required"}
	}
	return value, nil
}

// isoForms are the dates that have one meaning everywhere.
var isoForms = []string{
	time.RFC3339Nano,
	"2006-01-02T15:04:05",
	"2006-01-02 15:04:05",
	"2006-01-02T15:04",
	"2006-01-02 15:04",
	time.DateOnly,
}

// date writes a date in another form: "date" (2006-01-02), "rfc3339", or a layout of Go. An empty
// cell stays empty.
func (m *mapping) date(form, value string) (string, error) {
	value = strings.TrimSpace(value)
	if value == "" {
		return "", nil
	}
	switch form {
	case "date":
		form = time.DateOnly
	case "rfc3339":
		form = time.RFC3339
	}
	forms := isoForms
	if m.DateFormat != "" {
		forms = append([]string{m.DateFormat}, isoForms...)
	}
	for _, f := range forms {
		if t, err := time.ParseInLocation(f, value, m.zone); err == nil {
			return t.Format(form), nil
		}
	}
	remedy := "; dateformat in the mapping says how other dates are written"
	if m.DateFormat != "" {
		remedy = " or " + m.DateFormat
	}
	return "", cellError{"is no date such as 2026-12-01" + remedy}
}

// wholeNumber checks a whole number; what JSON would not take, such as +5 or 007, is a fault.
func wholeNumber(s string) (string, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return s, err == nil && strconv.FormatInt(n, 10) == s
}

// parseBool reads what spreadsheets write for true and false.
func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "true", "yes", "1":
		return true, true
	case "false", "no", "0":
		return false, true
	}
	return false, false
}
