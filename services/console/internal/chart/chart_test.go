package chart_test

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/console/internal/chart"
)

// sample has a gap, a point alone, and a name that is HTML.
func sample() chart.Chart {
	return chart.Chart{
		ID: "c", Title: "Ended <each hour>", X: []time.Time{time.Unix(0, 0), time.Unix(3600, 0), time.Unix(7200, 0)}, Layout: "15:04",
		Series: []chart.Series{
			{Name: "good & done", Class: "good", Values: []float64{1, math.NaN(), 3}}, {Name: "bad", Class: "bad", Values: []float64{0, 2, 1}},
		},
	}
}

func TestChartsAreWellFormed(t *testing.T) {
	for name, c := range map[string]chart.Chart{"some": sample(), "none": {ID: "n", Title: "Nothing"}} {
		for _, drawn := range []string{string(c.Bars()), string(c.Lines())} {
			for d := xml.NewDecoder(strings.NewReader("<div>" + drawn + "</div>")); ; {
				if _, err := d.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatalf("%s: %v\n%s", name, err, drawn)
				}
			}
			if strings.Contains(drawn, "NaN") || strings.Contains(drawn, "style=") {
				t.Errorf("%s: %s", name, drawn)
			}
		}
	}
}

func TestAChartIsToldInWords(t *testing.T) {
	drawn := string(sample().Bars())
	for _, want := range []string{
		`role="img"`, `<title id="c-t">Ended &lt;each hour&gt;</title>`,
		"good &amp; done: latest 3, highest 3 at 1970-01-01 02:00 UTC; bad: latest 1, highest 2 at 1970-01-01 01:00 UTC.",
	} {
		if !strings.Contains(drawn, want) {
			t.Errorf("%q is missing in %s", want, drawn)
		}
	}
}

func TestAPointAloneShows(t *testing.T) {
	if drawn := string(sample().Lines()); strings.Count(drawn, "<circle") != 2 {
		t.Errorf("the two points of the first series, apart by a gap, are not there: %s", drawn)
	}
}
