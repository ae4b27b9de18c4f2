package adaxes_test

import (
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
)

func TestParseTime(t *testing.T) {
	t.Parallel()
	noon := time.Date(2019, 3, 4, 12, 12, 12, 0, time.UTC)
	exact := adaxes.Span{Earliest: noon, Latest: noon}
	zoneless := adaxes.Span{Earliest: noon.Add(-14 * time.Hour), Latest: noon.Add(14 * time.Hour)}
	fraction := func(s adaxes.Span) adaxes.Span {
		return adaxes.Span{Earliest: s.Earliest.Add(500 * time.Millisecond), Latest: s.Latest.Add(500 * time.Millisecond)}
	}
	day := time.Date(2019, 3, 4, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]adaxes.Span{
		"2019-03-04T12:12:12Z":         exact,
		"2019-03-04T15:12:12+03:00":    exact,
		"2019-03-04T15:12:12+0300":     exact,
		"2019-03-04T12:12:12.5000000Z": fraction(exact),
		" 2019-03-04T12:12:12Z ":       exact,
		"2019-03-04 12:12:12Z":         exact,
		"20190304121212Z":              exact,
		"20190304121212.0Z":            exact,
		"20190304121212,0Z":            exact,
		"20190304151212.0+0300":        exact,
		"2019-03-04T12:12:12":          zoneless,
		"2019-03-04T12:12:12.5000000":  fraction(zoneless),
		"2019-03-04 12:12:12":          zoneless,
		"20190304121212.0":             zoneless,
		"201903041212Z":                {Earliest: noon.Truncate(time.Minute), Latest: noon.Truncate(time.Minute).Add(time.Minute)},
		"2019-03-04":                   {Earliest: day.Add(-14 * time.Hour), Latest: day.Add(38 * time.Hour)},
	} {
		if got, err := adaxes.ParseTime(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "04.03.2019 12:12:12", "3/4/2019 12:12:12 PM", "131960287320000000", "2019-13-04", "2019"} {
		if got, err := adaxes.ParseTime(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}
