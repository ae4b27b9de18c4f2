package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// Sealer encrypts the secrets of a command. [sealed.Sealer] does so with age; it is a package of
// its own, so that only publishers of secrets link age.
//
// [sealed.Sealer]: https://pkg.go.dev/github.com/mailwright/mailwright/pkg/sealed#Sealer
type Sealer interface {
	// SealFor seals a secret of an operation to recipients, as [Recipients] returns them.
	SealFor(secret, operationID, recipients string) (string, error)
}

// ErrNoSealer says that a command has a plain secret, its tenant wants secrets sealed, and the
// command has no [Sealer]. Nothing was published.
var ErrNoSealer = errors.New("the command has a plain secret, and its tenant has published keys to seal it to: " +
	"set Command.Sealer to sealed.Sealer{} of package pkg/sealed, or seal the secret before")

// Seal returns the command with its plain secrets, such as a password, sealed to recipients by the
// command's Sealer. They are bound to the command's operation, so tenant, source and id must not be
// changed afterwards. Secrets that are sealed already stay as they are. The error names the field
// of a secret that cannot be sealed.
func (c Command) Seal(recipients string) (Command, error) {
	if c.Sealer == nil {
		return c, ErrNoSealer
	}
	operationID := event.OperationID(c.tenant(), c.Source(), c.ID())
	data, faults := event.Read(c.Event).ReplaceSecrets(func(_, text string) (string, error) {
		if event.IsSealed(text) {
			return text, nil
		}
		return c.Sealer.SealFor(text, operationID, recipients)
	})
	if len(faults) > 0 {
		return c, fmt.Errorf("%s: %s", faults[0].Field, faults[0].Problem)
	}
	if data != nil {
		c.DataEncoded, c.DataBase64 = data, false
	}
	return c, nil
}

// hasPlainSecrets reports whether data of the command must be sealed.
func (c Command) hasPlainSecrets() (found bool) {
	if !event.MayHoldSecrets(c.Type()) {
		return false
	}
	for _, text := range event.Read(c.Event).Secrets() {
		found = found || !event.IsSealed(text)
	}
	return found
}

// SealForTenant seals what a command has of plain secrets, if its tenant has published recipients.
// [Send] does so by itself; a program that makes messages by [Command.Message] calls it before.
func SealForTenant(ctx context.Context, js jetstream.Publisher, c Command) (Command, error) {
	if !c.hasPlainSecrets() {
		return c, nil
	}
	asked, ok := js.(Requester)
	if !ok {
		return c, nil
	}
	recipients, err := Recipients(ctx, asked, c.tenant())
	if err != nil || recipients == "" {
		return c, err
	}
	return c.Seal(recipients)
}

// Requester is the part of [jetstream.JetStream] that reads the recipients of a tenant.
type Requester interface {
	Conn() *nats.Conn
	Options() jetstream.JetStreamOptions
}

// Recipients returns the public keys to which the secrets of a tenant are sealed, in the form of a
// file for "age -R": one a line. It is the last message on mailwright.recipients.<tenant>; "" if
// there is none. If NATS cannot be reached it tries again until ctx ends.
func Recipients(ctx context.Context, js Requester, tenant string) (string, error) {
	if !event.ValidTenant(tenant) {
		return "", fmt.Errorf("%q is no name of a tenant", tenant)
	}
	subject := topology.APIPrefix(js.Options()) + "DIRECT.GET." + topology.StreamRecipients + "." + topology.RecipientsSubject(tenant)
	m, err := persist(ctx, func(ctx context.Context) (*nats.Msg, error) { return js.Conn().RequestWithContext(ctx, subject, nil) })
	if errors.Is(err, nats.ErrNoResponders) { // a system without the stream
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("the keys to seal secrets to cannot be read; publishing to %s must be permitted: %w", subject, err)
	}
	const notFound = "404"
	switch status := m.Header.Get("Status"); status {
	case "":
		return string(m.Data), nil
	case notFound:
		return "", nil
	default:
		return "", fmt.Errorf("the keys to seal secrets to cannot be read: %s %s", status, m.Header.Get("Description"))
	}
}
