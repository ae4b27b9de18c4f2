// Package dead is `mailwright dead`: it lists, shows, replays and discards what ended in the stream
// DEAD.
package dead

// Command is `mailwright dead`.
type Command struct {
	Ls      List    `cmd:"" help:"List dead letters."`
	Show    Show    `cmd:"" help:"Show one dead letter and the message that it is about."`
	Replay  Replay  `cmd:"" help:"Publish the original commands again, and take their letters out."`
	Discard Discard `cmd:"" help:"Take letters out."`
}

// Help implements kong.HelpProvider.
func (Command) Help() string {
	return `A message that nobody could settle ends in the stream DEAD, as a dead letter that says why and refers to the original:

  unreadable             no id, source or key that could be used, so nobody could be answered
  idempotency-conflict   tenant, source and id of an earlier command, but other data
  expired                it waited longer than COMMANDS keeps commands
  outcome-unknown        whether it was carried out can not be read back: a person has to look
  acked-without-outcome  acknowledged by something other than a service, without an outcome
  record-unreadable      what EVENTS holds of its operation can not be read
  reference-mismatch     what waited refers to another command, as after a restore of COMMANDS
  internal               a fault of Mailwright itself
  max-deliveries         a consumer gave it up
  terminated             somebody terminated it

Letters are numbered by their sequence in DEAD, as in the table mailwright.dead_letters. Postgres is not needed.`
}
