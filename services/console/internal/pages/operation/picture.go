package operation

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/console/internal/page"
	"github.com/mailwright/mailwright/services/internal/explain"
)

// segment is a stretch of time in which the same went on.
type segment struct {
	phase    explain.Phase
	from, to time.Time
	text     string
	future   bool
}

// segments are the stretches between the moments: a wait ends when its time has come, and the call
// of the next attempt begins then.
func segments(moments []explain.Moment, now time.Time) (list []segment) {
	var past, future []explain.Moment
	for _, m := range moments {
		if m.Future {
			future = append(future, m)
		} else if m.State != explain.StateDead {
			past = append(past, m)
		}
	}
	for i, m := range past {
		end := now
		if i+1 < len(past) {
			end = past[i+1].At
		}
		if m.Phase == explain.PhaseEnded || !end.After(m.At) {
			continue
		}
		waits := m.Phase == explain.PhaseWaiting || m.Phase == explain.PhaseUnknown
		if due := m.Until; waits && due != nil && due.Before(end) && due.After(m.At) && i+1 < len(past) {
			list = append(list, segment{phase: m.Phase, from: m.At, to: *due, text: m.Text}, segment{phase: explain.PhaseCalling, from: *due, to: end, text: "the next attempt"})
			continue
		}
		list = append(list, segment{phase: m.Phase, from: m.At, to: end, text: m.Text})
	}
	from := now
	for _, m := range future {
		phase := explain.PhaseWaiting
		if m.State == explain.StateLeaseEnd {
			phase = explain.PhaseCalling
		}
		list = append(list, segment{phase: phase, from: from, to: m.At, text: m.Text, future: true})
		from = m.At
	}
	return list
}

// Sizes of the picture, in its own units.
const (
	pictureWidth = 960
	laneHeight   = 26
	laneLabel    = 96
	maxSegments  = 40
)

// lanes are the rows of the picture, from the top.
var lanes = []struct {
	phase explain.Phase
	label string
}{
	{explain.PhaseQueued, "received"},
	{explain.PhaseCalling, "at the vendor"},
	{explain.PhaseWaiting, "waiting"},
	{explain.PhaseUnknown, "unknown"},
}

// picture draws the segments in lanes. Widths grow with the logarithm of the time, since a call
// takes milliseconds and a wait may take hours; each segment says how long it took.
func picture(moments []explain.Moment, now time.Time) template.HTML {
	list := segments(moments, now)
	if len(list) == 0 {
		return ""
	}
	left := max(0, len(list)-maxSegments)
	list = list[left:]
	var total float64
	for _, s := range list {
		total += weight(s)
	}
	height := laneHeight*len(lanes) + 8
	var w strings.Builder
	fmt.Fprintf(&w, `<svg class="timeline" viewBox="0 0 %d %d" role="img" aria-labelledby="tl-t tl-d"><title id="tl-t">Timeline</title><desc id="tl-d">%s</desc>`,
		pictureWidth, height, template.HTMLEscapeString(describe(list)))
	for i, lane := range lanes {
		y := 4 + i*laneHeight
		fmt.Fprintf(&w, `<line class="lane" x1="%d" x2="%d" y1="%d" y2="%d"/><text class="label" x="0" y="%d">%s</text>`,
			laneLabel, pictureWidth, y+laneHeight, y+laneHeight, y+laneHeight-8, lane.label)
	}
	x := float64(laneLabel)
	scale := (pictureWidth - laneLabel) / total
	for _, s := range list {
		width := weight(s) * scale
		drawSegment(&w, s, x, width)
		x += width
	}
	w.WriteString(`</svg>`)
	return template.HTML(w.String()) //nolint:gosec // texts are escaped, the rest is made of numbers
}

func drawSegment(w *strings.Builder, s segment, x, width float64) {
	for i, lane := range lanes {
		if lane.phase != s.phase {
			continue
		}
		class := string(s.phase)
		if s.future {
			class += " future"
		}
		y := 4 + i*laneHeight
		text := page.Duration(s.to.Sub(s.from))
		fmt.Fprintf(w, `<g class="%s"><title>%s</title><rect x="%.1f" y="%d" width="%.1f" height="%d" rx="3"/>`, class,
			template.HTMLEscapeString(lane.label+" "+text+": "+s.text), x+.5, y+3, max(width-1, 2), laneHeight-6)
		if width > float64(len(text))*7 {
			fmt.Fprintf(w, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`, x+width/2, y+laneHeight-8, text)
		}
		w.WriteString(`</g>`)
	}
}

// weight is a segment's share of the width.
func weight(s segment) float64 { return 1 + math.Log10(1+10*max(0, s.to.Sub(s.from).Seconds())) }

// describe is the picture in words.
func describe(list []segment) string {
	sums := map[explain.Phase]time.Duration{}
	for _, s := range list {
		if !s.future {
			sums[s.phase] += s.to.Sub(s.from)
		}
	}
	var parts []string
	for _, lane := range lanes {
		if d := sums[lane.phase]; d > 0 {
			parts = append(parts, lane.label+" "+page.Duration(d))
		}
	}
	return "Time so far: " + strings.Join(parts, ", ") + ". The list below has each moment."
}
