package delegation

import (
	"context"
	"encoding/json"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
)

// maxPart bounds the JSON of the mailboxes in one part of an answer, in bytes. JetStream's default
// limit is 1 MiB a message.
const maxPart = 256 << 10

// read publishes one mailbox, or all of them in as many parts as they need. The last part is the
// operation's outcome. After a crash, reading starts again at the first mailbox.
func (d delegator) read(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
	var data event.DelegationReadData
	if err := run.Decode(&data); err != nil {
		return operation.Reply{}, err
	}
	parts := answer{run: run, requested: requestTime(run)}
	if data.Mailbox != "" {
		m, err := d.client.GetMailbox(ctx, data.Mailbox, exchangeonline.GetOptions{
			WithDisplayNames: data.WithDisplayNames, Select: data.Select,
		})
		if err != nil {
			return operation.Reply{}, err
		}
		if err := parts.add(ctx, m); err != nil {
			return operation.Reply{}, err
		}
		return parts.last(), nil
	}
	options := exchangeonline.ListOptions{
		PageSize: int(data.PageSize), WithDisplayNames: data.WithDisplayNames, Select: data.Select,
	}
	err := d.client.ListMailboxes(ctx, options, func(page []exchangeonline.Mailbox) error {
		for _, m := range page {
			if err := parts.add(ctx, m); err != nil {
				return err
			}
		}
		parts.requested = requestTime(run) // the next page is requested when this function returns
		return nil
	})
	if err != nil {
		return operation.Reply{}, err
	}
	return parts.last(), nil
}

// answer collects mailboxes, and publishes them in parts.
type answer struct {
	run       *operation.Attempt
	sent      int // number of parts that were published
	count     int // number of mailboxes in all parts
	size      int // bytes of JSON in the current part
	mailboxes []event.DelegatedMailbox
	requested time.Time // when the current page was requested
	readAt    time.Time // when the page of the current part's first mailbox was requested
}

// requestTime is the time now, or the time at which the command was stored if that is later: this
// machine's clock may be slow. A reading that seems to be older than the command that asked for it
// would lose against an older change in the projections.
func requestTime(run *operation.Attempt) time.Time {
	now := time.Now().UTC()
	if received := run.Operation.ReceivedAt; received.After(now) {
		return received
	}
	return now
}

// add adds a mailbox to the current part. It publishes the part first if the mailbox would make it
// larger than maxPart.
func (a *answer) add(ctx context.Context, m exchangeonline.Mailbox) error {
	observed := observed(m)
	raw, err := json.Marshal(observed)
	if err != nil {
		return err
	}
	if a.size > 0 && a.size+len(raw) > maxPart {
		if err := a.run.Emit(ctx, event.TypeDelegationObserved, a.part(false)); err != nil {
			return err
		}
	}
	if len(a.mailboxes) == 0 {
		a.readAt = a.requested
	}
	a.size += len(raw)
	a.count++
	a.mailboxes = append(a.mailboxes, observed)
	return nil
}

// part returns the current part, and begins another.
func (a *answer) part(complete bool) event.DelegationObservedData {
	a.sent++
	part := event.DelegationObservedData{
		Operation: a.run.Operation, Part: a.sent, Complete: complete, Count: a.count, Mailboxes: a.mailboxes,
	}
	if part.Mailboxes == nil {
		part.Mailboxes = []event.DelegatedMailbox{}
	} else {
		readAt := a.readAt
		part.ReadAt = &readAt
	}
	a.mailboxes = nil
	a.size = 0
	return part
}

func (a *answer) last() operation.Reply {
	return operation.Reply{Type: event.TypeDelegationObserved, Data: a.part(true)}
}

func observed(m exchangeonline.Mailbox) event.DelegatedMailbox {
	out := event.DelegatedMailbox{
		Identity: m.Identity, ExternalDirectoryObjectID: m.ExternalDirectoryObjectID, UserPrincipalName: m.UserPrincipalName,
		PrimarySMTPAddress: m.PrimarySMTPAddress, DisplayName: m.DisplayName, RecipientTypeDetails: m.RecipientTypeDetails,
		Delegates: []event.Delegate{}, Selected: m.Selected,
	}
	for _, d := range m.Delegates {
		out.Delegates = append(out.Delegates, event.Delegate{Address: d.Address, DisplayName: d.DisplayName})
	}
	return out
}

// readBack returns the command delegation.read that shows what the command of an attempt changes.
func readBack(run *operation.Attempt) (eventType string, data any, err error) {
	var changed struct {
		Mailbox string `json:"mailbox"`
	}
	err = run.Decode(&changed)
	return event.TypeDelegationRead, event.DelegationReadData{Mailbox: changed.Mailbox}, err
}

// readBackFolder returns the command folder.read that shows what the command of an attempt changes.
func readBackFolder(run *operation.Attempt) (eventType string, data any, err error) {
	var changed struct {
		Mailbox string `json:"mailbox"`
		Folder  string `json:"folder"`
	}
	err = run.Decode(&changed)
	return event.TypeFolderRead, event.FolderReadData{Mailbox: changed.Mailbox, Folder: changed.Folder}, err
}
