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
	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

const (
	// replayHeader counts the replays of a message. The dead letter of a replayed message refers to
	// that message, and so to the count.
	replayHeader = "Mailwright-Replay"
	maxReplays   = 3
)

// Replay is `mailwright dead replay`.
type Replay struct {
	Selection
	Rate  float64 `default:"10" env:"-" help:"How many are published a second."`
	Force bool    `env:"-" help:"Also what was replayed 3 times before, and what conflicts with an earlier command."`
}

// Help implements kong.HelpProvider.
func (Replay) Help() string {
	return `Publishes the original message again, with its stored headers and body, to the subject that it came on. A header
Mailwright-Replay counts the replays. Once JetStream confirms the message, the dead letter is deleted from DEAD.
Dead letters are replayed in the order in which their commands were published. A replayed command is queued
behind the commands that were published to its key meanwhile.

A dead letter is refused where a replay cannot help:

  idempotency-conflict     publish the command under a new id (--force replays it all the same)
  outcome-unknown          its operation has the outcome "failed": look at the vendor whether it was carried
                           out, and publish a new command if not
  it has an outcome        discard the dead letter
  it is unreadable         its publisher has to correct it and publish it again
  it is gone               COMMANDS no longer has it, or has another message in its place: publish it again
  it was replayed 3 times  find out why (--force replays it all the same)

  mailwright dead replay 17
  mailwright dead replay --dead-reason acked-without-outcome --since 24h --dry-run
  mailwright dead replay --dead-reason max-deliveries --domain mailbox --rate 2 --yes

Exit codes: 0 done; 1 some were refused, it was interrupted, or NATS does not answer; 2 the call is wrong,
nothing was done.`
}

// Run replays.
func (c *Replay) Run(ctx context.Context, a *app.App) error {
	if c.Rate <= 0 || c.Rate > 1e6 {
		return app.Usage("--rate %v: must be more than 0 and at most 1000000 dead letters a second", c.Rate)
	}
	matches, err := c.check(a, time.Now())
	if err != nil {
		return err
	}
	if err := c.checkReason(c.needsReason()); err != nil {
		return err
	}
	d, err := open(ctx, a)
	if err != nil {
		return err
	}
	defer d.close()
	letters, err := c.letters(ctx, d, matches)
	if err != nil {
		return err
	}
	if len(letters) == 0 {
		_, err := fmt.Fprintln(a.Err, "no such dead letters")
		return err
	}
	inPublishedOrder(letters)
	if c.DryRun {
		return c.replay(ctx, a, d, letters, &audit.Tally{})
	}
	if err := c.confirm(a, letters, fmt.Sprintf("Replay %s, %v a second?", countLetters(len(letters)), c.Rate)); err != nil {
		return err
	}
	return a.Recorder(d.js).Record(ctx, c.act(audit.DeadReplay, letters, c.options()...), func(tally *audit.Tally) error {
		return c.replay(ctx, a, d, letters, tally)
	})
}

// needsReason names the option by which a call reaches farther than others; "" for none.
func (c *Replay) needsReason() string {
	switch {
	case c.DryRun:
		return ""
	case c.Force:
		return "--force"
	case c.All:
		return "--all"
	default:
		return ""
	}
}

func (c *Replay) options() []string {
	if c.Force {
		return []string{"force"}
	}
	return nil
}

// replay replays the letters, or says what would be replayed, and counts them.
func (c *Replay) replay(ctx context.Context, a *app.App, d *deadStream, letters []Letter, tally *audit.Tally) error {
	pace := time.NewTicker(time.Duration(float64(time.Second) / c.Rate))
	defer pace.Stop()
	p := newProgress(a, len(letters))
	for i, l := range letters {
		r, err := d.plan(ctx, l, c.Force)
		switch {
		case err != nil:
			return p.interrupted(err)
		case c.DryRun && r.Action != refused:
			r.Action = "would be replayed"
		case r.Action != refused:
			if i > 0 {
				select {
				case <-pace.C:
				case <-ctx.Done():
					return p.interrupted(context.Cause(ctx))
				}
			}
			if err := d.replay(ctx, &r); err != nil {
				return p.interrupted(err)
			}
			tally.Add(1)
		}
		if err := p.add(r.Done); err != nil {
			return err
		}
	}
	return p.finish(c.DryRun, letters)
}

// inPublishedOrder sorts dead letters by the sequences of their commands, since commands of one key
// build on each other. DEAD may have another order: several services write to it, each after its
// own retries.
func inPublishedOrder(letters []Letter) {
	slices.SortStableFunc(letters, func(a, b Letter) int { return cmp.Compare(a.Content.Sequence, b.Content.Sequence) })
}

// plannedReplay is the replay of one dead letter, or the reason why it is refused.
type plannedReplay struct {
	Done
	letter  Letter
	message *nats.Msg
}

// plan says what a replay of the dead letter would publish, or why it is refused.
func (d *deadStream) plan(ctx context.Context, l Letter, force bool) (plannedReplay, error) {
	refuse := func(format string, args ...any) (plannedReplay, error) {
		return plannedReplay{Done: Done{Letter: l.Sequence, Action: refused, Detail: fmt.Sprintf(format, args...)}}, nil
	}
	conflict := l.Content.Reason == operation.Conflict
	switch {
	case l.Content.Stream != topology.StreamCommands:
		return refuse("it is about no command, but about message %d of %s", l.Content.Sequence, cell(l.Content.Stream))
	case conflict && !force:
		return refuse("its source and id belong to another command, and so they would again: publish it under a new id")
	case l.Content.Reason == operation.OutcomeUnknown:
		return refuse(`its operation has the outcome "failed", which would be the answer: ` +
			"look at the vendor whether it was carried out, and publish a new command if not")
	}
	original, err := d.original(ctx, l)
	if err != nil {
		return plannedReplay{}, err
	}
	if original == nil {
		return refuse("COMMANDS no longer holds it: it has to be published anew")
	}
	address, ok := topology.ParseCommandSubject(original.Subject)
	if !ok {
		return refuse("it is stored on %s, which is no command's subject: publish it anew with another key", cell(original.Subject))
	}
	found := identify(original, address)
	if other := mismatch(l, original, address, found); other != "" {
		return refuse("message %d of COMMANDS is another one than the dead letter is about, since its %s differs, "+
			"as after a restore of COMMANDS: publish the command anew, then discard the dead letter", original.Sequence, other)
	}
	if found.unreadable != nil {
		return refuse("it is unreadable, and would be again: %v. Its publisher has to correct that and publish it anew; "+
			"then discard the dead letter", found.unreadable)
	}
	if !conflict {
		state, err := d.outcome(ctx, address.Tenant, address.Domain, found.operation)
		switch {
		case errors.Is(err, errUnreadableRecord):
			return refuse("%v, and a replay would end in DEAD again: look at the vendor whether it was carried out, "+
				"and publish a command with a new id if not", err)
		case err != nil:
			return plannedReplay{}, err
		case state != "":
			return refuse("its operation has an outcome by now, %q, which would be the answer: discard the dead letter", state)
		}
	}
	before, _ := strconv.Atoi(original.Header.Get(replayHeader)) // absent, or not ours: 0
	if before >= maxReplays && !force {
		return refuse("it was replayed %d times before; --force replays it again", before)
	}
	return plannedReplay{
		Done: Done{
			Letter:  l.Sequence,
			Action:  "replayed",
			Detail:  l.describe(),
			Subject: topology.PublishedSubject(address),
			Replay:  before + 1,
		},
		letter:  l,
		message: republished(original, topology.PublishedSubject(address), before+1),
	}, nil
}

// clockSkew bounds the difference between the clocks of NATS servers: the leader of each stream
// sets the timestamps of its messages.
const clockSkew = time.Minute

// mismatch names the first attribute in which a message differs from the original of a dead letter;
// "" for none. If COMMANDS was restored or made again, another message may have the sequence.
func mismatch(l Letter, m *jetstream.RawStreamMsg, address topology.Address, found identity) string {
	content := l.Content
	for _, attribute := range []struct{ name, kept, found string }{
		{"subject", content.Subject, topology.PublishedSubject(address)},
		{"source", content.Source, found.source},
		{"id", content.ID, found.id},
		{"operation", content.OperationID, found.operation},
	} {
		if attribute.kept != "" && attribute.kept != attribute.found {
			return attribute.name
		}
	}
	switch {
	case content.Size > 0 && content.Size != len(m.Data):
		return "size"
	case m.Time.After(l.StoredAt.Add(clockSkew)):
		return "time"
	default:
		return ""
	}
}

// republished is the original message with the count of replays. It has no Nats-Msg-Id: if it is
// published twice, it is carried out once all the same, since source and id name its operation.
func republished(original *jetstream.RawStreamMsg, subject string, replay int) *nats.Msg {
	header := nats.Header{replayHeader: {strconv.Itoa(replay)}}
	for name, values := range original.Header {
		// Headers of NATS are the server's, or were meant for one publish.
		if !strings.HasPrefix(strings.ToLower(name), "nats-") && name != replayHeader {
			header[name] = values
		}
	}
	return &nats.Msg{Subject: subject, Header: header, Data: original.Data}
}

// replayTimeout bounds one replay.
const replayTimeout = 30 * time.Second

// replay publishes the message and deletes the dead letter.
func (d *deadStream) replay(ctx context.Context, r *plannedReplay) error {
	ctx, cancel := context.WithTimeoutCause(ctx, replayTimeout, fmt.Errorf("given up after %v", replayTimeout))
	defer cancel()
	ack, err := client.Store(ctx, d.js, r.message)
	if err != nil {
		return fmt.Errorf("publish the command of dead letter %d: %w", r.Letter, err)
	}
	r.Command = ack.Sequence
	return d.discard(ctx, r.letter)
}
