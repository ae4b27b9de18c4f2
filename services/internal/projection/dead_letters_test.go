package projection

import (
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/projector"
)

func TestARowSaysThatItsLetterIsNone(t *testing.T) {
	t.Parallel()
	const none = "the dead letter itself is not in the form of one"
	for name, c := range map[string]struct{ data, reason, detail string }{
		"a letter":                {`{"reason":"outcome-unknown","detail":"look","stream":"COMMANDS","sequence":7,"time":"2026-11-21T09:00:00Z"}`, operation.OutcomeUnknown, "look"},
		"no JSON":                 {"\xff", operation.Unreadable, none},
		"no letter":               {`{"x":1}`, operation.Unreadable, none},
		"a letter about nothing":  {`{"reason":"acked-without-outcome","detail":"somebody's"}`, operation.AckedWithoutOutcome, none},
		"a letter of other types": {`{"reason":"acked-without-outcome","detail":7}`, operation.AckedWithoutOutcome, none},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row := deadRowOf(projector.Record{Sequence: 1, Subject: "mailwright.dead.contoso.directory.-", StoredAt: time.Now(), Data: []byte(c.data)})
			if row.Reason != c.reason || row.Detail != c.detail || row.Domain != "directory" {
				t.Errorf("%+v", row)
			}
		})
	}
}
