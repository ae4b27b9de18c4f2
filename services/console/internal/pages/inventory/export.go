package inventory

import (
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/console/internal/page"
)

// exportRows is how many mailboxes are read at once for an export.
const exportRows = 5000

// export writes the list that a page shows, whole, as CSV. It reads it part by part, so that no
// query runs for long, and nothing is held.
func (i inventory) export(w http.ResponseWriter, req *http.Request, r *page.Request) error {
	l, err := chosen(r)
	if err != nil {
		return err
	}
	at := cursor{}
	rows, err := i.read(req.Context(), r, l, at, exportRows)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="mailboxes.csv"`)
	out := csv.NewWriter(w)
	_ = out.Write([]string{"tenant", "mailbox_id", "display_name", "email_address", "recipient_type", "status", "storage_used_mb", "prohibit_send_quota_mb",
		"forwarding_domain", "litigation_hold", "inactive_since", "missing_since", "change", "changed_at"})
	for {
		for _, m := range rows {
			_ = out.Write(m.record())
		}
		if out.Flush(); out.Error() != nil || len(rows) < exportRows {
			return nil // the browser went, or all is written
		}
		last := rows[len(rows)-1]
		if rows, err = i.read(req.Context(), r, l, cursor{last.place(), last.ID}, exportRows); err != nil {
			panic(http.ErrAbortHandler) // the file must not look whole
		}
	}
}

func (m mailbox) record() []string {
	list := []string{
		m.Tenant, m.ID, m.Name, m.Address, m.Type, m.Status, digits(m.Used), digits(m.Quota), m.Forwarding,
		strconv.FormatBool(m.Hold), clock(m.Inactive), clock(m.Missing), m.Change, clock(&m.Changed),
	}
	for n, text := range list {
		list[n] = harmless(text)
	}
	return list
}

// harmless keeps a spreadsheet from carrying out a text that begins as a formula does.
func harmless(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

func digits(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

func clock(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
