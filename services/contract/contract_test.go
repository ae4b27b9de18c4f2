package contract

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// testCase is one command of a row.
type testCase struct {
	row     row
	want    verdict
	name    string
	message *message
	// first is the unchanged command that was carried out before.
	first *message
	ack   *jetstream.PubAck
	err   error
}

func cases() (list []*testCase) {
	for i, r := range rows() {
		for _, mode := range []string{inBinary, inStructured} {
			for j, change := range r.changes(mode) {
				name := fmt.Sprintf("r%d-%s-%d", i, mode, j)
				c := &testCase{row: r, want: r.verdict(mode), name: mode + "/" + r.topic + "/" + r.form + fmt.Sprintf("/%d", j), message: newMessage(mode, name)}
				change(c.message)
				if r.after {
					c.first = newMessage(mode, name)
				}
				list = append(list, c)
			}
		}
	}
	return list
}

func (r row) changes(mode string) []change {
	own := r.binary
	if mode == inStructured {
		own = r.structured
	}
	return append(append([]change{}, r.both...), own...)
}

func (r row) verdict(mode string) verdict {
	if mode == inStructured && r.other != nil {
		return *r.other
	}
	return r.want
}

// TestEnvelope publishes every row of the page's table to real services.
func TestEnvelope(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	list := cases()
	for _, c := range list {
		if c.first != nil {
			p.carryOut(t, c.first)
		}
	}
	for _, c := range list {
		c.ack, c.err = p.system.JetStream.PublishMsg(t.Context(), c.message.nats())
	}
	for _, c := range list {
		t.Run(strings.ReplaceAll(c.name, "`", ""), func(t *testing.T) { p.check(t, c) })
	}
}

func (p *publisher) carryOut(t *testing.T, m *message) {
	t.Helper()
	ack, err := p.system.JetStream.PublishMsg(t.Context(), m.nats())
	if err != nil {
		t.Fatal(err)
	}
	if v, r, err := p.await(t.Context(), m, ack.Sequence); err != nil || v.state != carriedOut {
		t.Fatalf("%v %v: %s", v, err, r.data)
	}
}

// check holds what became of a command against its row.
func (p *publisher) check(t *testing.T, c *testCase) {
	if c.want.state == notStored {
		if !errors.Is(c.err, jetstream.ErrNoStreamResponse) {
			t.Errorf("stored: %v, %v", c.ack, c.err)
		}
		return
	}
	if c.err != nil {
		t.Fatal(c.err)
	}
	if c.want.state == answered {
		p.checkAnswered(t, c)
		return
	}
	got, r, err := p.await(t.Context(), c.message, c.ack.Sequence)
	if err != nil {
		t.Error(err)
	}
	if got.state != c.want.state || got.reason != c.want.reason || !strings.Contains(got.why, c.want.why) {
		t.Errorf("got  %s: %s\nwant %s: %s", got.cell(), got.why, c.want.cell(), c.want.why)
	}
	if c.row.seen != nil && r.header != nil {
		if missing := c.row.seen(r); missing != "" {
			t.Error(missing)
		}
	}
	p.checkVendor(t, c)
}

// checkVendor says whether the vendor was asked to do what it should, and nothing else.
func (p *publisher) checkVendor(t *testing.T, c *testCase) {
	t.Helper()
	want := 0
	if c.want.state == carriedOut || c.first != nil {
		want = 1
	}
	if n, err := p.creates(t.Context(), c.message.name); err != nil || n != want {
		t.Errorf("%d creates at the vendor, want %d, %v", n, want, err)
	}
}

// checkAnswered sends a command of the same key behind the repeated one: when that is carried out,
// the repeated one has been dealt with.
func (p *publisher) checkAnswered(t *testing.T, c *testCase) {
	t.Helper()
	next := newMessage(c.message.mode, c.message.name+"-next")
	next.subject = c.message.subject
	p.carryOut(t, next)
	if l, ok := p.letter(c.ack.Sequence); ok {
		t.Errorf("a dead letter: %s: %s", l.Reason, l.Detail)
	}
	if v, _, err := p.await(t.Context(), c.message, c.ack.Sequence); err != nil || v.state != carriedOut {
		t.Errorf("its record says %s, %v", v.cell(), err)
	}
	p.checkVendor(t, c)
}
