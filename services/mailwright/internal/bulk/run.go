package bulk

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// maxShownRows bounds the unsuccessful rows that are printed at the end; the result file has all.
const maxShownRows = 20

// publish publishes the open rows of an import, and records their outcomes.
func (c *Command) publish(ctx context.Context, a *app.App, p *prepared) (err error) {
	connectCtx, cancel := context.WithTimeoutCause(ctx, app.ServerTimeout, fmt.Errorf("given up after %v", app.ServerTimeout))
	defer cancel()
	nc, js, err := a.Connect(connectCtx)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := checkSizes(p.open, nc.MaxPayload()); err != nil {
		return err
	}
	file, err := openResults(p.result, p.resultLength)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	col := &collector{
		app:       a,
		file:      file,
		progress:  a.NewProgress(),
		timeout:   c.Timeout,
		publisher: newPublisher(ctx, js, c.InFlight, c.Rate, c.Wait),
		recorder:  a.Recorder(js),
		reason:    c.Reason,
		entries:   map[string]*entry{},
		open:      map[string]*openRow{},
	}
	err = col.importAll(p, stop)
	if closing := file.close(); err == nil {
		err = closing
	}
	return col.end(ctx, p, err)
}

// checkSizes refuses a command that is larger than the server accepts, such as one with a large
// photo.
func checkSizes(entries []*entry, maxSize int64) error {
	for _, e := range entries {
		if size := int64(e.message.Size()); size > maxSize {
			return app.Usage("nothing was published: row %d makes a command of %d bytes, and the server takes %d", e.row, size, maxSize)
		}
	}
	return nil
}

// importAll publishes the open rows, and counts the invalid and the finished ones.
func (c *collector) importAll(p *prepared, stop func()) error {
	for _, r := range p.finished {
		c.tally.count(r)
	}
	for _, e := range p.invalid {
		texts := make([]string, len(e.faults))
		for i, f := range e.faults {
			texts[i] = f.text()
		}
		if err := c.keepOutcome(e.record(stateInvalid, strings.Join(texts, "; "))); err != nil {
			return err
		}
	}
	for _, e := range p.open {
		c.entries[e.receipt.OperationID] = e
	}
	published := make(chan error, 1)
	go func() { published <- c.publisher.run(p.open, c.recordPublishing) }()
	err := c.collect(stop)
	if publishing := <-published; err == nil {
		err = publishing
	}
	if keeping := c.keepOpen(); err == nil {
		err = keeping
	}
	return err
}

// recordPublishing publishes rows, and has AUDIT tell of it.
func (c *collector) recordPublishing(entries []*entry) error {
	if len(entries) == 0 {
		return nil
	}
	act := audit.Act{Action: audit.Import, Reason: c.reason, Count: len(entries)}
	for _, e := range entries {
		act.Tenants, act.Operations = append(act.Tenants, e.receipt.Tenant), append(act.Operations, e.receipt.OperationID)
	}
	return c.recorder.Record(c.publisher.ctx, act, func(tally *audit.Tally) error { return c.publisher.publish(entries, tally) })
}

// end prints the outcome of the run. Its error has the exit code.
func (c *collector) end(ctx context.Context, p *prepared, err error) error {
	c.tally.open = len(c.open)
	c.tally.unpublished = len(p.open) - c.published
	c.printUnsuccessful(p.result)
	unfinished := c.tally.open+c.tally.unpublished > 0
	switch {
	case ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) && unfinished:
		return &app.ExitError{Code: app.ExitNoOutcome, Err: fmt.Errorf("interrupted; the same call goes on from here\n%s", c.tally)}
	case err != nil:
		return fmt.Errorf("%w; the same call goes on from here\n%s", err, c.tally)
	case c.tally.failed+c.tally.invalid > 0:
		return errors.New(c.tally.String())
	case c.tally.open > 0:
		return &app.ExitError{Code: app.ExitNoOutcome, Err: errors.New(c.tally.String())}
	}
	text := c.tally.String()
	if !c.publisher.wait {
		text = render.Count(c.published, "row", "rows") + " published, without waiting for outcomes; " + text
	}
	out := c.app.Out
	if c.app.JSON {
		out = c.app.Err
	}
	_, err = fmt.Fprintln(out, text)
	return err
}

// printUnsuccessful prints rows that did not succeed, and the path of the result file.
func (c *collector) printUnsuccessful(result string) {
	for _, r := range c.unsuccessful {
		_, _ = fmt.Fprintf(c.app.Err, "row %d  %s  %s\n", r.Row, r.State, render.OneLine(r.Reason))
	}
	if more := c.tally.failed + c.tally.invalid - len(c.unsuccessful); more > 0 {
		_, _ = fmt.Fprintf(c.app.Err, "and %s more\n", render.Thousands(more))
	}
	_, _ = fmt.Fprintf(c.app.Err, "results: %s\n", result)
}
