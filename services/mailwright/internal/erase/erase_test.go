package erase_test

import (
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/erase"
)

func TestHelp(t *testing.T) {
	t.Parallel()
	apptest.Golden(t, "help.txt", apptest.Help(t, "erase", &erase.Command{}))
}

func TestACallThatIsWrongConnectsToNothing(t *testing.T) {
	t.Parallel()
	for args, problem := range map[string]string{
		"":                          "missing flags: --match",
		"--match alex --reason T-1": "must have at least 5 characters",
		"--match alex@contoso.com":  "--reason",
		"--match alex@contoso.com --reason of-alex@contoso.com": "--reason",
		"--match a.user --reason a.user":                        "must not name the person",
	} {
		r := apptest.Run(t.Context(), t, apptest.Call{Name: "erase", Command: &erase.Command{}, Args: append(strings.Fields(args), "--nats-url", "nats://127.0.0.1:1", "--database-url", "postgres://127.0.0.1:1/x")})
		if r.Code != app.ExitUsage || !strings.Contains(r.Err, problem) {
			t.Errorf("%s: %d %s", args, r.Code, r.Err)
		}
	}
}
