package page

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Funcs are the functions that templates of pages have.
var Funcs = template.FuncMap{
	"state":    State,
	"when":     When,
	"until":    Until,
	"duration": Duration,
	"number":   Number,
	"json":     indent,
	"kind":     Kind,
	"link":     link,
	"bytes":    Bytes,
}

// states are the classes of a state's badge: what it means for a person.
var states = map[string]string{
	"received": "calm", "started": "busy", "waiting": "wait", "unknown": "doubt", "succeeded": "good",
	"failed": "bad", "rejected": "bad", "cancelled": "calm",
	"new": "good", "changed": "busy", "returned": "good", "missing": "wait", "unexpected": "bad",
	"ok": "good", "down": "bad", "stale": "wait", "dead": "bad", "open": "bad", "closed": "good",
}

// State is a badge: the word of a state, with a mark and a colour.
func State(state string) template.HTML {
	class := states[state]
	if class == "" {
		class = "calm"
	}
	return template.HTML(`<span class="badge ` + class + `">` + template.HTMLEscapeString(state) + `</span>`) //nolint:gosec // escaped here
}

// When is a time, which the script words as an age ("3 min ago"). A time that is zero or nil is
// a dash.
func When(t any) template.HTML { return stamp(t, "ago") }

// Until is a time to come, which the script words as a wait ("in 3 min").
func Until(t any) template.HTML { return stamp(t, "until") }

func stamp(t any, how string) template.HTML {
	at, ok := t.(time.Time)
	if p, is := t.(*time.Time); is && p != nil {
		at, ok = *p, true
	}
	if !ok || at.IsZero() {
		return `<span class="none">–</span>`
	}
	at = at.UTC()
	text := at.Format("2006-01-02 15:04:05")
	return template.HTML(fmt.Sprintf(`<time datetime="%s" data-%s title="%s UTC">%s</time>`, at.Format(time.RFC3339Nano), how, text, text)) //nolint:gosec // of digits
}

// Duration words a time span with two units at most, such as "1 h 12 min".
func Duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "< 1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return two(int(d.Minutes()), "min", int(d.Seconds())%60, "s")
	case d < 48*time.Hour:
		return two(int(d.Hours()), "h", int(d.Minutes())%60, "min")
	}
	return two(int(d.Hours())/24, "d", int(d.Hours())%24, "h")
}

func two(a int, unit string, b int, lesser string) string {
	if b == 0 {
		return fmt.Sprintf("%d %s", a, unit)
	}
	return fmt.Sprintf("%d %s %d %s", a, unit, b, lesser)
}

// Number groups the digits of an integer by thousands.
func Number(n any) string {
	if v := reflect.ValueOf(n); v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		n = v.Elem().Interface()
	}
	text := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "−", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// Bytes words a size.
func Bytes(n uint64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, names := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; value >= unit && i < len(names)-1; i++ {
		value /= unit
	}
	return fmt.Sprintf("%.1f %s", value, names[i])
}

// Kind is a command's type without what all types share: io.mailwright.mailbox.create.v1 is
// mailbox.create.
func Kind(eventType string) string {
	short := strings.TrimPrefix(eventType, "io.mailwright.")
	if i := strings.LastIndex(short, ".v"); i > 0 {
		short = short[:i]
	}
	return short
}

// link joins a path with one escaped segment.
func link(path, segment string) string { return path + url.PathEscape(segment) }

func indent(v any) (string, error) {
	raw, err := json.MarshalIndent(v, "", "  ")
	return string(raw), err
}
