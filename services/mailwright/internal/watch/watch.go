// Package watch is `mailwright watch`: it follows what happens, a line an event.
package watch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Command is `mailwright watch`.
type Command struct {
	Domain    []string `enum:"directory,mailbox,delegation,inventory" env:"-" help:"Only these domains: ${enum}."`
	Type      []string `env:"-" help:"Only these types of events, in full or short: mailbox.created."`
	Operation string   `short:"o" env:"-" placeholder:"ID" help:"Only this operation; the beginning of its id is enough."`
	Tenant    string   `env:"-" help:"Only this tenant; of dead letters, those whose tenant is known."`
	States    []string `name:"in" enum:"started,waiting,unknown,succeeded,failed,rejected,cancelled,observed,missing,dead" env:"-" placeholder:"STATE" help:"Only these states: ${enum}."`
	Since     string   `env:"-" placeholder:"now|all|1h|TIME" help:"Start: now, all, a time ago, or an RFC 3339 time."`
	Mailboxes bool     `env:"-" help:"Also the observations of mailboxes by inventories."`
	Drift     bool     `env:"-" help:"Also delegates that are not as the last command left them."`
	Dead      bool     `env:"-" help:"Also dead letters."`
	Count     int      `short:"c" env:"-" placeholder:"N" help:"End after N events."`
}

// Help implements kong.HelpProvider.
func (Command) Help() string {
	return `Follows the events of operations until Ctrl-C: time, operation, domain, state, subject, and what happened, or why it
waits and until when. With --json each line is a CloudEvent; a dead letter is its data alone, which has a member
"reason".

Operations are started, waiting, unknown, succeeded, failed, rejected or cancelled; mailboxes are observed or missing;
dead letters are dead. It starts now, or with --operation at the beginning of the stream.

  mailwright watch --domain mailbox --in failed,rejected --since 24h
  mailwright watch --operation ng35avui
  mailwright watch --since all --json --count 100`
}

// Run follows until ctx ends, which is no error, or the events asked for have been seen.
func (c *Command) Run(ctx context.Context, a *app.App) error {
	from, err := c.startPosition(time.Now())
	if err != nil {
		return err
	}
	types, err := c.types()
	if err != nil {
		return err
	}
	if c.Count < 0 {
		return app.Usage("--count %d: is not a number of events", c.Count)
	}
	connectCtx, cancel := context.WithTimeoutCause(ctx, app.ServerTimeout, fmt.Errorf("given up after %v", app.ServerTimeout))
	defer cancel()
	nc, js, err := a.Connect(connectCtx)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	defer nc.Close()
	messages, err := client.Follow(ctx, js, c.sources(from)...)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	if !a.JSON {
		_, _ = fmt.Fprintf(a.Err, "following %s; Ctrl-C ends\n", strings.Join(c.streams(), ", "))
		if c.isNotRecorded(ctx, js) {
			_, _ = fmt.Fprintf(a.Err, "nothing is recorded of an operation %s yet; waiting for it\n", c.Operation)
		}
	}
	seen := 0
	lines := app.NewLines(a.Out)
	for m := range messages {
		item, ok := itemOf(m)
		if !ok || !c.matches(item, types) {
			continue
		}
		if err := item.print(a, lines); err != nil {
			return err
		}
		if seen++; seen == c.Count {
			return nil
		}
	}
	return nil
}

// isNotRecorded reports whether an operation was asked for of which EVENTS holds nothing. An error
// counts as no: it is only about what is said to the user.
func (c *Command) isNotRecorded(ctx context.Context, js jetstream.JetStream) bool {
	if c.Operation == "" {
		return false
	}
	events, err := js.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return false
	}
	for _, subjects := range c.subjects() {
		info, err := events.Info(ctx, jetstream.WithSubjectFilter(subjects))
		if err != nil {
			return false
		}
		for subject := range info.State.Subjects {
			if strings.HasPrefix(subject[strings.LastIndexByte(subject, '.')+1:], c.Operation) {
				return false
			}
		}
	}
	return true
}

// unlessEnded drops an error that is only the end that was asked for.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// startPosition turns --since into where a consumer starts.
func (c *Command) startPosition(now time.Time) (jetstream.OrderedConsumerConfig, error) {
	since := c.Since
	if since == "" && c.Operation != "" {
		since = "all"
	}
	switch since {
	case "", "now":
		return jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy}, nil
	case "all":
		return jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}, nil
	}
	start, err := app.Ago(since, now)
	if err != nil {
		const forms = "now, all, a duration such as 90m, or a time such as 2026-11-21T09:00:00Z"
		return jetstream.OrderedConsumerConfig{}, app.Usage("--since %s: want %s", since, forms)
	}
	return jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &start}, nil
}

// types gives the long forms of --type.
func (c *Command) types() ([]string, error) {
	var list []string
	for _, t := range c.Type {
		long := render.Long(t)
		if !slices.Contains(event.ResultTypes(), long) {
			return nil, app.Usage("--type %s is no type of an event; events are %s", t, strings.Join(shortTypes(), ", "))
		}
		list = append(list, long)
	}
	return list, nil
}

func shortTypes() []string {
	var list []string
	for _, t := range event.ResultTypes() {
		list = append(list, render.Short(t))
	}
	return list
}

func (c *Command) streams() []string {
	streams := []string{topology.StreamEvents}
	if c.Mailboxes {
		streams = append(streams, topology.StreamMailboxes)
	}
	if c.Drift {
		streams = append(streams, topology.StreamDrift)
	}
	if c.Dead {
		streams = append(streams, topology.StreamDead)
	}
	return streams
}

// sources are the streams to follow, with what the server can filter.
func (c *Command) sources(from jetstream.OrderedConsumerConfig) []client.Source {
	var list []client.Source
	for _, stream := range c.streams() {
		config := from
		if stream == topology.StreamEvents {
			config.FilterSubjects = c.subjects()
		}
		list = append(list, client.Source{Stream: stream, OrderedConsumerConfig: config})
	}
	return list
}

const (
	eventSubjects     = "mailwright.evt.%s.%s.%s" // topology.EventSubject, with room for wildcards
	operationIDLength = 26                        // of an operation's whole id
)

func (c *Command) subjects() []string {
	operationToken := "*"
	if len(c.Operation) == operationIDLength {
		operationToken = event.Token(c.Operation)
	}
	domains := c.Domain
	if len(domains) == 0 {
		domains = []string{"*"}
	}
	var list []string
	for _, d := range domains {
		list = append(list, fmt.Sprintf(eventSubjects, cmp.Or(c.Tenant, "*"), d, operationToken))
	}
	return list
}

// item is a message as the command sees it.
type item struct {
	line      render.Line
	tenant    string
	eventType string // of a dead letter: the command's
	document  any    // what --json prints
}

// itemOf makes an item of a message; a message that cannot be read is not shown.
func itemOf(m jetstream.Msg) (item, bool) {
	if meta, err := m.Metadata(); err == nil && meta.Stream == topology.StreamDead {
		letter, err := event.ReadDeadLetter(m.Data())
		if err != nil {
			return item{}, false
		}
		var domain event.Domain
		letter.Tenant, domain = render.TenantAndDomain(m.Subject(), letter)
		return item{line: render.LineOfDead(letter, domain), tenant: letter.Tenant, eventType: letter.Type, document: letter}, true
	}
	e, err := event.Decode(m.Headers(), m.Data())
	if err != nil {
		return item{}, false
	}
	return item{line: render.LineOf(e), tenant: event.Extension(e, event.AttrTenantID), eventType: e.Type(), document: e}, true
}

func (c *Command) matches(i item, types []string) bool {
	return (len(c.Domain) == 0 || slices.Contains(c.Domain, i.line.Domain)) &&
		(len(types) == 0 || slices.Contains(types, i.eventType)) &&
		(len(c.States) == 0 || slices.Contains(c.States, i.line.State)) &&
		(c.Tenant == "" || c.Tenant == i.tenant) &&
		strings.HasPrefix(i.line.Operation, c.Operation)
}

func (i item) print(a *app.App, lines *app.Lines) error {
	if a.JSON {
		return a.PrintJSON(i.document)
	}
	return lines.Print(i.line.Topic, i.line.Format(a.Colour()))
}
