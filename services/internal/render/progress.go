package render

import (
	"fmt"
	"strings"
	"time"
)

// Progress is how much of a long task is done.
type Progress struct {
	// Done of All units are done; All is 0 if it is unknown.
	Done, All int
	// Estimate says that All is an estimate.
	Estimate bool
	// Unit names what is counted: mailboxes.
	Unit string
	// Elapsed is the time that Done took.
	Elapsed time.Duration
}

// barWidth is the number of characters between the brackets.
const barWidth = 20

// String is a bar with numbers: "[#####···············] 25 % 250,000 of about 1,000,000 mailboxes,
// 9,100/s, 1m22s left". Without All there is no bar: "250,000 mailboxes, 9,100/s".
func (p Progress) String() string {
	if p.All <= 0 {
		return fmt.Sprintf("%s %s%s", Thousands(p.Done), p.Unit, p.rate())
	}
	share := min(float64(p.Done)/float64(p.All), 1)
	full := int(share * barWidth)
	about := ""
	if p.Estimate {
		about = "about "
	}
	return fmt.Sprintf("[%s%s] %3.0f %%  %s of %s%s %s%s", strings.Repeat("#", full), strings.Repeat("·", barWidth-full), 100*share,
		Thousands(p.Done), about, Thousands(p.All), p.Unit, p.rate())
}

// rate is the number of units a second, and the time that the rest takes at this rate; "" if
// nothing is done yet.
func (p Progress) rate() string {
	if p.Done <= 0 || p.Elapsed <= 0 {
		return ""
	}
	rate := float64(p.Done) / p.Elapsed.Seconds()
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
