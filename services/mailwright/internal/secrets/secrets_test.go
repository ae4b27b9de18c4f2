package secrets_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/sealed"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/secrets"
	"github.com/mailwright/mailwright/services/mailwright/internal/send"
)

func TestHelp(t *testing.T) {
	t.Parallel()
	apptest.Golden(t, "help.txt", apptest.Help(t, "secrets", &secrets.Command{}))
	for _, name := range []string{"keygen", "publish", "recipients"} {
		apptest.Golden(t, "help-"+name+".txt", apptest.Help(t, "secrets", &secrets.Command{}, name))
	}
}

func run(t *testing.T, args ...string) apptest.Result {
	t.Helper()
	return apptest.Run(t.Context(), t, apptest.Call{Name: "secrets", Command: &secrets.Command{}, Args: args})
}

// newKeys makes a file of one key by the command, and reads it.
func newKeys(t *testing.T) (file string, keys sealed.Identities) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "contoso.age")
	r := run(t, "keygen", file)
	if r.Code != 0 {
		t.Fatalf("exit code %d: %s", r.Code, r.Err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file has the permissions %o", info.Mode().Perm())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if keys, err = sealed.ParseIdentities(string(text)); err != nil {
		t.Fatal(err)
	}
	if r.Out != keys.Recipients()[0].String()+"\n" {
		t.Errorf("printed %q, not %s", r.Out, keys)
	}
	return file, keys
}

func TestKeygenKeepsAFile(t *testing.T) {
	t.Parallel()
	file, _ := newKeys(t)
	if r := run(t, "keygen", file); r.Code != 1 || !strings.Contains(r.Err, "exists") {
		t.Errorf("code %d: %s", r.Code, r.Err)
	}
}

func TestWhatIsPublishedIsRead(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	file, keys := newKeys(t)
	_, others := newKeys(t)
	public, other := keys.Recipients()[0].String(), others.Recipients()[0].String()
	for _, c := range []struct {
		args []string
		code int
		out  string
		err  string
	}{
		{[]string{"recipients", "--tenant", "contoso"}, 1, "", "no key is published for tenant contoso"},
		{[]string{"publish", "--tenant", "contoso", "--identities", file}, 0, public + "\n", ""},
		{[]string{"recipients", "--tenant", "contoso"}, 0, public + "\n", ""},
		{[]string{"recipients", "--tenant", "fabrikam"}, 1, "", "no key is published for tenant fabrikam"},
		{[]string{"publish", "--tenant", "contoso", other, public}, 0, other + "\n" + public + "\n", ""},
		{[]string{"recipients", "--tenant", "contoso", "--json"}, 0, `{"tenant":"contoso","recipients":["` + other + `","` + public + `"]}` + "\n", ""},
		{[]string{"publish", "--tenant", "contoso", "--remove"}, 0, "", ""},
		{[]string{"recipients", "--tenant", "contoso"}, 1, "", "no key is published"},
		{[]string{"publish", "--tenant", "contoso"}, app.ExitUsage, "", "give public keys, or --identities, or --remove"},
		{[]string{"publish", "--tenant", "contoso", "--remove", public}, app.ExitUsage, "", "give public keys, or --identities, or --remove"},
		{[]string{"publish", "--tenant", "contoso", "age1nonsense"}, app.ExitUsage, "", "line 1 is no X25519 recipient"},
		{[]string{"publish", "--tenant", "Contoso", public}, app.ExitUsage, "", "name the tenant"},
	} {
		r := run(t, append(c.args, "--nats-url", s.URL)...)
		if r.Code != c.code || r.Out != c.out || !strings.Contains(r.Err, c.err) {
			t.Errorf("%v: code %d\n%s%s", c.args, r.Code, r.Out, r.Err)
		}
	}
}

const user = `{"container":"LDAP://x","userPrincipalName":"a@b.example","preferredDomainController":"d","isAdmin":false,"newPassword":"Zebra-Pass-1"}`

// password is that of the last command that is stored, as it is stored.
func password(t *testing.T, js jetstream.JetStream) string {
	t.Helper()
	stream, err := js.Stream(t.Context(), "COMMANDS")
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(t.Context(), stream.CachedInfo().State.LastSeq)
	if err != nil {
		t.Fatal(err)
	}
	var data event.BusinessUserCreateData
	if err := json.Unmarshal(m.Data, &data); err != nil {
		t.Fatal(err)
	}
	return data.NewPassword
}

// TestPublishersSealWhereKeysArePublished: mailwright send and pkg/client do so by themselves, and
// publish nothing where they cannot.
func TestPublishersSealWhereKeysArePublished(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	file, keys := newKeys(t)
	sent := func(id string) string {
		t.Helper()
		r := apptest.Run(t.Context(), t, apptest.Call{
			Name: "send", Command: &send.Command{}, Stdin: user,
			Args: []string{"directory.businessuser.create", "--data", "-", "--tenant", "contoso", "--source", "/test", "--id", id, "--nats-url", s.URL},
		})
		if r.Code != 0 {
			t.Fatalf("exit code %d: %s", r.Code, r.Err)
		}
		return password(t, s.JS)
	}
	if got := sent("1"); got != "Zebra-Pass-1" {
		t.Errorf("without a key the password is stored as %q", got)
	}
	if r := run(t, "publish", "--tenant", "contoso", "--identities", file, "--nats-url", s.URL); r.Code != 0 {
		t.Fatal(r.Err)
	}
	if got, err := keys.Open(sent("2"), event.OperationID("contoso", "/test", "2")); err != nil || got != "Zebra-Pass-1" {
		t.Errorf("with a key the password opens as %q, %v", got, err)
	}

	var data event.BusinessUserCreateData
	if err := json.Unmarshal([]byte(user), &data); err != nil {
		t.Fatal(err)
	}
	cmd, err := client.New("contoso", "/test", "3", data)
	if err != nil {
		t.Fatal(err)
	}
	before := password(t, s.JS)
	if _, err := client.Send(t.Context(), s.JS, cmd); !errors.Is(err, client.ErrNoSealer) || password(t, s.JS) != before {
		t.Errorf("a plain password was published: %v", err)
	}
	cmd.Sealer = sealed.Sealer{}
	receipt, err := client.Send(t.Context(), s.JS, cmd)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := keys.Open(password(t, s.JS), receipt.OperationID); err != nil || got != "Zebra-Pass-1" {
		t.Errorf("the client's password opens as %q, %v", got, err)
	}
	if strings.Contains(string(cmd.Data()), "BEGIN AGE") {
		t.Error("the caller's command has changed")
	}

	cmd, err = client.New("contoso", "/test", "4", data)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Sealer = refusing{}
	if _, err := client.Send(t.Context(), s.JS, cmd); err == nil || err.Error() != "/newPassword: is refused" {
		t.Errorf("a secret that cannot be sealed: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Recipients(ctx, s.JS, "contoso"); !errors.Is(err, context.Canceled) {
		t.Errorf("without time: %v", err)
	}
}

type refusing struct{}

func (refusing) SealFor(string, string, string) (string, error) { return "", errors.New("is refused") }
