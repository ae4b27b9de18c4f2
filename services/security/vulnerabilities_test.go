package security

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestProgramsHoldNoKnownVulnerability asks govulncheck about each program. Its database is at
// https://vuln.go.dev, or where GOVULNDB says. Where none answers, the check was not made.
func TestProgramsHoldNoKnownVulnerability(t *testing.T) {
	long(t)
	t.Parallel()
	proveVulnerabilities(t)
	var faults []string
	for _, name := range programs(t) {
		found, err := vulnerabilities(t, os.Getenv("GOVULNDB"), name)
		if err != nil {
			report.notChecked(t, checkVulnerabilities, err.Error())
			return
		}
		faults = append(faults, found...)
	}
	report.checked(t, checkVulnerabilities, fmt.Sprintf("%d programs, by govulncheck", len(programs(t))), faults)
}

var vulnerable = regexp.MustCompile(`(?m)^Vulnerability #\d+: (\S+)`)

// vulnerabilities are those of a program, in code that it holds. The error says why they are not
// known.
func vulnerabilities(t *testing.T, database, name string) (faults []string, err error) {
	t.Helper()
	args := []string{"-mode", "binary", filepath.Join(bin, name)}
	if database != "" {
		args = append([]string{"-db", database}, args...)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(repository, "build", "tools", "govulncheck"), args...)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	err = cmd.Run()
	const vulnerabilitiesFound = 3
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == vulnerabilitiesFound {
		for _, v := range vulnerable.FindAllStringSubmatch(out.String(), -1) {
			faults = append(faults, name+" holds "+v[1]+": https://pkg.go.dev/vuln/"+v[1])
		}
		return faults, nil
	}
	if err != nil {
		return nil, errors.New(strings.TrimSpace(messages.String()))
	}
	return nil, nil
}

// proveVulnerabilities makes a vulnerability up, in a library that each program calls.
func proveVulnerabilities(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"index/db.json":      `{"modified":"2026-01-01T00:00:00Z"}`,
		"index/modules.json": `[{"path":"github.com/alecthomas/kong","vulns":[{"id":"GO-2026-0001","modified":"2026-01-01T00:00:00Z"}]}]`,
		"index/vulns.json":   `[{"id":"GO-2026-0001","modified":"2026-01-01T00:00:00Z"}]`,
		"ID/GO-2026-0001.json": `{"schema_version":"1.3.1","id":"GO-2026-0001","modified":"2026-01-01T00:00:00Z","published":"2026-01-01T00:00:00Z",
			"details":"made up","database_specific":{"url":"https://pkg.go.dev/vuln/GO-2026-0001"},"affected":[{"package":{"name":"github.com/alecthomas/kong","ecosystem":"Go"},
			"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}],"ecosystem_specific":{"imports":[{"path":"github.com/alecthomas/kong","symbols":["New"]}]}}]}`,
	} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	found, err := vulnerabilities(t, "file://"+dir, "mailbox-svc")
	if err != nil {
		t.Fatal(err)
	}
	report.proved(t, checkVulnerabilities, "a vulnerability that is made up, in a library that is called", found)
}
