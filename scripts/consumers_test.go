package scripts

import (
	"archive/zip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// version is that of the trial.
const version = "v0.1.0"

// maxModules bounds the module graph of a program that imports client and event. Most of these
// modules are there because tests of other modules require them; no publisher links them.
const maxModules = 40

// foreign are parts of the paths of modules that no publisher needs.
var foreign = []string{
	"testcontainers", "moby", "docker", "nats-server", "pgx", "watermill", "embedded-postgres", "goose",
}

// linked are the modules that a publisher may link.
var linked = []string{
	root + "/pkg", root + "/schemas",
	"github.com/nats-io/nats.go", "github.com/nats-io/nkeys", "github.com/nats-io/nuid", "github.com/klauspost/compress",
	"github.com/cloudevents/sdk-go/v2", "github.com/json-iterator/go", "github.com/modern-go/concurrent", "github.com/modern-go/reflect2",
	"github.com/santhosh-tekuri/jsonschema/v6",
	"golang.org/x/crypto", "golang.org/x/sys", "golang.org/x/text",
}

// consumer makes a release of the tree as it is. env is the environment of somebody who gets it
// from the proxy and does not have this repository.
func consumer(t *testing.T) (proxy string, env []string) {
	t.Helper()
	proxy = t.TempDir()
	here := command{dir: ".."}
	here.run(t, "bash", "scripts/release", "--worktree", "--out", proxy, version)
	return proxy, []string{
		// Other modules come from the module cache of this machine, else over the network.
		"GOPROXY=file://" + proxy + ",file://" + strings.TrimSpace(here.run(t, "go", "env", "GOMODCACHE")) + "/cache/download," +
			strings.TrimSpace(here.run(t, "go", "env", "GOPROXY")),
		"GONOPROXY=none",
		// A module cache of its own: the next run has other files under the same version.
		"GOMODCACHE=" + t.TempDir(),
		// The checksum database does not know a trial. The other modules were verified when they
		// came to this machine; asking again would need the network.
		"GOSUMDB=off",
		// Without -trimpath everything would be compiled anew for each module cache.
		"GOFLAGS=-mod=mod -modcacherw -trimpath",
		"GOWORK=off",
		"CGO_ENABLED=0",
	}
}

// TestConsumersUseTheRelease builds what people outside this repository build, without a replace.
func TestConsumersUseTheRelease(t *testing.T) {
	t.Parallel()
	proxy, env := consumer(t)

	t.Run("a publisher", func(t *testing.T) {
		program, err := os.ReadFile("testdata/publisher/publisher.go")
		if err != nil {
			t.Fatal(err)
		}
		publisher := command{t.TempDir(), env}
		write(t, publisher.dir, "publisher.go", string(program))
		publisher.run(t, "go", "mod", "init", "example.com/publisher")
		publisher.run(t, "go", "get", root+"/pkg@"+version)
		publisher.run(t, "go", "mod", "tidy")
		publisher.run(t, "go", "build", "-o", os.DevNull, ".")
		publisher.run(t, "go", "vet", "./...")

		graph := strings.Fields(publisher.run(t, "go", "list", "-m", "-f", "{{.Path}}", "all"))
		t.Logf("%d modules: %s", len(graph), strings.Join(graph, " "))
		if len(graph) > maxModules {
			t.Errorf("a publisher has %d modules in its graph, and may have %d", len(graph), maxModules)
		}
		for _, module := range graph {
			for _, name := range foreign {
				if strings.Contains(module, name) {
					t.Errorf("a publisher has %s in its module graph: run 'go mod why -m %s' in pkg, and move what requires it out of pkg", module, module)
				}
			}
		}
	})

	t.Run("a module with tests", func(t *testing.T) {
		consumer := command{t.TempDir(), env}
		if err := os.CopyFS(consumer.dir, os.DirFS("../examples/consumer-module")); err != nil {
			t.Fatal(err)
		}
		for _, m := range modules {
			consumer.run(t, "go", "mod", "edit", "-dropreplace="+root+"/"+m)
			if m != "services" {
				consumer.run(t, "go", "mod", "edit", "-require="+root+"/"+m+"@"+version)
			}
		}
		consumer.run(t, "go", "vet", "./...")
	})

	t.Run("a program", func(t *testing.T) {
		bin := t.TempDir()
		command{bin, append(env, "GOBIN="+bin)}.run(t, "go", "install", root+"/services/mailwright@"+version)
		if got := (command{dir: bin}).run(t, "./mailwright", "--version"); got != version+"\n" {
			t.Errorf("the program says that it is %q, not %s", got, version)
		}
	})

	t.Run("files of a module", func(t *testing.T) {
		for _, m := range modules {
			files := zipped(t, filepath.Join(proxy, root, m, "@v", version+".zip"))
			for _, want := range []string{"go.mod", "LICENSE"} {
				if !files[root+"/"+m+"@"+version+"/"+want] {
					t.Errorf("the zip of %s has no %s", m, want)
				}
			}
			for name := range files {
				if m == "pkg" && strings.HasPrefix(name, root+"/pkg@"+version+"/testkit/") {
					t.Errorf("the zip of pkg has %s, which belongs to testkit", name)
				}
			}
		}
	})

	t.Run("a module by itself", func(t *testing.T) {
		for _, m := range modules {
			module := command{t.TempDir(), append(env, "GOFLAGS=-mod=readonly -modcacherw -trimpath")}
			unzip(t, filepath.Join(proxy, root, m, "@v", version+".zip"), module.dir)
			module.dir = filepath.Join(module.dir, root, m+"@"+version)
			module.run(t, "go", "list", "-deps", "-test", "./...")
		}
	})
}

// TestPublishersLinkNatsAndLittleElse compares the modules that client and event import with those
// that a publisher may link.
func TestPublishersLinkNatsAndLittleElse(t *testing.T) {
	t.Parallel()
	pkg := command{dir: "../pkg", env: []string{"GOWORK=off"}}
	for line := range strings.Lines(pkg.run(t, "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}} {{end}}{{.ImportPath}}", "./client", "./event")) {
		module, imported, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && !slices.Contains(linked, module) {
			t.Errorf("client or event imports %s, so every publisher links %s: move the import to a package that only "+
				"programs use, or add the module to 'linked' if no publisher can do without", imported, module)
		}
	}
}

// zipped are the names of the files in a zip.
func zipped(t *testing.T, file string) map[string]bool {
	t.Helper()
	r, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	names := map[string]bool{}
	for _, f := range r.File {
		names[f.Name] = true
	}
	return names
}

// unzip writes the files of a zip below dir.
func unzip(t *testing.T, file, dir string) {
	t.Helper()
	r, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.CopyFS(dir, r); err != nil {
		t.Fatal(err)
	}
}
