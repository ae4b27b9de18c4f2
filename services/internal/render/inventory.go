package render

import (
	"fmt"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
)

// describeSyncProgress describes the progress of an inventory.
func describeSyncProgress(at time.Time, d event.SyncProgressData) string {
	return Progress{Done: d.Seen, All: d.Known, Estimate: true, Unit: "mailboxes", Elapsed: at.Sub(d.StartedAt)}.String()
}

// describeSync describes the result of an inventory.
func describeSync(d event.SyncCompletedData) string {
	text := fmt.Sprintf("inventory complete: %s in %s; %s new, %s changed, %s returned, %s missing",
		Count(d.Seen, "mailbox", "mailboxes"), Count(d.Pages, "page", "pages"),
		Thousands(d.New), Thousands(d.Changed), Thousands(d.Returned), Thousands(d.Missing))
	if d.Suspect {
		text += fmt.Sprintf("; SUSPECT: %s of %s known ones were not listed, and none was reported missing",
			Thousands(d.Absent), Thousands(d.Known))
	}
	if n := len(d.Warnings); n > 1 {
		return fmt.Sprintf("%s; %s, the first: %s", text, Count(n, "warning", "warnings"), d.Warnings[0].Text)
	}
	return text + warnings(d.Warnings)
}
