package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// TestPartitionsChangeUnderKills: while a publisher goes on, the partitions become 16 and then 4.
// `mailwright streams apply` is killed again and again, a little later each time, and so are the
// two replicas. Each key's commands take effect in order, and each has one outcome.
func TestPartitionsChangeUnderKills(t *testing.T) {
	t.Parallel()
	s := startServers(t)
	mailboxes := []string{"adele.vance", "diego.siciliani", "megan.bowen"}
	replicas := []*worker{s.replica(), s.replica()}
	kill := func(i int) {
		_ = replicas[i].Process.Kill()
		replicas[i] = s.replica()
	}
	want := map[string][]string{} // lists of delegates, by mailbox
	var ids []string
	published, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(published)
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-pace.C:
			}
			mailbox := mailboxes[i%len(mailboxes)]
			// Each command changes what the one before has left.
			delegates := fmt.Sprintf(`["delegate%d@contoso.com"]`, 1+i/len(mailboxes)%4)
			id := fmt.Sprint("p", i)
			c := command{id, event.TypeDelegationSet, mailbox, fmt.Sprintf(`{"mailbox":"%s@contoso.com","delegates":%s}`, mailbox, delegates)}
			if s.publish(t.Context(), c.message()) != nil {
				return
			}
			ids = append(ids, id)
			want[mailbox] = append(want[mailbox], delegates)
		}
	}()
	for change, partitions := range []int{16, 4} {
		for after := 20 * time.Millisecond; s.applyPartitions(partitions, after) == "killed"; after += 15 * time.Millisecond {
		}
		kill(change)
		s.eventually(func(context.Context) string { return s.applyPartitions(partitions, waitTimeout) })
		kill(1 - change)
	}
	close(stop)
	<-published
	for _, id := range ids {
		if e := s.outcome(event.DomainDelegation, id); e.Type() != event.TypeDelegationChanged {
			t.Fatalf("%s ended as %s: %s", id, e.Type(), e.Data())
		}
	}
	s.oneOutcomeEach(len(ids))
	for mailbox, lists := range want {
		if got := slices.Compact(s.listsOf(mailbox)); !slices.Equal(got, lists) {
			t.Errorf("%s had the lists %q, want %q", mailbox, got, lists)
		}
	}
	t.Logf("%d commands", len(ids))
}

// applyPartitions calls `mailwright streams apply` and kills it after a time: "killed". "": nothing
// is left to do. Else it is what there is.
func (s *servers) applyPartitions(partitions int, after time.Duration) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), after)
	defer cancel()
	c := exec.CommandContext(ctx, filepath.Join(bin, "mailwright"), "streams", "apply", "--partitions", fmt.Sprint(partitions), "--nats-url", s.nats)
	c.Env = append(os.Environ(), "MAILWRIGHT_CONFIG=")
	out, err := c.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return "killed"
	case err != nil:
		s.Fatalf("apply: %v\n%s", err, out)
	case !strings.Contains(string(out), "0 missing, 0 made, 0 changed, 0 differ") || strings.Contains(string(out), "draining"):
		return string(out)
	}
	return ""
}

// oneOutcomeEach fails the test unless as many operations have an outcome as there are outcomes.
func (s *servers) oneOutcomeEach(operations int) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), waitTimeout)
	defer cancel()
	all, err := s.js.OrderedConsumer(ctx, topology.StreamEvents, jetstream.OrderedConsumerConfig{})
	if err != nil {
		s.Fatal(err)
	}
	ended := map[string]int{}
	for last := false; !last; {
		m, err := all.Next(jetstream.FetchContext(ctx))
		if err != nil {
			s.Fatal(err)
		}
		meta, err := m.Metadata()
		if err != nil {
			s.Fatal(err)
		}
		last = meta.NumPending == 0
		e, err := event.Decode(m.Headers(), m.Data())
		if err != nil {
			s.Fatal(err)
		}
		if state, ok := event.StateOf(e); ok && state.Terminal() {
			ended[m.Subject()]++
		}
	}
	for subject, n := range ended {
		if n != 1 {
			s.Errorf("%s has %d outcomes", subject, n)
		}
	}
	if len(ended) != operations {
		s.Errorf("%d operations have an outcome, of %d", len(ended), operations)
	}
}
