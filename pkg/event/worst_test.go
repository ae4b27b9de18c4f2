package event_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
)

const (
	maxMessage = 1 << 20
	// maxCheck is what reading and checking one message may cost, whatever it holds.
	maxCheck = 50 * time.Millisecond
)

// worstMessages are the messages of 1 MiB that are the dearest to read that we know of, each an
// attack on one part.
func worstMessages() map[string][]byte {
	object := func(properties string) string {
		return `{"createIn":"OU=x","objectType":"user","properties":` + properties + `}`
	}
	change := func(add string) string { return `{"mailbox":"a","add":` + add + `}` }
	property := func(values string) string {
		return object(`[{"propertyName":"x","propertyType":"Integer","values":` + values + `}]`)
	}
	bodies := map[string]string{
		"numbers of a million digits": change(list(func(i int) string { return fmt.Sprint("1e", 999_999-i%1000) })),
		"numbers of 20 digits":        property(some(990, func(i int) string { return fmt.Sprintf("%d.5e%d", i, 20) })),
		"properties full of numbers": object(some(4, func(int) string {
			return `{"propertyName":"x","propertyType":"LargeInteger","values":` + some(1000, func(i int) string { return fmt.Sprintf("%d.5e%d", i, 20) }) + `}`
		})),
		"properties full of texts": object(some(4, func(int) string {
			return `{"propertyName":"x","propertyType":"DateTime","values":` + some(1000, func(i int) string { return fmt.Sprintf(`"%d"`, i) }) + `}`
		})),
		"numbers as unique texts":        change(some(990, func(i int) string { return fmt.Sprintf("%de-20", i) })),
		"a long number":                  change("[" + strings.Repeat("9", 900_000) + "]"),
		"nested arrays":                  change(strings.Repeat("[", 900_000)),
		"nested objects":                 change(strings.Repeat(`{"a":`, 180_000)),
		"equal texts":                    change(some(4_900, func(int) string { return `"a@contoso.com"` })),
		"different texts":                change(some(990, func(i int) string { return strconv.Quote(fmt.Sprint(i, "@contoso.com")) })),
		"arrays to compare":              change(some(990, func(i int) string { return fmt.Sprintf("[%d,[%d]]", i, i) })),
		"objects to compare":             change(some(980, func(i int) string { return fmt.Sprintf(`{"b":%d,"a":{"c":%d}}`, i, i) })),
		"too many values":                change(list(func(int) string { return "0" })),
		"unknown members":                "{" + join(4_900, func(i int) string { return fmt.Sprintf(`"m%d":0`, i) }) + "}",
		"members with long names":        "{" + join(900, func(i int) string { return fmt.Sprintf(`"%d%s":0`, i, strings.Repeat("~/", 500)) }) + "}",
		"a member again and again":       "{" + join(4_900, func(int) string { return `"mailbox":"a"` }) + "}",
		"properties of wrong form":       object(some(4_900, func(int) string { return "0" })),
		"properties without members":     object(some(490, func(int) string { return "{}" })),
		"properties with wrong values":   object(some(490, func(int) string { return `{"propertyName":"x","propertyType":7,"values":["x"]}` })),
		"secret properties":              object(some(490, func(int) string { return `{"propertyName":"xpwd","propertyType":2,"values":["x"]}` })),
		"many dates":                     object(`[{"propertyName":"x","propertyType":9,"values":` + some(990, func(int) string { return `"2026-11-21T09:00:00.123456789+01:00"` }) + `}]`),
		"a long text with a pattern":     `{"container":"LDAP://` + strings.Repeat("a", 500_000) + `","userPrincipalName":"` + strings.Repeat("a@", 200_000) + `"}`,
		"a long photo":                   `{"createIn":"OU=x","objectType":"user","photo":"` + strings.Repeat("AAAA", 250_000) + `","properties":[]}`,
		"a long photo that is no base64": `{"createIn":"OU=x","objectType":"user","photo":"` + strings.Repeat("AAAA", 250_000) + `!","properties":[]}`,
		"escapes":                        change(`["` + strings.Repeat(`\ud83d\ude00`, 80_000) + `"]`),
		"backslashes":                    change(`["` + strings.Repeat(`\\`, 450_000) + `"]`),
		"white space":                    change("[" + strings.Repeat(" ", 1_000_000) + "]"),
		"many licences":                  `{"createIn":"OU=x","objectType":"user","o365":{"locationName":"US","licenseModifications":` + some(1_200, func(int) string { return `{"enabledServices":[0]}` }) + `},"properties":[]}`,
	}
	messages := make(map[string][]byte, len(bodies))
	for name, body := range bodies {
		messages[name] = []byte(body)
	}
	return messages
}

// list makes an array that fills a message; some makes one of n items.
func list(item func(i int) string) string {
	return some(900_000/(len(item(0))+1), item)
}

func some(n int, item func(i int) string) string { return "[" + join(n, item) + "]" }

func join(n int, item func(i int) string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = item(i)
	}
	return strings.Join(items, ",")
}

// BenchmarkWorstMessage looks for the message whose reading costs the most, over all types of
// commands and in both modes.
func BenchmarkWorstMessage(b *testing.B) {
	for b.Loop() {
		var worst time.Duration
		var which string
		for name, body := range worstMessages() {
			for _, eventType := range event.CommandTypes() {
				for mode, m := range inBothModes(eventType, body) {
					took := cost(m)
					if took > worst {
						worst, which = took, fmt.Sprintf("%s, as %s in %s mode, %d bytes", name, eventType, mode, len(m.Data))
					}
				}
			}
		}
		b.Logf("%v: %s", worst, which)
		b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
		if worst > maxCheck {
			b.Errorf("more than %v", maxCheck)
		}
	}
}

func inBothModes(eventType string, body []byte) map[string]*nats.Msg {
	attributes := fmt.Sprintf(`{"specversion":"1.0","id":"1","source":"/worst","type":%q,"data":`, eventType)
	return map[string]*nats.Msg{
		"binary": {
			Header: nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/worst"}, "ce-type": {eventType}}, Data: body,
		},
		"structured": {Data: []byte(attributes + string(body) + "}")},
	}
}

// cost is the least of three if the first is dear: what a neighbour takes of the processor is no
// cost of the message.
func cost(m *nats.Msg) time.Duration {
	least := time.Hour
	for range 3 {
		began := processorTime()
		if c, err := event.ReadCommand(m.Header, m.Data); err == nil {
			c.Check()
			c.Fingerprint()
			c.Secrets()
			event.Excerpt(c.Document)
		}
		if least = min(least, processorTime()-began); least < maxCheck {
			break
		}
	}
	return least
}

// processorTime is what this process has used of processors. Time itself would count its neighbours
// as well.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// decodings is how many plain decodings of a message its check may cost if the machine is so slow,
// or the race detector so dear, that they exceed the bound.
const decodings = 30

// decodingTime is what encoding/json takes for a document.
func decodingTime(body []byte) time.Duration {
	began := processorTime()
	var v any
	_ = json.Unmarshal(body, &v) // a document that it refuses is decoded up to there
	return processorTime() - began
}

// TestNoMessageIsDearToCheck holds the worst of each kind against a bound that a busy machine keeps
// too.
func TestNoMessageIsDearToCheck(t *testing.T) {
	for name, body := range worstMessages() {
		if len(body) > maxMessage {
			t.Errorf("%s: %d bytes are no message", name, len(body))
		}
		for _, eventType := range []string{event.TypeObjectCreate, event.TypeDelegationChange} {
			for mode, m := range inBothModes(eventType, body) {
				if took := cost(m); took > max(10*maxCheck, decodings*decodingTime(body)) {
					t.Errorf("%s, as %s in %s mode: %v", name, eventType, mode, took)
				}
			}
		}
	}
}
