package supplychain

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// specVersion is that of the SBOMs: the newest that scanners commonly read.
const specVersion = cdx.SpecVersion1_6

// SBOM describes a program and each module of it, Go's standard library among them. It holds
// neither a time nor a random number, so the same file has the same SBOM. licenses may be nil.
func (p Program) SBOM(licenses Licenses) *cdx.BOM {
	root := component(cdx.ComponentTypeApplication, p.Name, p.Main.Version, "pkg:golang/"+p.Main.Path+at(p.Main.Version)+"#"+p.Name)
	root.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: p.SHA256}}
	std := component(cdx.ComponentTypeLibrary, "std", p.Go, "pkg:golang/std"+at(p.Go))
	std.Licenses = identified(licenses["std"])
	components := []cdx.Component{std}
	for _, m := range p.Modules {
		c := component(cdx.ComponentTypeLibrary, m.Path, m.Version, "pkg:golang/"+m.Path+at(m.Version))
		c.Licenses = identified(licenses[m.Path])
		// Go's own hash of the module's files, which go.sum and sum.golang.org have too.
		if raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:")); err == nil && len(raw) > 0 {
			c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(raw)}}
		}
		components = append(components, c)
	}
	if p.Main.Ours() {
		root.Licenses = identified([]string{"Apache-2.0"})
	} else {
		root.Licenses = identified(licenses[p.Main.Path])
	}
	return bom(root, components)
}

// at is a version within a package URL. That of a checkout has none that anybody could look up.
func at(version string) string {
	if version == "" || version == "(devel)" {
		return ""
	}
	return "@" + url.PathEscape(version)
}

func component(kind cdx.ComponentType, name, version, purl string) cdx.Component {
	return cdx.Component{BOMRef: purl, Type: kind, Name: name, Version: version, PackageURL: purl}
}

func identified(ids []string) *cdx.Licenses {
	if len(ids) == 0 {
		return nil
	}
	list := make(cdx.Licenses, len(ids))
	for i, id := range ids {
		list[i].License = &cdx.License{ID: id}
		if !slices.Contains(permissive, id) {
			list[i].License = &cdx.License{Name: id}
		}
	}
	return &list
}

// bom says that root consists of components. Which of them needs which other is not known.
func bom(root cdx.Component, components []cdx.Component) *cdx.BOM {
	refs := make([]string, len(components))
	for i, c := range components {
		refs[i] = c.BOMRef
	}
	b := cdx.NewBOM()
	b.Metadata = &cdx.Metadata{Component: &root}
	b.Components = &components
	b.Dependencies = &[]cdx.Dependency{{Ref: root.BOMRef, Dependencies: &refs}}
	return b
}

// Write writes an SBOM as CycloneDX JSON.
func Write(w io.Writer, b *cdx.BOM) error {
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(b, specVersion)
}

// Missing compares the SBOM of a program with what `go version -m` prints about its file, and says
// what the SBOM lacks and what the program does not hold.
func Missing(sbom io.Reader, goVersion string) ([]string, error) {
	var b cdx.BOM
	if err := cdx.NewBOMDecoder(sbom, cdx.BOMFileFormatJSON).Decode(&b); err != nil {
		return nil, fmt.Errorf("read the SBOM: %w", err)
	}
	listed := map[string]bool{}
	if b.Components != nil {
		for _, c := range *b.Components {
			listed[c.Name+" "+c.Version] = true
		}
	}
	var faults []string
	for held := range held(goVersion) {
		if !listed[held] {
			faults = append(faults, "the SBOM lacks "+held)
		}
		delete(listed, held)
	}
	for extra := range listed {
		faults = append(faults, "the program does not hold "+extra)
	}
	return faults, nil
}

// held reads the modules and their versions out of what `go version -m` prints.
func held(goVersion string) map[string]bool {
	list := map[string]bool{}
	first, rest, _ := strings.Cut(goVersion, "\n")
	list["std "+first[strings.LastIndex(first, " go")+len(" go"):]] = true
	last := ""
	for line := range strings.Lines(rest) {
		fields := strings.Split(strings.Trim(line, "\t\n"), "\t")
		switch {
		case len(fields) < 3:
		case fields[0] == "dep":
			last = fields[1] + " " + fields[2]
			list[last] = true
		case fields[0] == "=>" && !strings.HasPrefix(fields[1], "."):
			delete(list, last)
			list[fields[1]+" "+fields[2]] = true
		}
	}
	return list
}
