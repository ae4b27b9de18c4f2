package delegation

import (
	"context"
	"encoding/json"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
)

// maxPart bounds the mailboxes in one part of an answer, in bytes of JSON. JetStream takes 1 MiB a
// message by default.
const maxPart = 256 << 10

// read reports one mailbox, or all of them in as many parts as they need. The last part ends the
// operation. After a crash, reading starts again at the first mailbox.
func (d delegator) read(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
	var data event.DelegationReadData
	if err := run.Decode(&data); err != nil {
		return operation.Reply{}, err
	}
	parts := answer{run: run, requested: requestTime(run)}
	if data.Mailbox != "" {
		m, err := d.client.GetMailbox(ctx, data.Mailbox, exchangeonline.GetOptions{WithDisplayNames: data.WithDisplayNames, Select: data.Select})
		if err != nil {
			return operation.Reply{}, err
		}
		if err := parts.add(ctx, m); err != nil {
			return operation.Reply{}, err
		}
		return parts.last(), nil
	}
	err := d.client.ListMailboxes(ctx, exchangeonline.ListOptions{PageSize: int(data.PageSize), WithDisplayNames: data.WithDisplayNames, Select: data.Select},
		func(page []exchangeonline.Mailbox) error {
			for _, m := range page {
				if err := parts.add(ctx, m); err != nil {
					return err
				}
			}
			parts.requested = requestTime(run) // for the next page
			return nil
		})
	if err != nil {
		return operation.Reply{}, err
	}
	return parts.last(), nil
}

// answer gathers mailboxes into parts.
type answer struct {
	run       *operation.Attempt
	sent      int // parts
	count     int // mailboxes
	size      int // bytes of the part being gathered
	mailboxes []event.DelegatedMailbox
	requested time.Time // when the page that is being added was requested
	readAt    time.Time // when the first page of the part was requested
}

// requestTime is the time now, but not before the command was stored: this machine's clock may be
// slow.
func requestTime(run *operation.Attempt) time.Time {
	now := time.Now().UTC()
	if received := run.Operation.ReceivedAt; received.After(now) {
		return received
	}
	return now
}

// add gathers a mailbox. It publishes the part so far if that would grow beyond maxPart.
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

// part ends the part that is being gathered.
func (a *answer) part(complete bool) event.DelegationObservedData {
	a.sent++
	part := event.DelegationObservedData{Operation: a.run.Operation, Part: a.sent, Complete: complete, Count: a.count, Mailboxes: a.mailboxes}
	if part.Mailboxes == nil {
		part.Mailboxes = []event.DelegatedMailbox{}
	} else {
		readAt := a.readAt
		part.ReadAt = &readAt
	}
	a.mailboxes, a.size = nil, 0
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

// readBack is the command that reads the list which another command changes.
func readBack(run *operation.Attempt) (eventType string, data any, err error) {
	var changed struct {
		Mailbox string `json:"mailbox"`
	}
	err = run.Decode(&changed)
	return event.TypeDelegationRead, event.DelegationReadData{Mailbox: changed.Mailbox}, err
}

// readBackFolder is the same for a folder's permissions.
func readBackFolder(run *operation.Attempt) (eventType string, data any, err error) {
	var changed struct {
		Mailbox string `json:"mailbox"`
		Folder  string `json:"folder"`
	}
	err = run.Decode(&changed)
	return event.TypeFolderRead, event.FolderReadData{Mailbox: changed.Mailbox, Folder: changed.Folder}, err
}
