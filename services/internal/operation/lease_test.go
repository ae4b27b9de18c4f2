package operation_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/lease"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// withoutServer is an environment of the same test that is not connected yet.
func (e *env) withoutServer() *env { return &env{T: e.T, log: e.log, domain: e.domain} }

// isolated is a replica's view of the same server, through a proxy that the test cuts.
func (env *env) isolated() (*embedded.Proxy, *env) {
	env.Helper()
	server, err := url.Parse(env.js.Conn().ConnectedUrl())
	if err != nil {
		env.Fatal(err)
	}
	proxy, err := embedded.StartProxy(server.Host)
	if err != nil {
		env.Fatal(err)
	}
	env.Cleanup(proxy.Close)
	replica := env.withoutServer()
	nc, err := bus.Connect(env.Context(), "nats://"+proxy.Addr(), env.Name(), replica.logger())
	if err != nil {
		env.Fatal(err)
	}
	env.Cleanup(nc.Close)
	if replica.js, err = jetstream.New(nc); err != nil {
		env.Fatal(err)
	}
	return proxy, replica
}

// vendor is a mailbox's list of delegates, and who wrote it.
type vendor struct {
	mu     sync.Mutex
	writes []string
	read   chan event.DelegationReadData
}

func (v *vendor) write(who string, run *operation.Attempt) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.writes = append(v.writes, who+" "+run.Command.ID())
}

func (v *vendor) written() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.writes)
}

// TestAReplicaThatWasCutOff goes on where it stood when another has carried out its command and
// the key's next. It no longer writes. Where its request had left already, the target is read
// back behind them.
func TestAReplicaThatWasCutOff(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		slow     bool // the call is detached from its message before the replica is cut off
		left     bool // the request had left
		open     bool // and has no answer yet
		want     []string
		readBack bool
	}{
		"between read and write":           {want: []string{"second 1", "second 2"}},
		"between read and write, detached": {slow: true, want: []string{"second 1", "second 2"}},
		"its request had left":             {left: true, want: []string{"second 1", "second 2", "first 1"}, readBack: true},
		"its request is broken off":        {open: true, want: []string{"second 1", "second 2"}, readBack: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := setupStreams(t, event.DomainDelegation)
			proxy, first := env.isolated()
			v := &vendor{read: make(chan event.DelegationReadData, 1)}
			began, goOn, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
			handlers := func(who string, perform func(context.Context, *operation.Attempt) error) func(*operation.Config) {
				return func(cfg *operation.Config) {
					cfg.CallTimeout, cfg.ParkAfter, cfg.RebalanceInterval = 30*time.Second, time.Minute, time.Minute
					if c.slow {
						cfg.ParkAfter = 100 * time.Millisecond
					}
					cfg.Handlers = map[string]operation.Handler{
						event.TypeDelegationRead: {Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
							var data event.DelegationReadData
							err := run.Decode(&data)
							v.read <- data
							return operation.Reply{Type: event.TypeDelegationObserved, Data: event.DelegationObservedData{Operation: run.Operation, Part: 1, Complete: true, Mailboxes: []event.DelegatedMailbox{}}}, err
						}},
						event.TypeDelegationChange: {
							Perform: func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
								if err := perform(ctx, run); err != nil {
									return operation.Reply{}, err
								}
								v.write(who, run)
								return changed(run)
							},
							ReadBack: func(*operation.Attempt) (string, any, error) {
								return event.TypeDelegationRead, event.DelegationReadData{Mailbox: "alex@contoso.com"}, nil
							},
						},
					}
				}
			}
			once := sync.OnceFunc(func() { close(began) })
			first.serve(event.TypeDelegationChange, operation.Handler{}, handlers("first", func(ctx context.Context, _ *operation.Attempt) error {
				once()
				defer close(over)
				if c.open {
					<-ctx.Done()
					return &failure.Error{Kind: failure.Unknown, Text: "the vendor's answer was lost", Cause: ctx.Err()}
				}
				<-goOn
				if c.left {
					return nil
				}
				return lease.Check(ctx) // as a vendor's client does
			}))
			env.publish(command("1", valid))
			<-began
			if c.slow {
				env.until("the slow call is parked", func() bool { return env.parked("alex") > 0 })
			}
			proxy.Cut()
			env.serve(event.TypeDelegationChange, operation.Handler{}, handlers("second", func(context.Context, *operation.Attempt) error {
				select {
				case <-over:
				default:
					if c.open {
						t.Error("the second began while a request of the first was under way")
					}
				}
				return nil
			}))
			env.publish(command("2", valid))
			env.until("the second has carried out both", func() bool { return len(v.written()) == 2 })
			close(goOn)
			<-over
			proxy.Heal()
			if c.left {
				if data := <-v.read; data.Mailbox != "alex@contoso.com" {
					t.Errorf("read back: %+v", data)
				}
			}
			env.until("it is read back", func() bool { return !c.readBack || env.stream(topology.StreamCommands).CachedInfo().State.Msgs == 3 })
			first.stop()
			if got := v.written(); !slices.Equal(got, c.want) {
				t.Errorf("the vendor was written by %q, want %q", got, c.want)
			}
			env.until("both have their outcomes", func() bool { return env.outcomes("1") > 0 && env.outcomes("2") > 0 })
			for _, id := range []string{"1", "2"} {
				if history := env.history(id); history[len(history)-1] != "delegation.changed" || env.outcomes(id) != 1 {
					t.Errorf("history of %s: %v", id, history)
				}
			}
			if logged := strings.Contains(env.log.String(), "its target is read back"); logged != c.readBack {
				t.Errorf("logged: %v\n%s", logged, env.log)
			}
			if c.readBack {
				env.readBackStands(c.open)
			}
		})
	}
}

// outcomes counts those of an operation.
func (env *env) outcomes(id string) (n int) {
	for _, typ := range env.history(id) {
		if typ == "delegation.changed" {
			n++
		}
	}
	return n
}

// readBackStands looks at the command that was published on the same key, which is not due while
// a request may still arrive.
func (env *env) readBackStands(later bool) {
	env.Helper()
	msg, err := env.stream(topology.StreamCommands).GetMsg(env.Context(), 3)
	if err != nil {
		env.Fatal(err)
	}
	e, err := event.Decode(msg.Header, msg.Data)
	var data map[string]string
	if err := errors.Join(err, json.Unmarshal(e.Data(), &data)); err != nil {
		env.Fatal(err)
	}
	if faults := event.Check(e); len(faults) > 0 || e.Type() != event.TypeDelegationRead || e.Source() != operation.Source(event.DomainDelegation) ||
		event.Extension(e, event.AttrTenantID) != "contoso" || event.Extension(e, event.AttrCorrelationID) != "T-1" || (event.Extension(e, event.AttrNotBefore) != "") != later {
		env.Errorf("%v %v", faults, e)
	}
}

// TestAPausedCreateIsNotSent: when its replica goes on, others may have looked in vain for what
// it was about to create.
func TestAPausedCreateIsNotSent(t *testing.T) {
	t.Parallel()
	var calls, sent atomic.Int64
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
		NotRepeatable: true,
		LookUp: func(context.Context, *operation.Attempt) (operation.Reply, bool, error) {
			return operation.Reply{}, false, nil
		},
		Perform: func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
			if calls.Add(1) == 1 {
				<-ctx.Done() // as long as a call may take
			}
			if err := lease.Check(ctx); err != nil {
				return operation.Reply{}, &failure.Error{Kind: failure.Unavailable, Text: "nothing was sent", Cause: err}
			}
			sent.Add(1)
			return changed(run)
		},
	})
	env.publish(command("1", valid))
	env.outcome("1")
	if calls.Load() != 2 || sent.Load() != 1 {
		t.Errorf("called %d times, sent %d times: %v", calls.Load(), sent.Load(), env.history("1"))
	}
	if slices.Contains(env.history("1"), "delegation.unknown") {
		t.Errorf("what was not sent is in doubt: %v", env.history("1"))
	}
}
