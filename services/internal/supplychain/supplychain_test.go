package supplychain_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mailwright/mailwright/services/internal/supplychain"
	"github.com/mailwright/mailwright/services/internal/testprograms"
)

// repository is the folder with the licence.
const repository = "../../.."

// program builds a program, and returns its file and its licences' folder.
func program(t *testing.T) (p supplychain.Program, file, licenses string) {
	t.Helper()
	dir := t.TempDir()
	if err := testprograms.Build(dir, "security/sbom"); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "sbom")
	p, err := supplychain.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	licenses = filepath.Join(dir, "licenses")
	if err := p.CopyLicenses(licenses, repository); err != nil {
		t.Fatal(err)
	}
	return p, file, licenses
}

func written(t *testing.T, b *cdx.BOM) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := supplychain.Write(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestTheSBOMIsValidAndHoldsWhatGoSaysThatTheProgramHolds(t *testing.T) {
	t.Parallel()
	p, file, licenses := program(t)
	found, faults := p.Recognise(licenses)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	first, second := written(t, p.SBOM(found)), written(t, p.SBOM(found))
	if !bytes.Equal(first, second) {
		t.Error("the same program has two SBOMs")
	}
	validate(t, first)
	says := output(t, "go", "version", "-m", file)
	for name, c := range map[string]struct {
		alter func(*cdx.BOM)
		want  string
	}{
		"as it is": {func(*cdx.BOM) {}, "[]"},
		"a module is left out": {
			func(b *cdx.BOM) {
				*b.Components = slices.DeleteFunc(*b.Components, func(c cdx.Component) bool { return strings.HasSuffix(c.Name, "/kong") })
			},
			"[the SBOM lacks github.com/alecthomas/kong " + version(t, "github.com/alecthomas/kong") + "]",
		},
		"the standard library is left out": {
			func(b *cdx.BOM) { *b.Components = (*b.Components)[1:] }, "[the SBOM lacks std " + p.Go + "]",
		},
		"a module too much": {
			func(b *cdx.BOM) {
				*b.Components = append(*b.Components, cdx.Component{Name: "example.com/x", Version: "v1.0.0"})
			},
			"[the program does not hold example.com/x v1.0.0]",
		},
	} {
		b := p.SBOM(found)
		c.alter(b)
		got, err := supplychain.Missing(bytes.NewReader(written(t, b)), says)
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%s: %v, %v; want %s", name, got, err, c.want)
		}
	}
}

func version(t *testing.T, module string) string {
	t.Helper()
	return output(t, "go", "list", "-m", "-f", "{{.Version}}", module)
}

// validate holds an SBOM against CycloneDX's own schema, which the library has beside its code.
func validate(t *testing.T, sbom []byte) {
	t.Helper()
	dir := filepath.Join(output(t, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go"), "schema")
	compiler := jsonschema.NewCompiler()
	for name, file := range map[string]string{"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json"} {
		f, err := os.Open(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(f)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource("http://cyclonedx.org/schema/"+name, document); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	check := func(raw []byte) error {
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(document)
	}
	if err := check(sbom); err != nil {
		t.Error(err)
	}
	if check(bytes.Replace(sbom, []byte(`"CycloneDX"`), []byte(`"SPDX"`), 1)) == nil {
		t.Error("the schema takes another format")
	}
}

func TestALicenceThatIsMissingOrNotKnownIsFound(t *testing.T) {
	t.Parallel()
	p, _, licenses := program(t)
	kong := filepath.Join(licenses, "github.com/alecthomas/kong@"+version(t, "github.com/alecthomas/kong"))
	own := filepath.Join(licenses, "github.com/mailwright/mailwright")
	text, err := os.ReadFile(filepath.Join(kong, "COPYING"))
	if err != nil {
		t.Fatal(err)
	}
	sample := filepath.Join(output(t, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/licensecheck"), "testdata", "AGPL-3.0.t1")
	raw, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	_, affero, _ := strings.Cut(string(raw), "\n\n") // behind what the scanner must find in it
	for _, c := range []struct {
		name, file, text, want string // no text: no file
	}{
		{"as it is", filepath.Join(kong, "COPYING"), string(text), ""},
		{"an unknown text", filepath.Join(kong, "COPYING"), "You may look at it.\n", "COPYING is no licence that is known (0 % of its words are one's)"},
		{"a known one in an unknown one", filepath.Join(kong, "COPYING"), string(text) + strings.Repeat("You may look at it. ", 50), "COPYING is no licence that is known"},
		{"a licence that asks for more", filepath.Join(kong, "COPYING"), affero, "COPYING is AGPL-3.0, which is not among those that only ask for notices"},
		{"no licence", filepath.Join(kong, "COPYING"), "", "it has no licence"},
		{"none of our own", filepath.Join(own, "LICENSE"), "", "it has no licence"},
	} {
		if err := os.WriteFile(filepath.Join(kong, "COPYING"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if c.text == "" {
			err = os.Remove(c.file)
		} else {
			err = os.WriteFile(c.file, []byte(c.text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, faults := p.Recognise(licenses)
		if c.want == "" && len(faults) > 0 || c.want != "" && (len(faults) == 0 || !strings.Contains(faults[0], c.want)) {
			t.Errorf("%s: %q, want %q", c.name, faults, c.want)
		}
	}
}

// TestTheLicenceOfGoIsThatOfThisToolchain: the copy beside the code is what Go says today.
func TestTheLicenceOfGoIsThatOfThisToolchain(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile(filepath.Join(output(t, "go", "env", "GOROOT"), "LICENSE"))
	if err != nil {
		t.Skipf("this toolchain (%s) keeps it elsewhere: %v", runtime.Version(), err)
	}
	got, err := os.ReadFile("go-license.txt")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("go-license.txt differs from Go's LICENSE: copy it anew (%v)", err)
	}
}

func TestDebianPackages(t *testing.T) {
	t.Parallel()
	status := filepath.Join(t.TempDir(), "status")
	text := "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9+deb12u10\nDescription: GNU C Library\n Package: not one\n\n" +
		"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: all\n"
	if err := os.WriteFile(status, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := supplychain.Debian(status, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	raw := written(t, b)
	validate(t, raw)
	var got struct{ Components []struct{ Name, PURL string } }
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Components) != 1 || got.Components[0].PURL != "pkg:deb/debian/libc6@2.36-9+deb12u10?arch=amd64" {
		t.Errorf("the packages are %v", got)
	}
	if err := os.WriteFile(status, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := supplychain.Debian(status, "postgres"); err == nil {
		t.Error("an empty status file has packages")
	}
}
