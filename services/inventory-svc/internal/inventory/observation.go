package inventory

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/failure"
	"github.com/mailwright/mailwright/pkg/operation"
	"github.com/mailwright/mailwright/pkg/vendors/enpower"
)

// publish stores the observations of one page. All are under way at once; the page is done when the
// stream has confirmed each.
func (t taker) publish(ctx context.Context, run *operation.Run, mailboxes []enpower.Mailbox) error {
	confirmations := make([]jetstream.PubAckFuture, 0, len(mailboxes))
	for _, m := range mailboxes {
		msg, err := observation(run, m)
		if err != nil {
			return err
		}
		f, err := t.js.PublishMsgAsync(msg)
		if err != nil {
			return notStored(err)
		}
		confirmations = append(confirmations, f)
	}
	for _, f := range confirmations {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return notStored(err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// notStored: the stream is away; the whole walk is repeated when it is back.
func notStored(cause error) error {
	return &failure.Error{Kind: failure.Unavailable, Text: "the observations could not be stored in the stream " + bus.Mailboxes, Cause: cause}
}

func observation(run *operation.Run, m enpower.Mailbox) (*nats.Msg, error) {
	mailbox, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	e, err := event.New(run.ID+"."+m.TenantID+"."+m.ID, operation.Source(event.Inventory), event.MailboxObserved,
		event.MailboxObservedData{SyncID: run.ID, Tenant: run.Tenant, ObservedAt: now, Mailbox: mailbox})
	if err != nil {
		return nil, err
	}
	e.SetTime(now)
	if m.DisplayName != "" {
		e.SetSubject(m.DisplayName)
	}
	for name, v := range map[string]string{
		event.TenantID: run.Tenant, event.CorrelationID: event.Extension(run.Command, event.CorrelationID), event.TraceParent: event.Extension(run.Command, event.TraceParent),
		event.CausationID: run.Command.ID(), event.CommandID: run.Command.ID(), event.CommandSource: run.Command.Source(), event.Operation: run.ID,
	} {
		if v != "" {
			e.SetExtension(name, v)
		}
	}
	header, body, err := event.Encode(e, event.Binary)
	if err != nil {
		return nil, fmt.Errorf("mailbox %s: %w", m.ID, err)
	}
	return &nats.Msg{Subject: bus.MailboxSubject(run.Tenant, m.ID), Header: header, Data: body}, nil
}
