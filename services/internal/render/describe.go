// Package render describes events, dead letters, failures and progress for a terminal, each on one
// line.
package render

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/mailwright/mailwright/pkg/event"
)

// Describe describes an event on one line: what happened, or why the operation waits and until
// when. That of an outcome ends with what the publisher should look at.
func Describe(e event.Event) string { return OneLine(describe(e) + warnings(ofTheCommand(e))) }

// ofTheCommand are the warnings about the command itself, such as one about its key. There are none
// before the outcome.
func ofTheCommand(e event.Event) []event.Warning {
	if state, ok := event.StateOf(e); !ok || !state.Terminal() {
		return nil
	}
	var data struct{ Operation event.OperationData }
	if e.DataAs(&data) != nil {
		return nil
	}
	return data.Operation.Warnings
}

// DescribeDead gives the reason of a dead letter, and the message that it refers to.
func DescribeDead(l event.DeadLetter) string {
	text := l.Reason
	if l.Detail != "" {
		text += ": " + l.Detail
	}
	return OneLine(fmt.Sprintf("%s (message %d of %s)", text, l.Sequence, l.Stream))
}

func describe(e event.Event) string {
	if state, ok := event.StateOf(e); ok && state != event.StateSucceeded && e.Type() != event.TypeDelegationObserved {
		return describeState(e, state)
	}
	switch e.Type() {
	case event.PlannedType(event.DomainOf(e.Type())):
		return describeData(e, describePlan)
	case event.TypeCancelCompleted:
		return describeData(e, func(d event.CancelCompletedData) string { return "operation " + d.Cancelled + " cancelled" })
	case event.TypeObjectCreated:
		return describeData(e, func(d event.ObjectCreatedData) string {
			return d.Object.ObjectType + " created: " + d.Object.DN + warnings(d.Warnings)
		})
	case event.TypeBusinessUserCreated:
		return describeData(e, describeBusinessUser)
	case event.TypeMailboxCreated:
		return describeData(e, func(d event.MailboxCreatedData) string {
			name := cmp.Or(d.Mailbox.PrimarySMTPAddress, d.Mailbox.Alias, d.Mailbox.DirectoryObject)
			return "mailbox created: " + name + warnings(d.Warnings)
		})
	case event.TypeDelegationChanged:
		return describeData(e, describeDelegation)
	case event.TypeDelegationObserved:
		return describeData(e, describeDelegates)
	case event.TypeFolderChanged:
		return describeData(e, describeFolder)
	case event.TypeFolderObserved:
		return describeData(e, func(d event.FolderObservedData) string {
			return fmt.Sprintf("%s of %s: %s", d.Folder, d.Mailbox, Count(len(d.Permissions), "entry", "entries"))
		})
	case event.TypeDelegationDrift:
		return describeData(e, describeDrift)
	case event.TypeSyncCompleted:
		return describeData(e, describeSync)
	case event.TypeMailboxObserved:
		return describeData(e, func(d event.MailboxObservedData) string {
			return describeObserved(d, event.Extension(e, event.AttrMailboxChange))
		})
	case event.TypeMailboxMissing:
		return describeData(e, func(d event.MailboxMissingData) string {
			return "no longer listed; last found as it is on " + Clock(d.LastObservedAt)
		})
	default:
		return Short(e.Type())
	}
}

func describeDrift(d event.DelegationDriftData) string {
	if len(d.Drift) == 0 {
		return "delegates are as the last command left them again"
	}
	list := make([]string, len(d.Drift))
	for i, each := range d.Drift {
		list[i] = each.Kind + " " + each.Delegate + " since " + Clock(each.Since)
	}
	return fmt.Sprintf("delegates are not as operation %s left them: %s", ShortOperation(d.Set.OperationID), strings.Join(list, ", "))
}

// describeData describes an event by its data, if it can be read.
func describeData[T any](e event.Event, describe func(T) string) string {
	var data T
	if e.DataAs(&data) != nil {
		return Short(e.Type()) + ", with data that cannot be read"
	}
	return describe(data)
}

func describeState(e event.Event, state event.State) string {
	switch state {
	case event.StateWaiting:
		return describeData(e, func(d event.WaitingData) string {
			switch {
			case d.Reason == event.WaitConcurrencyLimit:
				return "other calls use up the budget of its tenant or vendor; next turn at " + Clock(d.NextAttemptAt)
			case d.Reason == event.WaitBlockedByKey:
				return "in line behind others of its key"
			case d.Failure == nil:
				return "scheduled for " + Clock(d.NextAttemptAt)
			}
			return describeFailure(*d.Failure) + attempt(d.Operation, &d.NextAttemptAt)
		})
	case event.StateStarted:
		if e.Type() == event.TypeSyncProgress {
			return describeData(e, func(d event.SyncProgressData) string { return describeSyncProgress(e.Time(), d) })
		}
		return describeData(e, func(d event.StartedData) string { return "the vendor is being called" + attempt(d.Operation, nil) })
	case event.StateCancelled:
		return describeData(e, func(d event.CancelledData) string { return "cancelled by " + d.By.Source + " " + d.By.ID })
	case event.StateUnknown:
		return describeData(e, func(d event.UnknownData) string {
			return describeFailure(d.Failure) + attempt(d.Operation, &d.NextAttemptAt)
		})
	case event.StateFailed:
		return describeData(e, func(d event.FailedData) string { return describeFailure(d.Failure) + attempt(d.Operation, nil) })
	default:
		return describeData(e, func(d event.RejectedData) string { return DescribeFaults(d.Faults) })
	}
}

// DescribeFaults puts faults on one line.
func DescribeFaults(faults []event.Fault) string {
	texts := make([]string, len(faults))
	for i, f := range faults {
		texts[i] = strings.TrimSpace(f.Field + " " + f.Problem)
	}
	return OneLine(strings.Join(texts, "; "))
}

func describeFailure(f event.FailureData) string {
	kind := f.Kind
	if vendor := strings.TrimSpace(f.Vendor + " " + f.Code); vendor != "" {
		kind += " (" + vendor + ")"
	}
	return kind + ": " + f.Text
}

func attempt(o event.OperationData, next *time.Time) string {
	text := fmt.Sprintf("; attempt %d", o.Attempt)
	if next != nil && !next.IsZero() {
		text += ", next at " + Clock(*next)
	}
	return text
}

func describeBusinessUser(d event.BusinessUserCreatedData) string {
	text := "user created: " + d.User.UserPrincipalName
	if m := d.Mailbox; m != nil {
		text += ", mailbox " + strings.TrimSpace(m.PrimarySMTPAddress+" "+m.PlanName)
	}
	return text + warnings(d.Warnings)
}

func describeDelegation(d event.DelegationChangedData) string {
	text := "delegates of " + d.Mailbox + ": " + list(d.Delegates)
	if !d.Changed {
		return text + " (as before)" + warnings(d.Warnings)
	}
	if len(d.Added) > 0 {
		text += "; added " + list(d.Added)
	}
	if len(d.Removed) > 0 {
		text += "; removed " + list(d.Removed)
	}
	return text + warnings(d.Warnings)
}

func describeDelegates(d event.DelegationObservedData) string {
	if d.Complete && d.Count == 1 && len(d.Mailboxes) == 1 {
		m := d.Mailboxes[0]
		names := make([]string, len(m.Delegates))
		for i, delegate := range m.Delegates {
			names[i] = delegate.Address
		}
		return "delegates of " + cmp.Or(m.PrimarySMTPAddress, m.Identity) + ": " + list(names)
	}
	if d.Complete {
		return "delegates of " + Count(d.Count, "mailbox", "mailboxes") + " read"
	}
	return fmt.Sprintf("part %d: delegates of %s so far", d.Part, Count(d.Count, "mailbox", "mailboxes"))
}

func describeObserved(d event.MailboxObservedData, change string) string {
	var m struct {
		DisplayName   string `json:"displayName"`
		RecipientType string `json:"recipientType"`
		Status        string `json:"status"`
		ItemCount     *int64 `json:"itemCount"`
	}
	if json.Unmarshal(d.Mailbox, &m) != nil {
		return "observed"
	}
	parts := []string{cmp.Or(m.RecipientType, "mailbox")}
	if change != "" {
		parts[0] = change + ": " + parts[0]
	}
	if m.Status != "" {
		parts = append(parts, m.Status)
	}
	if m.ItemCount != nil {
		parts = append(parts, Count(int(*m.ItemCount), "item", "items"))
	}
	return strings.Join(parts, ", ")
}

func describePlan(d event.PlannedData) string {
	if len(d.Plan.Changes) == 0 {
		return "dry run: nothing would change at " + d.Plan.Target
	}
	steps := make([]string, len(d.Plan.Changes))
	for i, c := range d.Plan.Changes {
		steps[i] = strings.TrimSpace(c.Action + " " + c.What + " " + c.Value)
	}
	return "dry run, " + d.Plan.Target + ": would " + strings.Join(steps, ", ")
}

func warnings(list []event.Warning) string {
	var b strings.Builder
	for _, w := range list {
		b.WriteString("; warning: " + w.Text)
	}
	return b.String()
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Count is a number with its noun.
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Thousands(n) + " " + many
}

// Clock is a time in the local time zone, with the date unless it is today's.
func Clock(t time.Time) string {
	t = t.Local()
	if t.Format(time.DateOnly) == time.Now().Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

// OneLine replaces the characters that would move a terminal's cursor or reverse its text: the
// texts of vendors and publishers may contain them.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}

func describeFolder(d event.FolderChangedData) string {
	rights := cmp.Or(strings.Join(d.AccessRights, ", "), "no entry")
	text := fmt.Sprintf("%s of %s: %s has %s", d.Folder, d.Mailbox, d.Delegate, rights)
	if !d.Changed {
		text += ", as before"
	}
	return text
}

// Cell makes the text of a publisher or vendor fit for a cell of a table; "-" for none.
func Cell(text string) string { return cmp.Or(OneLine(text), "-") }
