package dead

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

const (
	// replayHeader counts how often a message was replayed. It comes back here with the dead letter
	// of a replayed one.
	replayHeader = "Mailwright-Replay"
	mostReplays  = 3
)

// Replay is `mailwright dead replay`.
type Replay struct {
	Selection
	Rate  float64 `default:"10" env:"-" help:"How many are published a second."`
	Force bool    `env:"-" help:"Also what was replayed 3 times before, and what conflicts with an earlier command."`
}

// Help implements kong.HelpProvider.
func (Replay) Help() string {
	return `Publishes the original message again, headers and body as they are stored, to the subject that it came on, with a header Mailwright-Replay that counts. Once that is confirmed the letter is taken out of DEAD. Letters are replayed in the order in which their commands were published. What is replayed is queued behind what was published to its key meanwhile.

Refused is what a replay can not cure, with the remedy. An idempotency-conflict: publish it under a new id. One whose outcome is unknown: its operation has the outcome "failed", which would be the answer; look at the vendor whether it was carried out, and publish a new command if not. What has an outcome by now: discard the dead letter. What is unreadable: whoever publishes it mends it. What is gone from COMMANDS, or where COMMANDS holds another message in its place, as after a restore: publish it anew. What was replayed 3 times before: find out why. --force replays the first and the last of these all the same.

  mailwright dead replay 17
  mailwright dead replay --reason acked-without-outcome --since 24h --dry-run
  mailwright dead replay --reason max-deliveries --domain mailbox --rate 2 --yes

Exit codes: 0 done; 1 some were refused, it was broken off, or NATS is away; 2 the call is wrong, nothing was done.`
}

// Run replays.
func (c *Replay) Run(ctx context.Context, a *app.App) error {
	if c.Rate <= 0 || c.Rate > 1e6 {
		return app.Usage("--rate %v: is not a number of letters a second", c.Rate)
	}
	fits, err := c.check(a, time.Now())
	if err != nil {
		return err
	}
	b, err := open(ctx, a)
	if err != nil {
		return err
	}
	defer b.close()
	letters, err := c.letters(ctx, b, fits)
	if err != nil {
		return err
	}
	if len(letters) == 0 {
		_, err := fmt.Fprintln(a.Err, "no such dead letters")
		return err
	}
	inPublishedOrder(letters)
	if !c.DryRun {
		if err := c.consent(a, letters, fmt.Sprintf("Replay %s, %v a second?", letterCount(len(letters)), c.Rate)); err != nil {
			return err
		}
	}
	return c.replay(ctx, a, b, letters)
}

func (c *Replay) replay(ctx context.Context, a *app.App, b *box, letters []Letter) error {
	pace := time.NewTicker(time.Duration(float64(time.Second) / c.Rate))
	defer pace.Stop()
	p := newProgress(a, len(letters))
	for i, l := range letters {
		r, err := b.plan(ctx, l, c.Force)
		switch {
		case err != nil:
			return p.brokenOff(err)
		case c.DryRun && r.Action != refused:
			r.Action = "would be replayed"
		case r.Action != refused:
			if i > 0 {
				select {
				case <-pace.C:
				case <-ctx.Done():
					return p.brokenOff(context.Cause(ctx))
				}
			}
			if err := b.replay(ctx, &r); err != nil {
				return p.brokenOff(err)
			}
		}
		if err := p.done(r.Done); err != nil {
			return err
		}
	}
	return p.end(c.DryRun, letters)
}

// inPublishedOrder sorts letters as their commands were published, for commands of one key build on
// each other. DEAD may have them in another order: several services write to it, each after its own
// retries.
func inPublishedOrder(letters []Letter) {
	slices.SortStableFunc(letters, func(a, b Letter) int { return cmp.Compare(a.Letter.Sequence, b.Letter.Sequence) })
}

// replayed is one letter's way back.
type replayed struct {
	Done
	letter  Letter
	message *nats.Msg
}

// plan says what a replay of the letter would publish, or why it is refused.
func (b *box) plan(ctx context.Context, l Letter, force bool) (replayed, error) {
	no := func(format string, args ...any) (replayed, error) {
		return replayed{Done: Done{Letter: l.Sequence, Action: refused, Detail: fmt.Sprintf(format, args...)}}, nil
	}
	conflict := l.Letter.Reason == operation.Conflict
	switch {
	case l.Letter.Stream != topology.StreamCommands:
		return no("it is about no command, but about message %d of %s", l.Letter.Sequence, cell(l.Letter.Stream))
	case conflict && !force:
		return no("its source and id belong to another command, and so they would again: publish it under a new id")
	case l.Letter.Reason == operation.OutcomeUnknown:
		return no(`its operation has the outcome "failed", which would be the answer: look at the vendor whether it was carried out, and publish a new command if not`)
	}
	original, err := b.original(ctx, l)
	if err != nil {
		return replayed{}, err
	}
	if original == nil {
		return no("COMMANDS no longer holds it: it has to be published anew")
	}
	address, ok := topology.ParseCommandSubject(original.Subject)
	if !ok {
		return no("it is stored on %s, which is no command's subject: publish it anew with another key", cell(original.Subject))
	}
	found := identify(original, address)
	if other := mismatch(l, original, address, found); other != "" {
		return no("message %d of COMMANDS is another one than the dead letter is about, since its %s differs, as after a restore of COMMANDS: publish the command anew, then discard the dead letter", original.Sequence, other)
	}
	if found.unreadable != nil {
		return no("it is unreadable, and would be again: %v. Whoever publishes it has to mend that and publish it anew; then discard the dead letter", found.unreadable)
	}
	if !conflict {
		state, err := b.outcome(ctx, address.Tenant, address.Domain, found.operation)
		switch {
		case errors.Is(err, errRecord):
			return no("%v, and a replay would end in DEAD again: look at the vendor whether it was carried out, and publish a command with a new id if not", err)
		case err != nil:
			return replayed{}, err
		case state != "":
			return no("its operation has an outcome by now, %q, which would be the answer: discard the dead letter", state)
		}
	}
	before, _ := strconv.Atoi(original.Header.Get(replayHeader)) // absent, or not ours: 0
	if before >= mostReplays && !force {
		return no("it was replayed %d times before; --force replays it again", before)
	}
	return replayed{
		Done:   Done{Letter: l.Sequence, Action: "replayed", Detail: l.about(), Subject: topology.PublishedSubject(address), Replay: before + 1},
		letter: l, message: again(original, topology.PublishedSubject(address), before+1),
	}, nil
}

// clockSkew is how far the clocks of NATS servers may be apart: each stream's leader stamps its
// messages.
const clockSkew = time.Minute

// mismatch names what tells a message from the one that a letter was written about; "" for nothing.
// Where COMMANDS was made anew or restored, another message has the sequence.
func mismatch(l Letter, m *jetstream.RawStreamMsg, address topology.Address, found identity) string {
	kept := l.Letter
	for _, of := range []struct{ name, kept, found string }{
		{"subject", kept.Subject, topology.PublishedSubject(address)},
		{"source", kept.Source, found.source},
		{"id", kept.ID, found.id},
		{"operation", kept.OperationID, found.operation},
	} {
		if of.kept != "" && of.kept != of.found {
			return of.name
		}
	}
	switch {
	case kept.Size > 0 && kept.Size != len(m.Data):
		return "size"
	case m.Time.After(l.StoredAt.Add(clockSkew)):
		return "time"
	default:
		return ""
	}
}

// again is the original as it was published, with the count. It has no Nats-Msg-Id: a replay that
// is made twice is carried out once all the same, since source and id name its operation.
func again(original *jetstream.RawStreamMsg, subject string, replay int) *nats.Msg {
	header := nats.Header{replayHeader: {strconv.Itoa(replay)}}
	for name, values := range original.Header {
		// Those are the server's, or were meant for one publish.
		if !strings.HasPrefix(strings.ToLower(name), "nats-") && name != replayHeader {
			header[name] = values
		}
	}
	return &nats.Msg{Subject: subject, Header: header, Data: original.Data}
}

// confirmation bounds how long one replay may take.
const confirmation = 30 * time.Second

// replay publishes, and takes the letter out.
func (b *box) replay(ctx context.Context, r *replayed) error {
	ctx, cancel := context.WithTimeoutCause(ctx, confirmation, fmt.Errorf("given up after %v", confirmation))
	defer cancel()
	ack, err := client.Store(ctx, b.js, r.message)
	if err != nil {
		return fmt.Errorf("publish the command of dead letter %d: %w", r.Letter, err)
	}
	r.Command = ack.Sequence
	return b.discard(ctx, r.letter)
}
