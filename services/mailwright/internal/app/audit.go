package app

import (
	"cmp"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/permissions"
)

// ReasonFlag is the setting of every command that AUDIT records.
type ReasonFlag struct {
	Reason string `env:"-" placeholder:"TEXT" help:"Why, for AUDIT: such as a ticket's number. No address, since nothing can be taken out of AUDIT."`
}

// CheckReason says what is wrong with the reason. option is what makes one necessary, such as
// --force; "" if the call may do without.
func (f ReasonFlag) CheckReason(option string) error {
	if f.Reason == "" && option != "" {
		return Usage("%s needs a --reason, such as a ticket's number, which AUDIT keeps", option)
	}
	if err := audit.CheckReason(f.Reason); err != nil {
		return Usage("--reason: %w", err)
	}
	return nil
}

// source is the program in AUDIT.
const source = "https://mailwright.io/mailwright"

// Recorder writes to AUDIT as the user operator of package permissions.
func (a *App) Recorder(js jetstream.JetStream) audit.Recorder {
	return a.RecorderAs(js, permissions.Operator)
}

// RecorderAs is Recorder for a command that is another user.
func (a *App) RecorderAs(js jetstream.JetStream, user string) audit.Recorder {
	return audit.Recorder{JS: js, User: cmp.Or(a.NATSUser, user), Source: source, Person: Caller()}
}

// SetPerson says on a command who sends it, unless it says so itself.
func SetPerson(e *event.Event) {
	if event.Extension(*e, event.AttrAuthType) == "" {
		event.Extend(e, event.Attribute{Name: event.AttrAuthType, Value: event.AuthTypeUser}, event.Attribute{Name: event.AttrAuthID, Value: Caller()})
	}
}
