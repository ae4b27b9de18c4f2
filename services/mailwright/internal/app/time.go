package app

import (
	"errors"
	"time"
)

var errNoTime = errors.New("want a duration such as 90m, or a time such as 2026-11-21T09:00:00Z")

// Ago reads a time: as RFC 3339 has it, or as a duration before now.
func Ago(text string, now time.Time) (time.Time, error) { return parseTime(text, now, -1) }

// Ahead reads a time: as RFC 3339 has it, or as a duration from now.
func Ahead(text string, now time.Time) (time.Time, error) { return parseTime(text, now, 1) }

func parseTime(text string, now time.Time, sign time.Duration) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(sign * d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, errNoTime
	}
	return t, nil
}
