package hostedexchange_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/hostedexchange"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// TestAnswersInOtherEncodings: the user's name and an error arrive whole, whatever the answer is
// written in and whoever says so; a password that is echoed is not in either.
func TestAnswersInOtherEncodings(t *testing.T) {
	t.Parallel()
	const (
		answer = `<response><data><user path="LDAP://CN=Jörg Müller,DC=x" name="Jörg ` + password + `"/></data></response>`
		denied = `<response><errorContext code="0x80070005" description="Zugriff verweigert für Jörg"/></response>`
	)
	utf16 := func(order unicode.Endianness, mark unicode.BOMPolicy) encoding.Encoding {
		return unicode.UTF16(order, mark)
	}
	tests := map[string]struct {
		contentType, declared string
		from                  encoding.Encoding
	}{
		"utf-8":                              {"", "", encoding.Nop},
		"utf-8, declared":                    {"text/xml", "utf-8", encoding.Nop},
		"utf-8 with a mark":                  {"", "", unicode.UTF8BOM},
		"utf-8 with a mark, declared else":   {"text/xml; charset=iso-8859-1", "utf-16", unicode.UTF8BOM},
		"utf-16 little-endian, mark":         {"text/xml", "utf-16", utf16(unicode.LittleEndian, unicode.UseBOM)},
		"utf-16 big-endian, mark":            {"text/xml", "UTF-16", utf16(unicode.BigEndian, unicode.UseBOM)},
		"utf-16, mark, header says utf-8":    {"text/xml; charset=utf-8", "utf-16", utf16(unicode.LittleEndian, unicode.UseBOM)},
		"utf-16 little-endian, without mark": {"", "utf-16", utf16(unicode.LittleEndian, unicode.IgnoreBOM)},
		"utf-16 big-endian, without mark":    {"", "", utf16(unicode.BigEndian, unicode.IgnoreBOM)},
		"latin 1, declared":                  {"text/xml", "ISO-8859-1", charmap.ISO8859_1},
		"latin 1, header":                    {`text/xml; charset="iso-8859-1"`, "", charmap.ISO8859_1},
		"latin 1, header wins":               {"text/xml; charset=iso-8859-1", "utf-8", charmap.ISO8859_1},
		"windows-1252, declared":             {"", "windows-1252", charmap.Windows1252},
		"windows-1252, header":               {"text/xml; charset=Windows-1252", "", charmap.Windows1252},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			create := func(status int, document string) (hostedexchange.CreatedUser, error) {
				if tt.declared != "" {
					document = `<?xml version="1.0" encoding="` + tt.declared + `"?>` + document
				}
				body, err := tt.from.NewEncoder().Bytes([]byte(document))
				if err != nil {
					t.Fatal(err)
				}
				return newClient(t, hostedexchange.Config{URL: "http://vendor.test/", HTTP: transport.Config{
					RoundTripper: roundTripper(func(*http.Request) (*http.Response, error) {
						return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {tt.contentType}}, Body: io.NopCloser(bytes.NewReader(body))}, nil
					}),
				}}).CreateBusinessUser(t.Context(), bob())
			}
			user, err := create(200, answer)
			if err != nil || user.Path != "LDAP://CN=Jörg Müller,DC=x" || user.Name != "Jörg [redacted]" {
				t.Errorf("%+v, %v", user, err)
			}
			if _, err := create(500, denied); failure.Of(err).Code != "0x80070005" {
				t.Errorf("an error's code is lost: %v", err)
			}
		})
	}
}
