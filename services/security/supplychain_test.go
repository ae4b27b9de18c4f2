package security

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/mailwright/mailwright/services/internal/supplychain"
)

// repository is the folder of the repository.
const repository = "../.."

var released = regexp.MustCompile(`(?m)^PROGRAMS := (.+)$`)

// programs are all programs that are released: those that `make build` builds.
func programs(t *testing.T) []string {
	t.Helper()
	found := released.FindStringSubmatch(read(t, "Makefile"))
	if found == nil {
		t.Fatal("the Makefile has no PROGRAMS")
	}
	return strings.Fields(found[1])
}

// command runs a program in a folder, and returns what it prints.
func command(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		errors.As(err, &exit)
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, exit.Stderr)
	}
	return string(out)
}

// TestSBOMsAndLicencesAreComplete compares the SBOM of each program with what Go itself says about
// its file, and looks for a licence that is known of each of its modules.
func TestSBOMsAndLicencesAreComplete(t *testing.T) {
	t.Parallel()
	var sbomFaults, licenceFaults []string
	modules := map[string]bool{}
	for _, name := range programs(t) {
		p, licences := described(t, name)
		found, faults := p.Recognise(licences)
		licenceFaults = append(licenceFaults, faults...)
		sbomFaults = append(sbomFaults, missing(t, name, p.SBOM(found))...)
		// An image has nothing but its program: without these it could call no vendor.
		if !slices.ContainsFunc(p.Modules, func(m supplychain.Module) bool { return m.Path == "golang.org/x/crypto/x509roots/fallback" }) {
			t.Errorf("%s holds no certificates of authorities", name)
		}
		for module := range maps.Keys(found) {
			modules[module] = true
		}
	}
	report.checked(t, checkSBOMs, fmt.Sprintf("%d programs, each as `go version -m` describes it", len(programs(t))), sbomFaults)
	report.checked(t, checkLicences, fmt.Sprintf("%d modules, each with a licence that only asks for notices", len(modules)), licenceFaults)

	p, licences := described(t, "mailbox-svc")
	b := p.SBOM(nil)
	*b.Components = slices.DeleteFunc(*b.Components, func(c cdx.Component) bool { return c.Name == "github.com/nats-io/nats.go" })
	report.proved(t, checkSBOMs, "a module left out of an SBOM", missing(t, "mailbox-svc", b))
	for _, broken := range []string{"a licence replaced by another text", "a licence left out"} {
		files, err := filepath.Glob(filepath.Join(licences, "github.com/nats-io/nats.go@*", "LICENSE"))
		if err != nil || len(files) != 1 {
			t.Fatalf("the licence of nats.go: %v, %v", files, err)
		}
		if strings.HasSuffix(broken, "out") {
			err = os.Remove(files[0])
		} else {
			err = os.WriteFile(files[0], []byte("All rights reserved.\n"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, faults := p.Recognise(licences)
		report.proved(t, checkLicences, broken, faults)
	}
}

// described reads a program's file, and copies its licences to a folder.
func described(t *testing.T, name string) (p supplychain.Program, licences string) {
	t.Helper()
	p, err := supplychain.Read(filepath.Join(bin, name))
	if err != nil {
		t.Fatal(err)
	}
	licences = filepath.Join(t.TempDir(), name)
	if err := p.CopyLicenses(licences, repository); err != nil {
		t.Fatal(err)
	}
	return p, licences
}

// missing says in what an SBOM differs from the program.
func missing(t *testing.T, name string, b *cdx.BOM) []string {
	t.Helper()
	var sbom bytes.Buffer
	if err := supplychain.Write(&sbom, b); err != nil {
		t.Fatal(err)
	}
	faults, err := supplychain.Missing(&sbom, command(t, ".", nil, "go", "version", "-m", filepath.Join(bin, name)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range faults {
		faults[i] = name + ": " + faults[i]
	}
	return faults
}
