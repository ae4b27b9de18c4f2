package adaxes

import (
	"fmt"
	"strings"
	"time"
)

// Span is when something happened, as far as the vendor's text tells: not before Earliest and not
// after Latest, both in UTC.
type Span struct{ Earliest, Latest time.Time }

// The zones of the world lie between UTC-12 and UTC+14. A time without a zone is taken to lie up to
// 14 hours off, either way.
const zoneSpread = 14 * time.Hour

// layouts are the forms in which .NET and directories write a time. Go's parser takes fractions of
// a second behind the seconds of each.
var layouts = []struct {
	layout string
	zoned  bool
	// precision is the length of time that one text stands for.
	precision time.Duration
}{
	{"2006-01-02T15:04:05Z07:00", true, 0}, // the page's form
	{"2006-01-02T15:04:05", false, 0},      // .NET, where the kind of time is unspecified
	{"2006-01-02T15:04:05Z0700", true, 0},
	{"2006-01-02 15:04:05Z07:00", true, 0},
	{"2006-01-02 15:04:05", false, 0},
	{"20060102150405Z0700", true, 0}, // LDAP's generalized time (RFC 4517 section 3.3.13)
	{"20060102150405", false, 0},
	{"200601021504Z0700", true, time.Minute},
	{"2006-01-02", false, 24 * time.Hour},
}

// ParseTime reads the value of a time property such as whenCreated, in the page's form (ISO 8601
// with an offset) or in one of those that .NET and directories use instead.
func ParseTime(text string) (Span, error) {
	text = strings.TrimSpace(text)
	for _, l := range layouts {
		t, err := time.Parse(l.layout, text)
		if err != nil {
			continue
		}
		s := Span{t.UTC(), t.UTC().Add(l.precision)}
		if !l.zoned {
			s.Earliest, s.Latest = s.Earliest.Add(-zoneSpread), s.Latest.Add(zoneSpread)
		}
		return s, nil
	}
	return Span{}, fmt.Errorf("%d characters are no time", len(text))
}
