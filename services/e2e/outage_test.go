package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
)

const (
	outage   = 10 * time.Second
	commands = 200
)

// TestOutage kills one part in the middle of a run of 200 commands, leaves it down for ten seconds
// and brings it back: every command succeeds, none takes effect twice, and the rows say so.
func TestOutage(t *testing.T) {
	t.Parallel()
	for _, part := range []string{stack.NATS, stack.Postgres, stack.Sandbox} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
			defer cancel()
			published := make(chan error, 1)
			go func() { published <- s.publishSteadily(ctx) }()

			s.eventually(func(ctx context.Context) string { return s.lessThan(ctx, commands/10) })
			if err := s.Kill(part); err != nil {
				t.Fatal(err)
			}
			select {
			case <-time.After(outage): // the outage itself, not a wait for something
			case <-ctx.Done():
			}
			if err := s.Restart(ctx, part); err != nil {
				t.Fatal(err)
			}
			if err := <-published; err != nil {
				t.Fatal(err)
			}
			for _, c := range mixed() {
				if e := s.outcome(event.DomainOf(c.eventType), c.id); stateOf(e) != event.StateSucceeded {
					t.Errorf("%s ended as %s: %s", c.id, e.Type(), e.Data())
				}
			}
			s.eventually(func(ctx context.Context) string { return s.lessThan(ctx, commands) })
			s.eachUserOnce()
		})
	}
}

// mixed is a run over three vendors: every fourth command creates a user, the next gives it a
// mailbox, the others change and read delegates.
func mixed() (list []command) {
	for i := 0; len(list) < commands; i++ {
		user := fmt.Sprintf("Outage %d", i)
		dn := "CN=" + user + ",OU=My Organizational Unit,DC=example,DC=com"
		list = append(list,
			command{fmt.Sprintf("user-%d", i), event.TypeObjectCreate, user, fmt.Sprintf(`{"createIn":"OU=My Organizational Unit,DC=example,DC=com","objectType":"user","properties":[
				{"propertyName":"cn","propertyType":"String","values":[%q]},{"propertyName":"sAMAccountName","propertyType":"String","values":["outage%d"]},
				{"propertyName":"userPrincipalName","propertyType":"String","values":["outage%d"]}]}`, user, i, i)},
			command{fmt.Sprintf("mailbox-%d", i), event.TypeMailboxCreate, user, fmt.Sprintf(`{"directoryObject":%q,"mailboxParameters":{"alias":"outage%d"}}`, dn, i)},
			command{fmt.Sprintf("hosted-%d", i), event.TypeBusinessUserCreate, user, fmt.Sprintf(`{"container":"LDAP://OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com","userPrincipalName":"outage%d@alpineskihouse.com","preferredDomainController":"AD01.fabrikam.com","isAdmin":false,"planName":"BaseMail","newPassword":"Pass1Word-%d"}`, i, i)},
			command{fmt.Sprintf("change-%d", i), event.TypeDelegationChange, fmt.Sprint("box", i%10), fmt.Sprintf(`{"mailbox":"adele.vance@contoso.com","add":["delegate%d@contoso.com"]}`, 1+i%4)},
		)
	}
	return list
}

// publishSteadily spreads the run over some seconds, so that the outage falls into it.
func (s *env) publishSteadily(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, c := range mixed() {
		if err := s.publish(ctx, c.message()); err != nil {
			return err
		}
		<-tick.C
	}
	return nil
}

// lessThan says that fewer than n operations have succeeded by the rows; "" once they have.
func (s *env) lessThan(ctx context.Context, n int) string {
	var count int
	if err := s.db.QueryRow(ctx, `SELECT count(*) FROM mailwright.operations WHERE state = 'succeeded'`).Scan(&count); err != nil {
		return err.Error()
	}
	if count < n {
		return fmt.Sprintf("%d of %d operations have succeeded", count, n)
	}
	return ""
}

// eachUserOnce asks the sandbox what exists.
func (s *env) eachUserOnce() {
	s.Helper()
	var objects struct {
		Objects []struct {
			DN string `json:"dn"`
		} `json:"objects"`
	}
	s.control("objects", &objects)
	seen := map[string]int{}
	for _, o := range objects.Objects {
		if strings.Contains(strings.ToLower(o.DN), "cn=outage") {
			seen[strings.ToLower(o.DN)]++
		}
	}
	if want := commands / 4 * 2; len(seen) != want {
		s.Errorf("%d users exist, want %d", len(seen), want)
	}
	for dn, n := range seen {
		if n != 1 {
			s.Errorf("%s exists %d times", dn, n)
		}
	}
}

func stateOf(e event.Event) event.State {
	state, _ := event.StateOf(e)
	return state
}
