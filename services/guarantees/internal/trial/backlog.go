package trial

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
)

// Backlog is how a service worked off a heap of commands that had gathered while it was down.
type Backlog struct {
	// Commands that could be carried out, Parked those on keys that wait for an hour.
	Commands, Parked int
	Took             time.Duration
	// PeakBytes is the service's largest resident memory.
	PeakBytes int64
}

// Rate is commands a second.
func (b Backlog) Rate() float64 { return float64(b.Commands) / b.Took.Seconds() }

// stuckShare: one key of a hundred waits, where keys are to be stuck.
const stuckShare = 100

// Backlog gathers dry runs (one read at the vendor each) while the service is down, and times how one process of it works them off. With
// stuck, the first command of every hundredth key is scheduled for an hour later, and the others of the key line up behind it.
func (t *Trial) Backlog(ctx context.Context, stuck bool) (result Backlog, err error) {
	if err := t.Kill(service); err != nil {
		return result, err
	}
	later := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	js, err := jetstream.New(t.nc, jetstream.WithPublishAsyncMaxPending(2000))
	if err != nil {
		return result, err
	}
	for i := range t.Commands {
		key := i % t.Keys
		m := t.dryRun(fmt.Sprintf("backlog-%v-%d", stuck, i), fmt.Sprintf("key%d", key))
		if waits := stuck && key%stuckShare == 0; waits {
			result.Parked++
			if i < t.Keys {
				m.Header.Set("ce-notbefore", later)
			}
		} else {
			result.Commands++
		}
		if _, err := js.PublishMsgAsync(m); err != nil {
			return result, err
		}
	}
	<-js.PublishAsyncComplete()
	before, err := t.planned(ctx)
	if err != nil {
		return result, err
	}
	began := time.Now()
	replica, err := t.replica(ctx)
	if err != nil {
		return result, err
	}
	err = until(ctx, 30*time.Minute, func(ctx context.Context) (string, error) {
		now, err := t.planned(ctx)
		if done := now - before; done < result.Commands {
			return fmt.Sprintf("%d of %d are done", done, result.Commands), err
		}
		return "", err
	})
	result.Took, result.PeakBytes = time.Since(began), peakMemory(replica.Process.Pid)
	_ = replica.Process.Signal(syscall.SIGTERM)
	_ = replica.Wait()
	return result, err
}

func (t *Trial) dryRun(id, key string) *nats.Msg {
	data := fmt.Sprintf(`{"createIn":"OU=My Organizational Unit,DC=example,DC=com","objectType":"user","properties":[{"propertyName":"cn","propertyType":"String","values":[%q]}]}`, id)
	return &nats.Msg{Subject: bus.CommandSubject(event.Directory, key), Data: []byte(data), Header: nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {source}, "ce-type": {event.ObjectCreate}, "ce-dryrun": {"true"},
	}}
}

// planned counts the outcomes in EVENTS: every event there but that of a command that waits.
func (t *Trial) planned(ctx context.Context) (int, error) {
	var n int
	err := t.db.QueryRow(ctx, `SELECT count(*) FROM mailwright.operations WHERE finished_at IS NOT NULL`).Scan(&n)
	return n, err
}
