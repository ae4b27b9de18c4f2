package hostedexchange

import (
	"bytes"
	"fmt"
	"mime"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"

	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// unreadableError says that an answer's encoding is not known, or that the answer is not written in
// it. It quotes nothing of the answer but the encoding's name.
type unreadableError struct{ encoding string }

func (e *unreadableError) Error() string {
	return fmt.Sprintf("its characters cannot be read as %s", e.encoding)
}

// declaration matches the XML declaration's encoding (XML 1.0, section 2.8).
var declaration = regexp.MustCompile(`^\s*<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]{0,39})["']`)

// inUTF8 returns an answer's body in UTF-8. The body's encoding is named by the first of these that
// is present (RFC 7303, section 3): a byte order mark, the charset of Content-Type, the XML
// declaration. Without any of them it is UTF-8.
func inUTF8(res *transport.Response) ([]byte, error) {
	name, from, body := encodingOf(res)
	if from == nil {
		return nil, &unreadableError{name}
	}
	if from != encoding.Nop {
		decoded, err := from.NewDecoder().Bytes(body)
		if err != nil || bytes.ContainsRune(decoded, utf8.RuneError) {
			return nil, &unreadableError{name}
		}
		body = decoded
	}
	if !utf8.Valid(body) {
		return nil, &unreadableError{name}
	}
	return body, nil
}

// encodingOf returns the encoding of an answer, [encoding.Nop] for UTF-8 and nil for an unknown
// one, and the body without its byte order mark.
func encodingOf(res *transport.Response) (name string, from encoding.Encoding, body []byte) {
	body = res.Body
	for _, mark := range []struct {
		bytes, name string
		from        encoding.Encoding
		keep        bool // they are no mark, but the first character
	}{
		{"\xef\xbb\xbf", "UTF-8", encoding.Nop, false},
		{"\xff\xfe", "UTF-16", unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), false},
		{"\xfe\xff", "UTF-16", unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), false},
		{"<\x00", "UTF-16", unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), true},
		{"\x00<", "UTF-16", unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), true},
	} {
		if bytes.HasPrefix(body, []byte(mark.bytes)) {
			if !mark.keep {
				body = body[len(mark.bytes):]
			}
			return mark.name, mark.from, body
		}
	}
	name = "UTF-8"
	_, parameters, _ := mime.ParseMediaType(res.Header.Get("Content-Type")) // a wrong one has none
	if charset := parameters["charset"]; charset != "" {
		name = charset
	} else if found := declaration.FindSubmatch(body[:min(len(body), 256)]); found != nil {
		name = string(found[1])
	}
	if strings.EqualFold(name, "UTF-8") {
		return name, encoding.Nop, body
	}
	from, err := ianaindex.IANA.Encoding(name)
	if err != nil || !encodingName.MatchString(name) {
		return "an unknown encoding", nil, body
	}
	return name, from, body // nil where the name is known and the encoding is not
}

var encodingName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]{0,39}$`)
