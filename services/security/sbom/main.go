// sbom writes what the images hold beside a program: its SBOM, OUT/sbom/PROGRAM.cdx.json, and the
// licences of its modules, OUT/licenses/PROGRAM. It fails if a licence is missing or not known.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/alecthomas/kong"

	"github.com/mailwright/mailwright/services/internal/supplychain"
)

type options struct {
	Out      string   `help:"Folder for sbom/ and licenses/." default:"build"`
	Own      string   `help:"Folder with this repository's LICENSE and NOTICE." default:"." type:"existingdir"`
	Dpkg     string   `help:"dpkg's status file: write the SBOM of these Debian packages, as NAME, and no licences." placeholder:"FILE" type:"existingfile"`
	Name     string   `help:"What the Debian packages make up." placeholder:"NAME"`
	Programs []string `arg:"" optional:"" help:"Files of Go programs." type:"existingfile"`
}

func main() {
	var o options
	kong.Parse(&o, kong.Name("sbom"), kong.Description("Writes SBOMs (CycloneDX) and licences of programs."))
	if err := o.run(); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func (o *options) run() error {
	if o.Dpkg != "" {
		b, err := supplychain.Debian(o.Dpkg, o.Name)
		if err != nil {
			return err
		}
		return o.write(o.Name, b)
	}
	for _, file := range o.Programs {
		if err := o.program(file); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) program(file string) error {
	p, err := supplychain.Read(file)
	if err != nil {
		return err
	}
	licenses := filepath.Join(o.Out, "licenses", p.Name)
	if err := errors.Join(os.RemoveAll(licenses), p.CopyLicenses(licenses, o.Own)); err != nil {
		return err
	}
	found, faults := p.Recognise(licenses)
	if len(faults) > 0 {
		return fmt.Errorf("licences: %q", faults)
	}
	return o.write(p.Name, p.SBOM(found))
}

func (o *options) write(name string, b *cdx.BOM) error {
	dir := filepath.Join(o.Out, "sbom")
	if err := os.MkdirAll(dir, 0o755); err != nil { // #nosec G301 -- for everybody
		return err
	}
	f, err := os.Create(filepath.Join(dir, name+".cdx.json")) // #nosec G304 -- below the caller's folder
	if err != nil {
		return err
	}
	return errors.Join(supplychain.Write(f, b), f.Close())
}
