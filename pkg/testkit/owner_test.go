package testkit

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/moby/moby/client"
)

func TestOwner(t *testing.T) {
	t.Parallel()
	me := self()
	change := func(f func(*owner)) owner { o := me; f(&o); return o }
	for name, c := range map[string]struct {
		owner owner
		gone  bool
	}{
		"this process":       {me, false},
		"its process id":     {change(func(o *owner) { o.Start = "1" }), true},
		"an earlier boot":    {change(func(o *owner) { o.Boot = "earlier" }), true},
		"another machine":    {change(func(o *owner) { o.Machine, o.PID = "elsewhere", 1<<30 }), false},
		"a process that was": {change(func(o *owner) { o.PID = 1 << 30 }), true},
	} {
		if got, ok := parseOwner(c.owner.String()); !ok || got != c.owner || got.gone() != c.gone {
			t.Errorf("%s: %+v, %v, gone: %v", name, got, ok, got.gone())
		}
	}
	for _, text := range []string{"", "1", "a b c d", "a b -1 d"} {
		if o, ok := parseOwner(text); ok {
			t.Errorf("%q is %+v", text, o)
		}
	}
}

// child makes this program start two containers and wait to be killed, or stop them and end.
const child = "MAILWRIGHT_TESTKIT_CHILD"

func TestMain(m *testing.M) {
	how := os.Getenv(child)
	if how == "" {
		os.Exit(m.Run())
	}
	s, err := Run(context.Background(), WithoutSandbox())
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString(self().String() + "\n")
	if how == "wait" {
		select {}
	}
	if s.Stop() != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// TestKilledTestIsSweptUp kills a process in the middle of its test, and lets another one use testkit.
func TestKilledTestIsSweptUp(t *testing.T) {
	if os.Getenv("MAILWRIGHT_TEST_BACKEND") != string(Containers) {
		t.Skip("the suites run on embedded servers")
	}
	t.Parallel()
	victim := exec.CommandContext(t.Context(), os.Args[0])
	victim.Env, victim.Stderr = append(os.Environ(), child+"=wait"), os.Stderr
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	label := ownerLabel + "=" + strings.TrimSpace(line)
	if n := owned(t, label); n != 3 {
		t.Errorf("a running test has %d containers and networks, want NATS, Postgres and a network", n)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait()

	next := exec.CommandContext(t.Context(), os.Args[0])
	next.Env = append(os.Environ(), child+"=end")
	if out, err := next.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := owned(t, label); n != 0 {
		t.Errorf("%d containers and networks are left of a killed test", n)
	}
}

func owned(t *testing.T, label string) int {
	t.Helper()
	c, err := plainClient(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	filters := make(client.Filters).Add("label", label)
	containers, err := c.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		t.Fatal(err)
	}
	networks, err := c.NetworkList(t.Context(), client.NetworkListOptions{Filters: filters})
	if err != nil {
		t.Fatal(err)
	}
	return len(containers.Items) + len(networks.Items)
}
