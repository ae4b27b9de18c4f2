package operation_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// panicsWith is on the stack of a handler's panic.
func panicsWith(value any) (operation.Reply, error) { panic(value) }

// TestAPanicKeepsItsStack in the log, without the command's secrets. The next command runs.
func TestAPanicKeepsItsStack(t *testing.T) {
	t.Parallel()
	const secret = "correct horse battery"
	look := func(context.Context, *operation.Attempt) (operation.Reply, bool, error) {
		reply, err := panicsWith("the look-up met " + secret)
		return reply, false, err
	}
	perform := func(context.Context, *operation.Attempt) (operation.Reply, error) {
		return panicsWith("the vendor said " + secret)
	}
	for name, h := range map[string]operation.Handler{
		"a create":          {Perform: perform, NotRepeatable: true},
		"a repeatable call": {Perform: perform},
		"a look-up":         {Perform: perform, NotRepeatable: true, LookUp: look},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := setupDomain(t, event.DomainDirectory, event.TypeBusinessUserCreate, h)
			data, err := json.Marshal(event.BusinessUserCreateData{Container: "LDAP://OU=x", UserPrincipalName: "a@b", PreferredDomainController: "dc", NewPassword: secret})
			if err != nil {
				t.Fatal(err)
			}
			m := command("1", string(data))
			m.Subject = topology.CommandSubject("contoso", event.DomainDirectory, "a")
			m.Header["ce-type"] = []string{event.TypeBusinessUserCreate}
			env.publish(m)
			env.outcome("1")
			env.stop()
			log := env.log.String()
			if !strings.Contains(log, "a handler panicked") || !strings.Contains(log, "panicsWith") || !strings.Contains(log, "[redacted]") {
				t.Errorf("the log lacks the panic or its stack:\n%s", log)
			}
			if strings.Contains(log, secret) || strings.Contains(string(env.outcome("1").Data()), secret) {
				t.Errorf("the log or the outcome has the secret:\n%s", log)
			}
		})
	}
}
