package operation

import (
	"errors"
	"fmt"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/sealed"
	"github.com/mailwright/mailwright/services/internal/failure"
)

// Secrets says how the commands of a tenant may bring their secrets.
type Secrets struct {
	// Identities gives the keys that open sealed ones; nil: the tenant has none.
	Identities func() sealed.Identities
	// PlainAllowed lets them come in plain.
	PlainAllowed bool
}

// remedy says what a publisher does about a secret that is not taken.
const remedy = "seal it to the recipients that 'mailwright secrets recipients' prints, as 'mailwright send' and pkg/client do by themselves"

var (
	errPlain    = errors.New("must be sealed, since this tenant takes no plain secrets: " + remedy)
	errNoKey    = errors.New("is sealed, and this service has no key for the tenant: its configuration names no identities")
	errTwice    = errors.New("is sealed twice; seal it once")
	errTooOften = fmt.Errorf("is one sealed value too many; a command may have %d", sealed.MaxValues)
)

// openSecrets puts the secrets themselves in the place of sealed ones. The command's data is then
// held against its schema again. What cannot be opened, and what should have been sealed, is a
// fault: see [Engine.faults]. A command that has a fault already is rejected for that.
func (e *Engine) openSecrets(a *Attempt) {
	if !event.MayHoldSecrets(a.Command.Type()) || len(a.command.Check()) > 0 {
		return
	}
	tenant, known := e.cfg.Secrets[a.Tenant]
	o := opening{tenant: tenant, operationID: event.OperationID(a.Tenant, a.Command.Source(), a.Command.ID())}
	data, faults := a.command.ReplaceSecrets(func(_, text string) (string, error) {
		if sealed.Is(text) {
			return o.open(text)
		}
		if known && !tenant.PlainAllowed { // a handler refuses a tenant that is not known
			return "", errPlain
		}
		return text, nil
	})
	a.secretFaults = faults
	if len(o.opened) == 0 {
		return
	}
	a.secrets = longSecrets(append(a.secrets, o.opened...))
	if len(faults) == 0 {
		a.command = a.command.WithData(data)
		a.Command = a.command.Event
	}
}

// opening opens the sealed values of one command.
type opening struct {
	tenant      Secrets
	operationID string
	tried       int
	opened      []string
}

func (o *opening) open(text string) (string, error) {
	if o.tenant.Identities == nil {
		return "", errNoKey
	}
	if o.tried++; o.tried > sealed.MaxValues {
		return "", errTooOften
	}
	value, err := o.tenant.Identities().Open(text, o.operationID)
	switch {
	case errors.Is(err, sealed.ErrOtherKey):
		return "", fmt.Errorf("%w: %s", err, remedy)
	case errors.Is(err, sealed.ErrOtherOperation):
		return "", fmt.Errorf("%w: seal the secret anew for this tenant, source and id", err)
	case err != nil:
		return "", err
	case sealed.Is(value):
		return "", errTwice
	}
	o.opened = append(o.opened, value)
	return value, nil
}

// needSecrets keeps a call from being made without its secrets: the command could be opened when it
// arrived, and cannot any more. The operation waits for the key, and its earlier call stays in
// doubt.
func needSecrets(a *Attempt) error {
	if len(a.secretFaults) == 0 {
		return nil
	}
	return &failure.Error{Kind: failure.Unavailable, Text: "a sealed secret cannot be opened any more: " + a.secretFaults[0].Field + " " + a.secretFaults[0].Problem}
}
