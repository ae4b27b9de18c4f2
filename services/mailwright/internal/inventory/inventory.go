// Package inventory is `mailwright inventory`: it takes inventories of mailboxes, and shows what
// they found.
package inventory

import "github.com/mailwright/mailwright/services/mailwright/internal/app"

// Command is `mailwright inventory`.
type Command struct {
	Sync Sync `cmd:"" help:"Take an inventory: publish the command, show how far it is, print what it found."`
	Ls   List `cmd:"" help:"List mailboxes as they were found last."`
	Show Show `cmd:"" help:"Show all that is known of one mailbox."`
	Diff Diff `cmd:"" help:"Show what has changed: in one inventory, between two, or since a time."`
}

// Help implements kong.HelpProvider.
func (Command) Help() string {
	return `sync needs NATS; ls, show and diff read Postgres (DATABASE_URL), as a dashboard does.

  mailwright inventory sync
  mailwright inventory ls --near-quota 0.9 --csv
  mailwright inventory show alex@contoso.com
  mailwright inventory diff --since 24h

Exit codes: 0 done; 1 the inventory failed, nothing was found, or a server does not answer; 2 the call is wrong;
3 no outcome in time: the inventory goes on; 5 the inventory is suspect: it missed so many mailboxes that it
reports none as missing.`
}

// Output says in what form rows are printed.
type Output struct {
	CSV bool `name:"csv" env:"-" xor:"form" help:"Print CSV, with a heading (RFC 4180), instead of a table."`
}

// printer prints rows as they come, the global --json included.
func (o Output) printer(a *app.App, columns []column) printer {
	switch {
	case a.JSON:
		return jsonLines{a}
	case o.CSV:
		return newCSV(a.Out, columns)
	default:
		return newTable(a.Out, columns)
	}
}
