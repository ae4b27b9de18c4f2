package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// PrintJSON writes one document on one line. Control and format characters are escaped: in the
// texts of vendors and publishers they would move a terminal's cursor, or reverse its text.
func (a *App) PrintJSON(v any) error {
	var document bytes.Buffer
	if err := json.NewEncoder(&document).Encode(v); err != nil {
		return err
	}
	_, err := a.Out.Write(EscapeJSON(document.Bytes()))
	return err
}

// EscapeJSON escapes what a terminal would act upon within the strings of a JSON document. Line
// feeds and tabs stay: in valid JSON they stand between its tokens only. What is not UTF-8 becomes
// U+FFFD.
func EscapeJSON(document []byte) []byte {
	if !bytes.ContainsFunc(document, unsafeInTerminal) {
		return document
	}
	var escaped strings.Builder
	for _, r := range string(document) {
		switch {
		case !unsafeInTerminal(r):
			escaped.WriteRune(r)
		case r > maxCodeUnit:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&escaped, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&escaped, `\u%04x`, r)
		}
	}
	return []byte(escaped.String())
}

// PrintError writes what a command failed with. The text may quote what others wrote, so it holds
// no control or format character but line feeds and tabs.
func (a *App) PrintError(err error) {
	text := strings.Map(func(r rune) rune {
		if unsafeInTerminal(r) {
			return ' '
		}
		return r
	}, err.Error())
	_, _ = fmt.Fprintln(a.Err, "mailwright:", text)
}

// maxCodeUnit is the last character that JSON escapes in one piece.
const maxCodeUnit = 0xffff

func unsafeInTerminal(r rune) bool {
	if r == '\n' || r == '\t' {
		return false
	}
	return r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}
