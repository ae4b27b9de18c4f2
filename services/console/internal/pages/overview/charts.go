package overview

import (
	"context"
	"html/template"
	"math"
	"time"

	"github.com/mailwright/mailwright/services/console/internal/chart"
	"github.com/mailwright/mailwright/services/console/internal/page"
)

// span is how far back the charts go.
type span struct {
	Name, Label string
	Current     bool

	back, step time.Duration
	layout     string
}

var allSpans = []span{
	{Name: "hour", Label: "Hour", back: time.Hour, step: time.Minute, layout: "15:04"},
	{Name: "day", Label: "Day", back: 24 * time.Hour, step: time.Hour, layout: "15:04"},
	{Name: "week", Label: "Week", back: 7 * 24 * time.Hour, step: 6 * time.Hour, layout: "Jan 2"},
}

func chosen(r *page.Request) string {
	for _, s := range allSpans {
		if s.Name == r.Query.Get("span") {
			return s.Name
		}
	}
	return allSpans[0].Name
}

func spans(r *page.Request) []span {
	list := make([]span, len(allSpans))
	copy(list, allSpans)
	for i := range list {
		list[i].Current = list[i].Name == chosen(r)
	}
	return list
}

// charts are the pictures of a span.
type charts struct{ Ended, Durations template.HTML }

// sample is what ended in a step of time, and how long it took, in seconds.
type sample struct {
	At                           time.Time
	Succeeded, Failed, Cancelled int64
	P50, P90                     *float64
}

// byMinute reads operations themselves. An hour of them is found by the index of received_at, since
// few take longer.
const byMinute = `
SELECT date_trunc('minute', finished_at), count(*) FILTER (WHERE state = 'succeeded'), count(*) FILTER (WHERE state IN ('failed', 'rejected')),
       count(*) FILTER (WHERE state = 'cancelled'),
       percentile_disc(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - received_at)::float8) FILTER (WHERE state = 'succeeded'),
       percentile_disc(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - received_at)::float8) FILTER (WHERE state = 'succeeded')
  FROM (SELECT * FROM operations WHERE received_at > $2::timestamptz - interval '1 hour' AND finished_at >= $2
           AND ($1::text[] IS NULL OR tenant = ANY ($1)) ORDER BY received_at DESC LIMIT 50000) latest
 GROUP BY 1 ORDER BY 1`

// byHour reads the counts, which are a row an hour, tenant, kind and outcome.
const byHour = `
WITH bars AS (
  SELECT date_bin($3::interval, hour, $2) AS at, state, extract(epoch FROM duration)::float8 AS seconds, sum(operations) AS n
    FROM operation_durations WHERE hour >= $2 AND ($1::text[] IS NULL OR tenant = ANY ($1)) GROUP BY 1, 2, 3
), cumulated AS (
  SELECT *, sum(n) OVER (PARTITION BY at, state ORDER BY seconds) AS upto, sum(n) OVER (PARTITION BY at, state) AS total FROM bars
)
SELECT at, coalesce(sum(n) FILTER (WHERE state = 'succeeded'), 0)::bigint, coalesce(sum(n) FILTER (WHERE state IN ('failed', 'rejected')), 0)::bigint,
       coalesce(sum(n) FILTER (WHERE state = 'cancelled'), 0)::bigint,
       min(seconds) FILTER (WHERE state = 'succeeded' AND upto >= 0.5 * total), min(seconds) FILTER (WHERE state = 'succeeded' AND upto >= 0.9 * total)
  FROM cumulated GROUP BY 1 ORDER BY 1`

// draw reads and draws the charts of a span.
func (o overview) draw(ctx context.Context, r *page.Request, name string) (charts, error) {
	s := allSpans[0]
	for _, each := range allSpans {
		if each.Name == name {
			s = each
		}
	}
	start := time.Now().UTC().Truncate(s.step).Add(s.step - s.back)
	sql, args := byMinute, []any{r.Tenants(), start}
	if s.step >= time.Hour {
		sql, args = byHour, append(args, s.step)
	}
	samples, err := page.Rows[sample](ctx, o.source, sql, args...)
	if err != nil {
		return charts{}, err
	}
	return picture(s, start, samples), nil
}

func picture(s span, start time.Time, samples []sample) charts {
	steps := int(s.back / s.step)
	x, empty := make([]time.Time, steps), math.NaN()
	good, bad, off := make([]float64, steps), make([]float64, steps), make([]float64, steps)
	half, most := make([]float64, steps), make([]float64, steps)
	for i := range x {
		x[i], half[i], most[i] = start.Add(time.Duration(i)*s.step), empty, empty
	}
	for _, each := range samples {
		i := int(each.At.Sub(start) / s.step)
		if i < 0 || i >= steps {
			continue
		}
		good[i], bad[i], off[i] = float64(each.Succeeded), float64(each.Failed), float64(each.Cancelled)
		if each.P50 != nil {
			half[i] = *each.P50
		}
		if each.P90 != nil {
			most[i] = *each.P90
		}
	}
	seconds := func(v float64) string { return page.Duration(time.Duration(v * float64(time.Second))) }
	return charts{
		Ended: chart.Chart{ID: "ended", Title: "Operations that ended, each " + page.Duration(s.step), X: x, Layout: s.layout, Series: []chart.Series{
			{Name: "succeeded", Class: "good", Values: good}, {Name: "failed or rejected", Class: "bad", Values: bad}, {Name: "cancelled", Class: "calm", Values: off},
		}}.Bars(),
		Durations: chart.Chart{
			ID: "durations", Title: "Time from the command to the success", X: x, Layout: s.layout, Unit: seconds,
			Series: []chart.Series{{Name: "nine of ten took at most", Class: "busy", Values: most}, {Name: "half took at most", Class: "good", Values: half}},
		}.Lines(),
	}
}
