package scenario

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
)

// Backlog is how a service worked off commands that were published while it was down.
type Backlog struct {
	// Commands could be carried out. Parked are those on keys that wait for an hour.
	Commands, Parked int
	Took             time.Duration
	// PeakBytes is the service's largest resident memory.
	PeakBytes int64
}

// Rate is the number of commands a second.
func (b Backlog) Rate() float64 { return float64(b.Commands) / b.Took.Seconds() }

// waitingShare: one of so many keys waits, if keys are to wait.
const waitingShare = 100

// photoEvery: one of so many commands carries a photo, of photoBytes before base64; the others have
// about a kilobyte.
const (
	photoEvery = 20
	photoBytes = 60 << 10
)

// Backlog publishes dry runs, each of which is one read at the vendor, while the service is down.
// Then it measures how fast one process works them off. With waiting, the first command of every
// hundredth key is scheduled for an hour later, and the others of the key are parked behind it.
func (s *Scenario) Backlog(ctx context.Context, waiting bool) (result Backlog, err error) {
	service := commandKinds[0].service
	if err := s.stack.Kill(service); err != nil {
		return result, err
	}
	before, err := s.countOutcomes(ctx)
	if err != nil {
		return result, err
	}
	if err := s.publishBacklog(ctx, waiting, &result); err != nil {
		return result, err
	}
	began := time.Now()
	replica, err := s.replica(ctx, service)
	if err != nil {
		return result, err
	}
	err = until(ctx, 30*time.Minute, func(ctx context.Context) (string, error) {
		now, err := s.countOutcomes(ctx)
		done := now - before
		s.reportProgress("%d of %d are done", done, result.Commands)
		if done < result.Commands {
			return fmt.Sprintf("%d of %d are done", done, result.Commands), err
		}
		return "", err
	})
	result.Took = time.Since(began)
	result.PeakBytes = peakMemory(replica.cmd.Process.Pid)
	replica.stop()
	return result, err
}

// publishBacklog publishes the commands and counts them in result.
func (s *Scenario) publishBacklog(ctx context.Context, waiting bool, result *Backlog) error {
	later := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	js, err := jetstream.New(s.nc, jetstream.WithPublishAsyncMaxPending(2000))
	if err != nil {
		return err
	}
	for i := range s.Commands {
		key := i % s.Keys
		m := dryRun(fmt.Sprintf("backlog-%v-%d", waiting, i), fmt.Sprint("key", key), i%photoEvery == 0)
		if waiting && key%waitingShare == 0 {
			result.Parked++
			if i < s.Keys {
				m.Header.Set("ce-notbefore", later)
			}
		} else {
			result.Commands++
		}
		if _, err := js.PublishMsgAsync(m); err != nil {
			return err
		}
	}
	select {
	case <-js.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func dryRun(id, key string, photo bool) *nats.Msg {
	picture := ""
	if photo {
		picture = `"photo":"` + base64.StdEncoding.EncodeToString(make([]byte, photoBytes)) + `",`
	}
	property := `{"propertyName":%q,"propertyType":"String","values":[%q]}`
	data := fmt.Sprintf(`{"createIn":%q,"objectType":"user",%s"properties":[`+property+","+property+`]}`,
		unit, picture, "cn", id, "description", strings.Repeat("a realistic description ", 30))
	m := message(event.DomainDirectory, key, id, event.TypeObjectCreate, data)
	m.Header.Set("ce-dryrun", "true")
	return m
}

// countOutcomes counts the operations with an outcome.
func (s *Scenario) countOutcomes(ctx context.Context) (int, error) {
	var n int
	err := s.db.QueryRow(ctx, `SELECT count(*) FROM mailwright.operations WHERE finished_at IS NOT NULL`).Scan(&n)
	return n, err
}
