package contract

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const page = "../../docs/contract.md"

func readPage(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// table is the page's table of the envelope.
func table() string {
	var b strings.Builder
	b.WriteString("| | form | binary mode | structured mode | what the answer says |\n|---|---|---|---|---|\n")
	last := ""
	for _, r := range rows() {
		topic := r.topic
		if topic == last {
			topic = ""
		}
		last = r.topic
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", topic, r.form, r.cell(inBinary), r.cell(inStructured), r.words())
	}
	return b.String()
}

func (r row) cell(mode string) string {
	if len(r.changes(mode)) == 0 {
		return "–"
	}
	return r.verdict(mode).cell()
}

func (r row) words() string {
	if r.says != "" {
		return r.says
	}
	text := r.want.problem()
	if r.other != nil {
		text += "; structured: " + r.other.problem()
	}
	return text
}

const (
	tableBegin = "<!-- envelope: written by services/contract, go test -update -->\n"
	tableEnd   = "<!-- end of envelope -->\n"
)

// TestPageHasTheTable compares the page's table with the rows that [TestEnvelope] publishes.
func TestPageHasTheTable(t *testing.T) {
	t.Parallel()
	text := readPage(t)
	before, rest, ok := strings.Cut(text, tableBegin)
	old, after, closed := strings.Cut(rest, tableEnd)
	if !ok || !closed {
		t.Fatalf("%s lacks %q or %q", page, tableBegin, tableEnd)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+tableBegin+table()+tableEnd+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table(), old); diff != "" {
		t.Errorf("%s (-rows +page; -update writes it anew):\n%s", page, diff)
	}
}

// shell is an example of the page: calls behind a $, and what each prints.
var shell = regexp.MustCompile("(?s)```console\n(.*?)```")

// TestShellExamplesPrintWhatThePageSays runs each call of the page's console examples, in the order
// of the page.
func TestShellExamplesPrintWhatThePageSays(t *testing.T) {
	t.Parallel()
	blocks := shell.FindAllStringSubmatch(readPage(t), -1)
	if len(blocks) == 0 {
		t.Fatal("the page has no console example")
	}
	var earlier string
	for _, block := range blocks {
		for call := range strings.SplitSeq(strings.TrimPrefix(block[1], "$ "), "\n$ ") {
			script, want := splitCall(call)
			out, err := exec.CommandContext(t.Context(), "sh", "-c", earlier+script).CombinedOutput()
			if err != nil || strings.TrimSpace(string(out)) != strings.TrimSpace(want) {
				t.Errorf("%s\nprints %s%v\nthe page says %s", script, out, err, want)
			}
			if want == "" { // a definition, which later calls use
				earlier += script + "\n"
			}
		}
	}
}

// splitCall takes the call, which goes on over lines that begin with "> ", from what it prints.
func splitCall(text string) (script, prints string) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	n := 1
	for n < len(lines) && strings.HasPrefix(lines[n], "> ") {
		lines[n] = strings.TrimPrefix(lines[n], "> ")
		n++
	}
	return strings.Join(lines[:n], "\n"), strings.Join(lines[n:], "\n")
}

// TestPublishing holds what the page says of acknowledgements.
func TestPublishing(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	js := p.system.JetStream
	stored := func() uint64 {
		t.Helper()
		s, err := js.Stream(t.Context(), "COMMANDS")
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().State.LastSeq
	}
	t.Run("a bare PUB to a wrong subject is lost without a word", func(t *testing.T) {
		if err := p.system.NATS.PublishMsg(&nats.Msg{Subject: "mailwright.cmd.contoso.mailboxes.a", Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		if err := p.system.NATS.FlushTimeout(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		if n := stored(); n != 0 {
			t.Errorf("COMMANDS holds %d", n)
		}
	})
	t.Run("of two messages with one Nats-Msg-Id within 100 ms one is stored", func(t *testing.T) {
		// a loaded machine may take longer than 100 ms from one to the other
		for attempt := range 10 {
			before := stored()
			acks := make([]jetstream.PubAckFuture, 2)
			for i := range acks {
				m := newMessage(inBinary, fmt.Sprintf("msgid-%d-%d", attempt, i)).nats()
				m.Header.Set("Nats-Msg-Id", fmt.Sprint("number ", attempt))
				ack, err := js.PublishMsgAsync(m)
				if err != nil {
					t.Fatal(err)
				}
				acks[i] = ack
			}
			<-js.PublishAsyncComplete()
			if second := <-acks[1].Ok(); second.Duplicate {
				if n := stored() - before; n != 1 {
					t.Errorf("%d were stored", n)
				}
				return
			}
		}
		t.Error("no acknowledgement said that it is a duplicate")
	})
}
