package supplychain

import (
	"fmt"
	"net/url"
	"os"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// Debian describes an image of Debian packages, from dpkg's status file in it.
func Debian(status, name string) (*cdx.BOM, error) {
	text, err := os.ReadFile(status) // #nosec G304 -- the caller names the file
	if err != nil {
		return nil, err
	}
	var components []cdx.Component
	for paragraph := range strings.SplitSeq(string(text), "\n\n") {
		fields := map[string]string{}
		for line := range strings.Lines(paragraph) {
			if key, value, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, " ") {
				fields[key] = strings.TrimSpace(value)
			}
		}
		if fields["Status"] != "install ok installed" {
			continue
		}
		purl := "pkg:deb/debian/" + fields["Package"] + "@" + url.PathEscape(fields["Version"]) + "?arch=" + fields["Architecture"]
		components = append(components, component(cdx.ComponentTypeLibrary, fields["Package"], fields["Version"], purl))
	}
	if len(components) == 0 {
		return nil, fmt.Errorf("%s: no package is installed", status)
	}
	return bom(component(cdx.ComponentTypeContainer, name, "", "pkg:generic/"+name), components), nil
}
