package security

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/permissions"
)

// scopes have a publisher and a reader in the matrix: a tenant, one of its domains, another tenant.
var scopes = []string{"contoso", "contoso/mailbox", "fabrikam"}

func TestEveryUserMayDoWhatTheTableSaysAndNothingElse(t *testing.T) {
	t.Parallel()
	users, seeds := written(t, scopes...)
	s := start(t, seeds, users, "")
	s.as(permissions.Streams, 0, "streams", "apply")
	files, err := filepath.Glob(filepath.Join(seeds, "*.nk"))
	if err != nil {
		t.Fatal(err)
	}
	c := s.check(everyone...)
	if len(files) != len(everyone) {
		c.faults = append(c.faults, fmt.Sprintf("%d users have keys, and the table has %d", len(files), len(everyone)))
	}
	result := fmt.Sprintf("%d users × %d subjects, publish and subscribe: %d allowed, %d denied, %d tested", len(everyone), len(kinds()), c.allowed, c.denied, c.allowed+c.denied)
	report.checked(t, checkPermissions, result, c.faults)
}

func TestJWTsHoldTheSamePermissions(t *testing.T) {
	t.Parallel()
	users, seeds := writtenAs(t, "jwt", scopes...)
	s := start(t, seeds, users, "")
	s.jwt = true
	s.as(permissions.Streams, 0, "streams", "apply")
	for _, fault := range s.check("mailbox-svc", permissions.Operator, "publisher-contoso", "reader-contoso-mailbox").faults {
		t.Error(fault)
	}
}

// The checker must find what it is there for: a user that may do everything, and one that may not
// do what it needs.
func TestTheMatrixFindsPermissionsThatAreTooWideOrTooNarrow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		user   string
		change func(*permissions.User)
	}{
		"a publisher may publish everything":            {"publisher-contoso", func(u *permissions.User) { u.Publish = []permissions.Rule{{Subject: ">"}} }},
		"a reader may subscribe to everything":          {"reader-fabrikam", func(u *permissions.User) { u.Subscribe = []permissions.Rule{{Subject: ">"}} }},
		"the operator may touch the workers' consumers": {permissions.Operator, func(u *permissions.User) { u.Deny = nil }},
		"a publisher may send commands of another tenant": {"publisher-contoso", func(u *permissions.User) {
			u.Publish = append(u.Publish, permissions.Rule{Subject: topology.CommandsOf("fabrikam", event.DomainMailbox)})
		}},
		"a worker may not publish results": {"mailbox-svc", func(u *permissions.User) {
			u.Publish = slices.DeleteFunc(u.Publish, func(r permissions.Rule) bool { return strings.HasPrefix(r.Subject, "mailwright.evt.") })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			users, seeds := written(t, scopes...)
			s := start(t, seeds, altered(t, users, seeds, c.user, c.change), "")
			faults := s.check(c.user, "streams").faults
			report.proved(t, checkPermissions, name, faults)
			for _, fault := range faults {
				if !strings.HasPrefix(fault, c.user+" ") {
					t.Errorf("the checker blames another user: %s", fault)
				}
			}
		})
	}
}

// altered is the configuration with one user changed.
func altered(t *testing.T, written, seeds, name string, change func(*permissions.User)) string {
	t.Helper()
	users := permissions.Users(options(t))
	keys, err := permissions.Seeds(seeds, users)
	if err != nil {
		t.Fatal(err)
	}
	if permissions.Config(users, keys) != written {
		t.Fatal("the command line writes another configuration than the package gives")
	}
	i := slices.IndexFunc(users, func(u permissions.User) bool { return u.Name == name })
	change(&users[i])
	return permissions.Config(users, keys)
}

func options(t *testing.T) permissions.Options {
	t.Helper()
	o := permissions.Options{Operators: []string{person}}
	for _, text := range scopes {
		scope, err := permissions.ParseScope(text)
		if err != nil {
			t.Fatal(err)
		}
		o.Scopes = append(o.Scopes, scope)
	}
	return o
}

// checked is what a walk over users and subjects found.
type checked struct {
	allowed, denied int
	faults          []string
}

// check has users publish to and subscribe to every kind of subject, and compares what NATS denies
// with what the kinds say.
func (s *system) check(users ...string) (c checked) {
	s.Helper()
	list := kinds()
	for _, user := range users {
		denied := s.try(user, list)
		for _, k := range list {
			c.judge(user, "publish to", k, slices.Contains(k.publishers, user), !denied["Publish "+k.subject])
			c.judge(user, "subscribe to", k, slices.Contains(k.subscribers, user), !denied["Subscription "+k.subject])
		}
	}
	return c
}

func (c *checked) judge(user, verb string, k kind, may, could bool) {
	if could {
		c.allowed++
	} else {
		c.denied++
	}
	switch {
	case could && !may:
		c.faults = append(c.faults, fmt.Sprintf("%s may %s %s, which the table does not allow", user, verb, k.subject))
	case may && !could:
		c.faults = append(c.faults, fmt.Sprintf("%s may not %s %s, which the table allows", user, verb, k.subject))
	}
}

// denial reads what NATS says that it denies.
var denial = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]*)"`)

// try publishes to and subscribes to every subject, and returns what NATS denied.
func (s *system) try(user string, list []kind) map[string]bool {
	s.Helper()
	var mu sync.Mutex
	denied := map[string]bool{}
	nc := s.connect(user, func(err error) {
		if found := denial.FindStringSubmatch(err.Error()); found != nil {
			mu.Lock()
			defer mu.Unlock()
			denied[strings.ToUpper(found[1][:1])+found[1][1:]+" "+found[2]] = true
		}
	})
	for _, k := range list {
		if err := nc.Publish(k.subject, nil); err != nil {
			s.Fatal(err)
		}
		if _, err := nc.SubscribeSync(k.subject); err != nil {
			s.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		s.Fatal(err)
	}
	// The library tells of errors in order, on a goroutine of its own; the end of the connection is
	// told behind them.
	closed := make(chan struct{})
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	nc.Close()
	<-closed
	mu.Lock()
	defer mu.Unlock()
	return denied
}
