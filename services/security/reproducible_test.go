package security

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/internal/supplychain"
)

// TestBuildsAndImagesAreReproducible clones the repository to another path, and builds the programs
// there with an empty cache: each must equal what `make build` made here, to the byte. Then it
// builds each image at two paths: the layers and the settings must be equal. An image's id differs,
// since the engine puts the time of the build into it.
func TestBuildsAndImagesAreReproducible(t *testing.T) {
	long(t)
	if os.Getenv("MAILWRIGHT_SECURITY_QUICK") != "" {
		for _, check := range []string{checkBuilds, checkImages} {
			report.notChecked(t, check, "QUICK=1 leaves it out")
		}
		return
	}
	tree := clone(t)
	if tree == "" {
		return
	}
	cache := t.TempDir()
	began := time.Now()
	command(t, tree, []string{"MAKEFLAGS=", "GOCACHE=" + cache}, "make", "--no-print-directory", "build")
	took := time.Since(began).Round(time.Second)
	report.checked(t, checkBuilds, fmt.Sprintf("%d programs built twice, at two paths, the second time with an empty cache (%s)", len(programs(t)), took), differing(t, bin, filepath.Join(tree, "bin")))

	first, second := stamped(t, tree, cache, "first"), stamped(t, tree, cache, "second")
	report.proved(t, checkBuilds, "a program with the time of its build in it", differing(t, first, second, "sandbox"))

	checkTheImages(t, tree)
}

// clone copies the repository, with what is not committed, to another path. It returns "" where
// there is no git.
func clone(t *testing.T) string {
	t.Helper()
	if err := exec.CommandContext(t.Context(), "git", "-C", repository, "rev-parse", "HEAD").Run(); err != nil {
		for _, check := range []string{checkBuilds, checkImages} {
			report.notChecked(t, check, "this is no clone of git")
		}
		return ""
	}
	here, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(t.TempDir(), "a-path-of-another-length")
	command(t, here, nil, "git", "clone", "-q", "--shared", "--no-checkout", "--no-tags", here, tree)
	command(t, tree, nil, "git", "read-tree", "HEAD")
	command(t, here, nil, "git", "--git-dir="+filepath.Join(tree, ".git"), "--work-tree=.", "add", "-A")
	command(t, tree, nil, "git", "checkout-index", "-a")
	return tree
}

// differing names the programs that are not equal in two folders.
func differing(t *testing.T, one, other string, names ...string) (faults []string) {
	t.Helper()
	if names == nil {
		names = programs(t)
	}
	for _, name := range names {
		a, err := supplychain.Read(filepath.Join(one, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := supplychain.Read(filepath.Join(other, name))
		if err != nil {
			t.Fatal(err)
		}
		if a.SHA256 != b.SHA256 {
			faults = append(faults, fmt.Sprintf("%s was built twice and differs: %s, %s", name, a.SHA256, b.SHA256))
		}
	}
	return faults
}

// stamped builds the sandbox with the time in it, as a careless Makefile would.
func stamped(t *testing.T, tree, cache, name string) string {
	t.Helper()
	dir := filepath.Join(tree, "build", name)
	file := filepath.Join(tree, "services", "sandbox", "stamp.go")
	text := fmt.Sprintf("package main\n\nimport \"os\"\n\nfunc init() { _ = os.Setenv(\"BUILT\", %q) }\n", time.Now())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Remove(file) }()
	command(t, filepath.Join(tree, "services"), []string{"CGO_ENABLED=0", "GOCACHE=" + cache}, "go", "build", "-trimpath", "-ldflags=-s", "-o", dir+"/", "./sandbox")
	return dir
}

// checkTheImages builds each image at two paths, from the programs in bin of a copy of the
// repository, and looks for the SBOM and the licences in them.
func checkTheImages(t *testing.T, tree string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := exec.CommandContext(ctx, "docker", "version").Run(); err != nil {
		report.notChecked(t, checkImages, "no Docker engine answers")
		return
	}
	first := images(t, tree, "check-1", programs(t))
	moved := filepath.Join(filepath.Dir(tree), "moved")
	if err := os.Rename(tree, moved); err != nil {
		t.Fatal(err)
	}
	second := images(t, moved, "check-2", programs(t))
	var faults []string
	for _, name := range programs(t) {
		if first[name] != second[name] {
			faults = append(faults, fmt.Sprintf("the image of %s was built twice and differs:\n%s\n%s", name, first[name], second[name]))
		}
		faults = append(faults, lacking(t, "mailwright/"+name+":check-1", "sbom/"+name+".cdx.json", "licenses/github.com/mailwright/mailwright/LICENSE")...)
	}
	report.checked(t, checkImages, fmt.Sprintf("%d images built twice, at two paths: layers and settings are equal, each holds its SBOM and its licences", len(programs(t))), faults)

	third := images(t, moved, "check-3", []string{"sandbox"}, "SOURCE_DATE_EPOCH=1")
	var found []string
	if third["sandbox"] != first["sandbox"] {
		found = []string{"sandbox"}
	}
	report.proved(t, checkImages, "files with other times", found)
	report.proved(t, checkImages, "an image without a file", lacking(t, "mailwright/sandbox:check-1", "sbom/another.cdx.json"))
}

// images builds images, and returns the layers and the settings of each. The images go at the end.
func images(t *testing.T, tree, tag string, names []string, env ...string) map[string]string {
	t.Helper()
	command(t, tree, append(env, "BUILD_OPTIONS=--no-cache", "MAKEFLAGS="), "scripts/images", append([]string{tag}, names...)...)
	list := map[string]string{}
	for _, name := range names {
		image := "mailwright/" + name + ":" + tag
		t.Cleanup(func() { _ = exec.Command("docker", "rmi", image).Run() })
		list[name] = strings.TrimSpace(command(t, tree, nil, "docker", "image", "inspect", "-f", "{{json .RootFS.Layers}} {{json .Config}}", image))
	}
	return list
}

// lacking names the files that an image does not hold.
func lacking(t *testing.T, image string, files ...string) (faults []string) {
	t.Helper()
	container := strings.TrimSpace(command(t, ".", nil, "docker", "create", image))
	defer command(t, ".", nil, "docker", "rm", container)
	for _, file := range files {
		if err := exec.CommandContext(t.Context(), "docker", "cp", container+":/"+file, t.TempDir()).Run(); err != nil {
			faults = append(faults, image+" lacks /"+file)
		}
	}
	return faults
}
