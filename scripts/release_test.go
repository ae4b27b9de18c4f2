package scripts

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var modules = []string{"schemas", "migrations", "pkg", "pkg/testkit", "services"}

// tags are those of a version.
func tags(version string) []string {
	var tags []string
	for _, m := range modules {
		tags = append(tags, m+"/"+version)
	}
	return tags
}

// repository makes a small repository with the modules, the script and a CHANGELOG with 0.1.0 and
// 0.2.0.
func repository(t *testing.T) command {
	t.Helper()
	dir := t.TempDir()
	for _, m := range modules {
		write(t, dir, m+"/doc.go", "package "+filepath.Base(m)+"\n")
		write(t, dir, m+"/go.mod", "module "+root+"/"+m+"\n\ngo 1.26.0\n")
	}
	requires := "\nrequire " + root + "/schemas v0.0.0\n\nreplace " + root + "/schemas => ../schemas\n"
	write(t, dir, "pkg/go.mod", "module "+root+"/pkg\n\ngo 1.26.0\n"+requires)
	write(t, dir, "examples/joiner/go.mod", "module example.com/joiner\n\ngo 1.26.0\n"+requires)
	write(t, dir, "LICENSE", "Apache License 2.0\n")
	write(t, dir, "CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-24\n\n## [0.1.0]\n")
	write(t, dir, ".gitignore", "/build/\n")
	script, err := os.ReadFile("release")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "scripts/release", string(script))
	c := command{dir, []string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1"}}
	c.run(t, "git", "init", "-q")
	c.commit(t)
	return c
}

// commit commits all files.
func (c command) commit(t *testing.T) {
	t.Helper()
	c.run(t, "git", "add", "-A")
	c.run(t, "git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-q", "-m", "all: as it is")
}

// release runs the script.
func (c command) release(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return c.try(t, "bash", append([]string{"scripts/release"}, args...)...)
}

func TestReleaseExplainsWrongUsage(t *testing.T) {
	t.Parallel()
	const noVersion = " is no version; write MAJOR.MINOR.PATCH or MAJOR.MINOR.PATCH-PRERELEASE, such as 0.1.0 or 0.2.0-rc.1"
	for _, c := range []struct{ args, want string }{
		{"", "VERSION is missing; write one such as 0.1.0"},
		{"0.1.0 0.2.0", "there can be one VERSION, not 0.1.0 and 0.2.0"},
		{"0.1", "0.1" + noVersion},
		{"0.01.0", "0.01.0" + noVersion},
		{"0.1.0+linux", "0.1.0+linux" + noVersion},
		{"0.1.0-rc.01", "0.1.0-rc.01" + noVersion},
		{"2.0.0", "Go demands that the paths of the modules end in /v2 for 2.0.0; rename the modules first"},
		{"--publish 0.1.0", "there is no option --publish"},
		{"0.1.0 --out", "--out needs a directory"},
		{"--tag --worktree 0.1.0", "a trial has no tags; leave out --tag, or commit the changes and leave out --worktree"},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			want := "scripts/release: " + c.want + " (help: scripts/release -h)\n"
			stdout, stderr, code := command{dir: ".."}.release(t, strings.Fields(c.args)...)
			if code != 2 || stdout != "" || stderr != want {
				t.Errorf("exit code %d, not 2: %s%s\nwant: %s", code, stdout, stderr, want)
			}
		})
	}
}

func TestReleaseRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args   []string
		before func(*testing.T, command)
		want   string // the end of what it says, which is the remedy
	}{
		"a file that is not committed": {
			[]string{"0.1.0"}, func(t *testing.T, c command) { write(t, c.dir, "pkg/new.go", "package pkg\n") },
			"commit or stash them, or make a trial with --worktree\n",
		},
		"a version that CHANGELOG.md does not have": {
			[]string{"--dry-run", "0.3.0"}, nil, "put a new '## [Unreleased]' above it, and commit\n",
		},
		"a prerelease of a version that CHANGELOG.md has": {
			[]string{"0.1.0-rc.1"}, nil, "put a new '## [Unreleased]' above it, and commit\n",
		},
		"a version that is tagged": {
			[]string{"--tag", "0.1.0"}, func(t *testing.T, c command) { c.run(t, "git", "tag", "pkg/testkit/v0.1.0") },
			"a version never changes once it is published: release the next version\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := repository(t)
			if c.before != nil {
				c.before(t, repo)
			}
			before := repo.run(t, "git", "for-each-ref")
			stdout, stderr, code := repo.release(t, c.args...)
			if code != 1 || stdout != "" || !strings.HasSuffix(stderr, c.want) {
				t.Errorf("exit code %d, not 1: %s%s", code, stdout, stderr)
			}
			if after := repo.run(t, "git", "for-each-ref"); after != before {
				t.Errorf("a refused release changed the tags:\n%s", after)
			}
			if _, err := os.Stat(filepath.Join(repo.dir, "build")); err == nil {
				t.Error("a refused release made files")
			}
		})
	}
}

func TestReleaseTagsACommitBesideTheBranch(t *testing.T) {
	t.Parallel()
	repo := repository(t)
	repo.run(t, "git", "checkout", "-q", "--detach")
	head := repo.run(t, "git", "rev-parse", "HEAD")

	repo.run(t, "bash", "scripts/release", "0.1.0")
	made := repo.info(t, "pkg", "v0.1.0")
	repo.run(t, "bash", "scripts/release", "--tag", "v0.1.0")
	for _, tag := range tags("v0.1.0") {
		if at := strings.TrimSpace(repo.run(t, "git", "rev-parse", tag)); at != made {
			t.Errorf("%s is at %s, and the same release without --tag had %s", tag, at, made)
		}
	}
	if parent := repo.run(t, "git", "rev-parse", made+"^"); parent != head {
		t.Errorf("the tagged commit stands on %s, not on the released %s", parent, head)
	}
	if repo.run(t, "git", "rev-parse", "HEAD") != head || repo.run(t, "git", "status", "--porcelain") != "" {
		t.Error("the branch or its files have changed")
	}

	want := "module " + root + "/pkg\n\ngo 1.26.0\n\nrequire " + root + "/schemas v0.1.0\n"
	if got := repo.run(t, "git", "show", made+":pkg/go.mod"); got != want {
		t.Errorf("the tagged go.mod of pkg:\n%s\nwant:\n%s", got, want)
	}
	want = "module example.com/joiner\n\ngo 1.26.0\n\nrequire " + root + "/schemas v0.1.0\n\nreplace " + root + "/schemas => ../schemas\n"
	if got := repo.run(t, "git", "show", made+":examples/joiner/go.mod"); got != want {
		t.Errorf("the tagged go.mod of an example:\n%s\nwant:\n%s", got, want)
	}
}

func TestReleaseKeepsTheVersionsOfTheProxy(t *testing.T) {
	t.Parallel()
	repo := repository(t)
	proxy := t.TempDir()
	for _, version := range []string{"0.1.0", "0.2.0"} {
		repo.run(t, "bash", "scripts/release", "--out", proxy, version)
	}
	for _, m := range modules {
		list, err := os.ReadFile(filepath.Join(proxy, root, m, "@v/list"))
		if err != nil || string(list) != "v0.1.0\nv0.2.0\n" {
			t.Errorf("the proxy has these versions of %s: %q, %v", m, list, err)
		}
	}
}

func TestReleaseHelpNamesEveryOption(t *testing.T) {
	t.Parallel()
	help := command{dir: ".."}.run(t, "bash", "scripts/release", "-h")
	want, err := os.ReadFile("testdata/release-help.txt")
	if err != nil || help != string(want) {
		t.Errorf("scripts/release -h says:\n%s\n%v", help, err)
	}
}

// TestReleaseHasEveryModuleOfTheWorkspace finds a module that the script does not know. The modules
// that require it would be published, and could not be used.
func TestReleaseHasEveryModuleOfTheWorkspace(t *testing.T) {
	t.Parallel()
	repo := command{dir: ".."}
	got := strings.Fields(repo.run(t, "bash", "scripts/release", "--dry-run", "--worktree", "0.1.0"))
	var want []string
	for m := range strings.Lines(command{dir: "..", env: []string{"GOWORK="}}.run(t, "go", "list", "-m")) {
		want = append(want, strings.TrimPrefix(strings.TrimSpace(m), root+"/")+"/v0.1.0")
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("scripts/release makes %v; go.work uses %v", got, want)
	}
}

// info is the commit that the proxy tells for a version.
func (c command) info(t *testing.T, module, version string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(c.dir, "build/release/proxy", root, module, "@v", version+".info"))
	if err != nil {
		t.Fatal(err)
	}
	var info struct{ Origin struct{ Hash string } }
	if err := json.Unmarshal(raw, &info); err != nil {
		t.Fatal(err)
	}
	return info.Origin.Hash
}
