package testkit

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
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

// child makes this program start NATS and Postgres on a backend and wait to be killed, or stop them
// and end.
const (
	child        = "MAILWRIGHT_TESTKIT_CHILD"
	childBackend = "MAILWRIGHT_TESTKIT_CHILD_BACKEND"
)

func TestMain(m *testing.M) {
	how := os.Getenv(child)
	if how == "" {
		os.Exit(withPrograms(m))
	}
	s, err := Run(context.Background(), WithoutSandbox(), WithBackend(Backend(os.Getenv(childBackend))))
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

// withPrograms builds the programs for the embedded backend where nobody has said where they are.
func withPrograms(m *testing.M) int {
	if os.Getenv("MAILWRIGHT_BIN") != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "mailwright-bin-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	build := exec.Command("go", "build", "-o", dir+"/", "./mailwright", "./sandbox")
	for _, s := range stack.Services {
		build.Args = append(build.Args, "./"+s)
	}
	build.Dir, build.Stdout, build.Stderr = "../../services", os.Stdout, os.Stderr
	if err := errors.Join(build.Run(), os.Setenv("MAILWRIGHT_BIN", dir)); err != nil {
		println("the programs do not build:", err.Error())
		return 1
	}
	return m.Run()
}

// TestKilledTestIsSweptUp kills a process in the middle of its test, and lets another one use
// testkit.
func TestKilledTestIsSweptUp(t *testing.T) {
	t.Parallel()
	backends := map[Backend]int{Embedded: 1} // a folder
	if os.Getenv("MAILWRIGHT_TEST_BACKEND") == string(Containers) {
		backends[Containers] = 3 // NATS, Postgres and a network
	}
	for backend, has := range backends {
		t.Run(string(backend), func(t *testing.T) {
			t.Parallel()
			dir := openDir(t)
			env := append(os.Environ(), childBackend+"="+string(backend), "TMPDIR="+dir)
			victim := exec.CommandContext(t.Context(), os.Args[0])
			victim.Env, victim.Stderr = slices.Concat(env, []string{child + "=wait"}), os.Stderr
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
			o, ok := parseOwner(strings.TrimSpace(line))
			if n := owned(t, backend, o, dir); !ok || n != has {
				t.Errorf("a running test has %d containers, networks and folders, want %d", n, has)
			}
			if err := victim.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = victim.Wait()

			next := exec.CommandContext(t.Context(), os.Args[0])
			next.Env = slices.Concat(env, []string{child + "=end"})
			if out, err := next.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if n := owned(t, backend, o, dir); n != 0 {
				t.Errorf("%d containers, networks and folders are left of a killed test", n)
			}
		})
	}
}

// openDir is a folder for temporary files that the user of Postgres can enter, too.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mw-kill-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSweepLeavesOthersAlone holds what the sweep of folders may take against what it may not.
func TestSweepLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	dead := self()
	dead.PID = 1 << 30
	for name, owner := range map[string]string{"mine": self().String(), "gone": dead.String(), "unknown": "someone"} {
		folder := filepath.Join(dir, folderPrefix+name)
		if err := errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(filepath.Join(folder, ownerFile), []byte(owner), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	// A way out of the folder, as anyone may lay one where all put their temporary files.
	err := errors.Join(os.WriteFile(filepath.Join(outside, ownerFile), []byte(dead.String()), 0o600),
		os.WriteFile(filepath.Join(outside, "precious"), nil, 0o600), os.Symlink(outside, filepath.Join(dir, folderPrefix+"link")))
	if err != nil {
		t.Fatal(err)
	}
	sweepFolders(dir, slog.New(slog.DiscardHandler))
	for path, stays := range map[string]bool{
		filepath.Join(dir, folderPrefix+"mine"): true, filepath.Join(dir, folderPrefix+"gone"): false,
		filepath.Join(dir, folderPrefix+"unknown"): true, filepath.Join(outside, "precious"): true,
	} {
		if _, err := os.Stat(path); (err == nil) != stays {
			t.Errorf("%s: %v, stays: %v", path, err, stays)
		}
	}
}

func TestImagesAreThoseOfTheVersion(t *testing.T) {
	t.Parallel()
	const path = "github.com/mailwright/mailwright/pkg/testkit"
	for name, c := range map[string]struct {
		module   debug.Module
		tag, how string
	}{
		"a release":           {debug.Module{Path: path, Version: "v1.2.3"}, "1.2.3", "make images TAG=1.2.3"},
		"a commit":            {debug.Module{Path: path, Version: "v0.0.0-20260101000000-abcdefabcdef"}, "0.0.0-20260101000000-abcdefabcdef", "make images TAG=0.0.0-20260101000000-abcdefabcdef"},
		"a release with more": {debug.Module{Path: path, Version: "v1.2.3+dirty"}, "1.2.3-dirty", "make images TAG=1.2.3-dirty"},
		"a folder":            {debug.Module{Path: path, Version: "v0.0.0", Replace: &debug.Module{Path: "../../pkg/testkit"}}, "dev", "make images"},
		"a workspace":         {debug.Module{Path: path, Version: "(devel)"}, "dev", "make images"},
		"another module":      {debug.Module{Path: "example.com/other", Version: "v9.0.0"}, "dev", "make images"},
	} {
		tag := imageTag([]*debug.Module{&c.module})
		if how := makes("mailwright/sandbox:" + tag); tag != c.tag || how != c.how {
			t.Errorf("%s: %s, made by %q; want %s, by %q", name, tag, how, c.tag, c.how)
		}
	}
	if how := makes(PostgresImage); how != "make images" {
		t.Errorf("%s is made by %q", PostgresImage, how)
	}
}

// TestOneVersionOfEachServer holds the places together in which the servers' images are named.
func TestOneVersionOfEachServer(t *testing.T) {
	t.Parallel()
	for file, wants := range map[string][]string{
		"../../docker-compose.yml": {"image: " + NATSImage + "\n", "image: " + PostgresImage + "\n"},
		"../../scripts/servers":    {"postgres_image=" + PostgresImage + "\n"},
		"go.mod":                   {"nats-io/nats-server/v2 v" + strings.TrimPrefix(NATSImage, "nats:") + "."}, // from which scripts/servers has it
	} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(raw), want) {
				t.Errorf("%s does not say %q", file, want)
			}
		}
	}
}

// owned counts what a process has: on containers by its label, else in its folder for temporary
// files.
func owned(t *testing.T, backend Backend, o owner, dir string) int {
	t.Helper()
	if backend == Embedded {
		folders, err := filepath.Glob(filepath.Join(dir, folderPrefix+"*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(folders)
	}
	c, err := plainClient(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	filters := make(client.Filters).Add("label", ownerLabel+"="+o.String())
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
