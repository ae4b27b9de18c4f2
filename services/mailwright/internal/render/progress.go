package render

import (
	"fmt"
	"strings"
	"time"
)

// Progress is how far long work has come.
type Progress struct {
	// Done of All units are done; All is 0 where nobody knows it.
	Done, All int
	// Estimate says that All is one.
	Estimate bool
	// Unit names what is counted: mailboxes.
	Unit string
	// Passed is the time that Done took.
	Passed time.Duration
}

// barWidth is the number of characters between the brackets.
const barWidth = 20

// String is a bar with numbers: "[#####···············] 25 % 250,000 of about 1,000,000 mailboxes,
// 9,100/s, 1m22s left". Where nobody knows the whole there is no bar: "250,000 mailboxes, 9,100/s".
func (p Progress) String() string {
	if p.All <= 0 {
		return fmt.Sprintf("%s %s%s", Thousands(p.Done), p.Unit, p.pace())
	}
	share := min(float64(p.Done)/float64(p.All), 1)
	full, about := int(share*barWidth), ""
	if p.Estimate {
		about = "about "
	}
	return fmt.Sprintf("[%s%s] %3.0f %%  %s of %s%s %s%s", strings.Repeat("#", full), strings.Repeat("·", barWidth-full), 100*share,
		Thousands(p.Done), about, Thousands(p.All), p.Unit, p.pace())
}

// pace is what is done a second, and how long the rest takes at that; "" while there is nothing to
// tell it from.
func (p Progress) pace() string {
	if p.Done <= 0 || p.Passed <= 0 {
		return ""
	}
	rate := float64(p.Done) / p.Passed.Seconds()
	text := ", " + Thousands(int(rate)) + "/s"
	if left := p.All - p.Done; left > 0 {
		text += fmt.Sprintf(", %v left", time.Duration(float64(left)/rate*float64(time.Second)).Round(time.Second))
	}
	return text
}

// Thousands writes a number with commas.
func Thousands(n int) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
