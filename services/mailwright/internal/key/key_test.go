package key_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/key"
)

func run(t *testing.T, stdin string, args ...string) apptest.Result {
	t.Helper()
	return apptest.Run(t.Context(), t, apptest.Call{Name: "key", Command: &key.Command{}, Args: args, Stdin: stdin})
}

func TestHelp(t *testing.T) {
	t.Parallel()
	apptest.Golden(t, "help.txt", apptest.Help(t, "key", &key.Command{}))
}

const change = `{"mailbox":"Alex@contoso.com","add":["dana@contoso.com"]}`

func TestOutput(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"text.txt": {"delegation.change", change, "--tenant", "contoso"},
		"json.txt": {"io.mailwright.delegation.change.v1", change, "--tenant", "contoso", "--json"},
	} {
		r := run(t, "", args...)
		if r.Code != 0 {
			t.Fatalf("exit code %d: %s", r.Code, r.Err)
		}
		apptest.Golden(t, name, r.Out)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "data.json")
	if err := os.WriteFile(file, []byte(`{"directoryObject":"CN=Müller,DC=contoso"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const decomposed = `{"mailbox":"Mu\u0308ller@contoso.com"}`
	for _, c := range []struct {
		args        []string
		stdin, want string
	}{
		{[]string{"delegation.set", "-"}, change, "token    alex%40contoso%2Ecom\n"},
		{[]string{"delegation.read", "{}"}, "", "token    all\n"},
		{[]string{"delegation.read", decomposed}, "", "token    m%C3%BCller%40contoso%2Ecom\n"},
		{[]string{"mailbox.create", "@" + file, "--tenant", "t-1"}, "", "subject  mailwright.cmd.t-1.mailbox.cn%3Dm%C3%BCller%2Cdc%3Dcontoso\n"},
		{[]string{"operation.cancel", `{"operationId":"abc"}`, "--tenant", "t", "--domain", "mailbox"}, "", "subject  mailwright.cmd.t.mailbox.abc\n"},
	} {
		r := run(t, c.stdin, c.args...)
		if r.Code != 0 || !strings.HasSuffix(r.Out, c.want) {
			t.Errorf("%q: exit code %d, %s%s, want %s", c.args, r.Code, r.Out, r.Err, c.want)
		}
		if hasSubject := strings.Contains(r.Out, "subject"); hasSubject != strings.Contains(c.want, "subject") {
			t.Errorf("%q prints %s", c.args, r.Out)
		}
	}
}

func TestWrongCallsPrintNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"delegation.changed", "{}"}, "is no command; commands are "},
		{[]string{"delegation.change", "{"}, "is not JSON"},
		{[]string{"delegation.change", "{}"}, "has nothing to make a key of"},
		{[]string{"delegation.change", "@there-is-no-such-file"}, "no such file"},
		{[]string{"delegation.change", change, "--tenant", "Con.toso"}, "is no name of a tenant"},
		{[]string{"operation.cancel", `{"operationId":"abc"}`, "--tenant", "t"}, "needs a domain"},
		{[]string{"delegation.change"}, "<data>"},
	} {
		r := run(t, "", c.args...)
		if r.Code != 2 || r.Out != "" || !strings.Contains(r.Err, c.want) {
			t.Errorf("%q: exit code %d, %q, %q; want %q", c.args, r.Code, r.Out, r.Err, c.want)
		}
	}
}
