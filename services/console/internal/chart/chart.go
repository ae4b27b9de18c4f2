// Package chart draws small charts as SVG, without scripts and without inline styles: colours come
// from the style sheet, by the class of a series. Each chart has a title and a description, which
// screen readers read in its place.
package chart

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
)

// Series is one line, area or row of bars.
type Series struct {
	// Name stands in the legend; Class is a class of the style sheet: good, bad, wait, busy, doubt,
	// calm.
	Name, Class string
	// Values has one value for each point of the chart's X; NaN: none.
	Values []float64
}

// Chart is what is drawn.
type Chart struct {
	// ID is unique on its page. Title says what is drawn, such as "Operations ended in each hour".
	ID, Title string
	X         []time.Time
	// Layout words a time below the axis, as time.Format takes it.
	Layout string
	// Unit words a value: of the axis and of the description. The default is plain numbers.
	Unit   func(float64) string
	Series []Series
}

// Size of a chart in its own units, and of what stands around the drawing.
const (
	width, height              = 640, 200
	left, right, top, bottom   = 52, 8, 10, 22
	plotWidth, plotHeight      = width - left - right, height - top - bottom
	horizontalLines, timeMarks = 4, 6
)

// Bars draws the series on top of each other, a bar for each time.
func (c Chart) Bars() template.HTML {
	var highest float64
	for i := range c.X {
		var sum float64
		for _, s := range c.Series {
			sum += orZero(s.Values[i])
		}
		highest = max(highest, sum)
	}
	scale := nice(highest)
	var w strings.Builder
	c.open(&w, scale)
	step := float64(plotWidth) / float64(max(len(c.X), 1))
	gap := min(step*.25, 4)
	for i := range c.X {
		base := 0.0
		for _, s := range c.Series {
			value := orZero(s.Values[i])
			if value <= 0 {
				continue
			}
			y := position(base+value, scale)
			fmt.Fprintf(&w, `<rect class="bar %s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s</title></rect>`, s.Class,
				left+float64(i)*step+gap/2, y, step-gap, position(base, scale)-y,
				template.HTMLEscapeString(c.X[i].UTC().Format("2006-01-02 15:04")+" UTC: "+c.word(value)+" "+s.Name))
			base += value
		}
	}
	return c.close(&w)
}

// Lines draws a line for each series, the first with an area below it.
func (c Chart) Lines() template.HTML {
	var highest float64
	for _, s := range c.Series {
		for _, v := range s.Values {
			highest = max(highest, orZero(v))
		}
	}
	scale := nice(highest)
	var w strings.Builder
	c.open(&w, scale)
	for n, s := range c.Series {
		if n == 0 {
			for _, run := range c.runs(s, scale) {
				first, _, _ := strings.Cut(run[0], ",")
				end, _, _ := strings.Cut(run[len(run)-1], ",")
				fmt.Fprintf(&w, `<polygon class="area %s" points="%s,%d %s %s,%d"/>`, s.Class, first, height-bottom, strings.Join(run, " "), end, height-bottom)
			}
		}
		for _, run := range c.runs(s, scale) {
			if len(run) == 1 { // a line of one point does not show
				x, y, _ := strings.Cut(run[0], ",")
				fmt.Fprintf(&w, `<circle class="bar %s" cx="%s" cy="%s" r="3"/>`, s.Class, x, y)
				continue
			}
			fmt.Fprintf(&w, `<polyline class="line %s" points="%s"/>`, s.Class, strings.Join(run, " "))
		}
	}
	return c.close(&w)
}

// runs are the points of a series, apart where values are missing.
func (c Chart) runs(s Series, scale float64) [][]string {
	step := float64(plotWidth) / float64(max(len(c.X)-1, 1))
	var all [][]string
	var run []string
	for i, v := range s.Values {
		if math.IsNaN(v) {
			if run != nil {
				all, run = append(all, run), nil
			}
			continue
		}
		run = append(run, fmt.Sprintf("%.1f,%.1f", left+float64(i)*step, position(v, scale)))
	}
	if run != nil {
		all = append(all, run)
	}
	return all
}

func (c Chart) open(w *strings.Builder, scale float64) {
	fmt.Fprintf(w, `<svg class="chart" viewBox="0 0 %d %d" role="img" aria-labelledby="%s-t %s-d" preserveAspectRatio="xMidYMid meet">`, width, height, c.ID, c.ID)
	fmt.Fprintf(w, `<title id="%s-t">%s</title><desc id="%s-d">%s</desc>`, c.ID, template.HTMLEscapeString(c.Title), c.ID, template.HTMLEscapeString(c.describe()))
	for i := range horizontalLines + 1 {
		value := scale * float64(i) / horizontalLines
		y := position(value, scale)
		fmt.Fprintf(w, `<line class="axis" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, left, width-right, y, y)
		if i%2 == 0 {
			fmt.Fprintf(w, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`, left-6, y+4, template.HTMLEscapeString(c.word(value)))
		}
	}
	if len(c.X) == 0 {
		return
	}
	every := max(1, (len(c.X)+timeMarks-1)/timeMarks)
	step := float64(plotWidth) / float64(max(len(c.X), 1))
	for i := 0; i < len(c.X); i += every {
		fmt.Fprintf(w, `<text x="%.1f" y="%d" text-anchor="start">%s</text>`, left+float64(i)*step, height-6, c.X[i].UTC().Format(c.Layout))
	}
}

// close ends the drawing, with a legend where there is more than one series.
func (c Chart) close(w *strings.Builder) template.HTML {
	w.WriteString("</svg>")
	if len(c.Series) > 1 {
		w.WriteString(`<ul class="legend" aria-hidden="true">`)
		for _, s := range c.Series {
			fmt.Fprintf(w, `<li class="%s">%s</li>`, s.Class, template.HTMLEscapeString(s.Name))
		}
		w.WriteString("</ul>")
	}
	return template.HTML(w.String()) //nolint:gosec // texts were escaped, classes are constants
}

// describe says in words what the chart shows: the latest value of each series, and the highest.
func (c Chart) describe() string {
	if len(c.X) == 0 {
		return "No data."
	}
	var parts []string
	for _, s := range c.Series {
		highest, at, latest := math.NaN(), 0, math.NaN()
		for i, v := range s.Values {
			if math.IsNaN(v) {
				continue
			}
			latest = v
			if math.IsNaN(highest) || v > highest {
				highest, at = v, i
			}
		}
		if math.IsNaN(highest) {
			parts = append(parts, s.Name+": no data")
			continue
		}
		parts = append(parts, fmt.Sprintf("%s: latest %s, highest %s at %s UTC", s.Name, c.word(latest), c.word(highest), c.X[at].UTC().Format("2006-01-02 15:04")))
	}
	return strings.Join(parts, "; ") + "."
}

func (c Chart) word(v float64) string {
	if c.Unit != nil {
		return c.Unit(v)
	}
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'f', -1, 64) + " M"
	case v >= 1e4:
		return strconv.FormatFloat(v/1e3, 'f', -1, 64) + " k"
	}
	return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
}

func position(v, scale float64) float64 {
	return top + plotHeight*(1-v/scale)
}

func orZero(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}

// nice is the least of 1, 2, 4 or 8 times a power of ten that is not below v.
func nice(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 4, 8} {
		if v <= m*power {
			return m * power
		}
	}
	return 10 * power
}
