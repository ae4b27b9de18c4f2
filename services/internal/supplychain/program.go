// Package supplychain says what a program consists of, from the build information that the Go
// toolchain has written into its file: a software bill of materials (SBOM), and the licences of its
// modules. For an image of Debian packages it reads dpkg's status file.
package supplychain

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// ours is the path that all modules of this repository begin with.
const ours = "github.com/mailwright/mailwright/"

// Module is a module that a program holds.
type Module struct {
	Path    string
	Version string // such as v1.2.3; (devel) for a module of the checkout that was built
	Sum     string // as in go.sum, h1:… ; "" for a module of the checkout
}

// Ours reports whether the module is one of this repository.
func (m Module) Ours() bool { return strings.HasPrefix(m.Path, ours) }

// Program is a Go program, as its file describes it.
type Program struct {
	Name    string // of its file
	SHA256  string // of its file, in hexadecimal
	Go      string // the version of Go that built it, such as 1.26.8
	Main    Module
	Modules []Module // all others, in the order of their paths
}

// Read reads a program's file. Its error says so if Go did not build it.
func Read(file string) (Program, error) {
	f, err := os.Open(file) // #nosec G304 -- the caller names the program
	if err != nil {
		return Program{}, err
	}
	defer func() { _ = f.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return Program{}, fmt.Errorf("read %s: %w", file, err)
	}
	info, err := buildinfo.Read(f)
	if err != nil {
		return Program{}, fmt.Errorf("%s has no build information of Go: %w", file, err)
	}
	p := Program{
		Name: filepath.Base(file), SHA256: hex.EncodeToString(hash.Sum(nil)), Go: strings.TrimPrefix(info.GoVersion, "go"),
		Main: Module{info.Main.Path, info.Main.Version, info.Main.Sum},
	}
	for _, m := range info.Deps {
		if m.Replace != nil && !strings.HasPrefix(m.Replace.Path, ".") { // what was compiled
			m = m.Replace
		}
		p.Modules = append(p.Modules, Module{m.Path, m.Version, m.Sum})
	}
	return p, nil
}
