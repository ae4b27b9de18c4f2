package bulk

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// collector records the outcomes of the rows of a run: in the result file, on standard output and
// in the tally.
type collector struct {
	app       *app.App
	file      *resultFile
	progress  *app.Progress
	timeout   time.Duration // of the waiting, from the last row's publishing on
	publisher *publisher
	recorder  audit.Recorder
	reason    string // that the call gives

	entries      map[string]*entry // to be published, by operation
	open         map[string]*openRow
	waiting      int // of the open ones, those that wait for a later attempt
	published    int
	tally        tally
	unsuccessful []record  // the first rows that did not succeed
	deadline     time.Time // zero before all rows are published
}

// openRow is a published row without an outcome.
type openRow struct {
	entry        *entry
	slotReleased bool
	nextAttempt  time.Time // zero: the operation does not wait
	reason       string    // why it waits
}

// collect takes updates until there are no more. Its error is that a result could not be written;
// then it ends the run.
func (c *collector) collect(stop func()) error {
	var failed error
	for u := range c.publisher.updates {
		if failed != nil {
			continue // the publisher must not block
		}
		failed = c.handle(u)
		if failed == nil && len(c.publisher.updates) == 0 {
			failed = c.file.sync()
		}
		if failed != nil {
			stop()
		}
	}
	return failed
}

func (c *collector) handle(u update) error {
	switch {
	case u.all:
		c.deadline = time.Now().Add(c.timeout)
		time.AfterFunc(c.timeout, c.publisher.stopWaiting)
	case u.published != nil:
		c.published++
		if !c.publisher.wait {
			return c.keep(u.published.record(statePublished, ""))
		}
		c.open[u.published.receipt.OperationID] = &openRow{entry: u.published}
	default:
		if err := c.handleUpdate(*u.followed); err != nil {
			return err
		}
	}
	if c.isWaitUseless() {
		c.publisher.stopWaiting()
	}
	done := c.published
	if c.publisher.wait {
		done -= len(c.open)
	}
	c.progress.Set("import", uint64(done), uint64(len(c.entries)), "rows")
	return nil
}

// handleUpdate handles an update of a row. A row that waits for a later attempt releases its slot,
// since no call for it is running.
func (c *collector) handleUpdate(n client.Update) error {
	id := n.Receipt.OperationID
	s := c.open[id]
	if s == nil {
		return nil // it has its outcome
	}
	if !s.nextAttempt.IsZero() {
		c.waiting--
	}
	s.nextAttempt, s.reason = waitOf(n)
	if !s.nextAttempt.IsZero() {
		c.waiting++
	}
	if !s.slotReleased && (n.Final() || !s.nextAttempt.IsZero()) {
		s.slotReleased = true
		<-c.publisher.slots
	}
	if !n.Final() {
		return nil
	}
	delete(c.open, id)
	return c.keepOutcome(outcomeOf(s.entry, n))
}

// waitOf says when a waiting operation continues, and why it waits.
func waitOf(n client.Update) (time.Time, string) {
	if n.Dead != nil || n.State != event.StateWaiting && n.State != event.StateUnknown {
		return time.Time{}, ""
	}
	var data struct {
		NextAttemptAt time.Time `json:"nextAttemptAt"`
	}
	_ = n.Event.DataAs(&data) // unreadable: the time is unknown
	return data.NextAttemptAt, render.Describe(n.Event)
}

// isWaitUseless reports whether every open row continues only after the deadline.
func (c *collector) isWaitUseless() bool {
	if c.deadline.IsZero() || len(c.open) == 0 || c.waiting < len(c.open) {
		return false
	}
	for _, s := range c.open {
		if s.nextAttempt.Before(c.deadline) {
			return false
		}
	}
	return true
}

// keepOutcome counts and records the outcome of a row.
func (c *collector) keepOutcome(r record) error {
	c.tally.count(r)
	if r.State != string(event.StateSucceeded) && len(c.unsuccessful) < maxShownRows {
		c.unsuccessful = append(c.unsuccessful, r)
	}
	return c.keep(r)
}

// keep writes a record to the result file, and to standard output where JSON is wanted.
func (c *collector) keep(r record) error {
	if err := c.file.write(r); err != nil {
		return fmt.Errorf("result file: %w", err)
	}
	if c.app.JSON {
		return c.app.PrintJSON(r)
	}
	return nil
}

// keepOpen records the rows without an outcome, in the order of the table.
func (c *collector) keepOpen() error {
	var list []*openRow
	for _, s := range c.open {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *openRow) int { return cmp.Compare(a.entry.row, b.entry.row) })
	for _, s := range list {
		if err := c.keep(s.entry.record(stateOpen, s.reason)); err != nil {
			return err
		}
	}
	return nil
}

func (e *entry) record(state, reason string) record {
	operation := e.receipt.OperationID
	if operation == "" && e.id != "" { // there is no message: its row is invalid
		operation = e.operation(e.attempt)
	}
	return record{Row: e.row, ID: attemptID(e.id, e.attempt), Operation: operation, Attempt: e.attempt, State: state, Reason: reason}
}

// outcomeOf is the record of a row that has its outcome.
func outcomeOf(e *entry, n client.Update) record {
	if n.Dead != nil {
		return e.record(stateDead, render.DescribeDead(*n.Dead))
	}
	r := e.record(string(n.State), "")
	if n.State != event.StateSucceeded || n.Event.Type() == event.PlannedType(n.Receipt.Domain) {
		r.Reason = render.Describe(n.Event)
	}
	var data struct {
		Operation event.OperationData `json:"operation"`
		Warnings  []event.Warning     `json:"warnings"`
	}
	_ = n.Event.DataAs(&data) // unreadable: no warnings
	for _, w := range slices.Concat(data.Operation.Warnings, data.Warnings) {
		r.Warnings = append(r.Warnings, render.OneLine(w.Text))
	}
	return r
}
