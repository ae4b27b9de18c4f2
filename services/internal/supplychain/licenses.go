package supplychain

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
	"golang.org/x/mod/module"
)

// goLicense is the licence of Go's standard library. It stands here since some distributions keep
// it elsewhere than in Go's root.
//
//go:embed go-license.txt
var goLicense []byte

// Licenses holds each module's licences, by its path, as SPDX identifiers or names; std is Go's
// standard library.
type Licenses map[string][]string

// legal matches the names of files with a licence, or what a licence wants to be passed on.
var legal = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|copyright|patents|unlicense)([.-](txt|md|apache|mit|bsd)[a-z0-9]*)?$`)

// CopyLicenses copies every licence and notice of a program's modules below dir, each module's in a
// folder of its path and version, where they stand in the module. own is the folder with the
// licence of this repository.
func (p Program) CopyLicenses(dir, own string) error {
	cache, err := moduleCache()
	if err != nil {
		return err
	}
	if err := write(filepath.Join(dir, "std@"+p.Go, "LICENSE"), goLicense); err != nil {
		return err
	}
	for _, m := range p.parts() {
		if m.Ours() {
			if err := copyOwn(own, filepath.Join(dir, m.folder())); err != nil {
				return err
			}
			continue
		}
		from, err := cached(cache, m)
		if err != nil {
			return err
		}
		if err := copyLegal(from, filepath.Join(dir, m.folder())); err != nil {
			return err
		}
	}
	return nil
}

// parts are the modules whose licences a program must have: the main one among them.
func (p Program) parts() []Module { return append([]Module{p.Main}, p.Modules...) }

// folder is the module's folder below the licences. Modules of this repository share one.
func (m Module) folder() string {
	if m.Ours() {
		return strings.TrimSuffix(ours, "/")
	}
	return m.Path + "@" + m.Version
}

func moduleCache() (string, error) {
	out, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMODCACHE: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// cached is the folder of a module in the module cache.
func cached(cache string, m Module) (string, error) {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return "", err
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, filepath.FromSlash(path)+"@"+version)
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("the module cache lacks %s %s, which has its licence: run 'go mod download %s@%s': %w", m.Path, m.Version, m.Path, m.Version, err)
	}
	return dir, nil
}

// copyOwn copies the licence and the notice of this repository, and of nothing below it.
func copyOwn(from, to string) error {
	for _, name := range []string{"LICENSE", "NOTICE"} {
		text, err := os.ReadFile(filepath.Join(from, name)) // #nosec G304 -- two names in the repository
		if err == nil {
			err = write(filepath.Join(to, name), text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyLegal copies the licences and notices of a module. Those of its test data concern nothing
// that a program holds.
func copyLegal(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != from && (name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
				return fs.SkipDir
			}
			return nil
		}
		if !legal.MatchString(d.Name()) {
			return nil
		}
		text, err := os.ReadFile(path) // #nosec G304 G122 -- Go made the module cache, and holds no links in it
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return write(filepath.Join(to, name), text)
	})
}

func write(file string, text []byte) error {
	// #nosec G301 G306 -- licences are for everybody
	return errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, text, 0o644))
}

// minCoverage is the share of a file's words, in percent, that must be those of known licences.
// Without it one line that only mentions a licence would do.
const minCoverage = 75

// permissive are the licences, by their SPDX identifiers, that ask for no more than that their text
// and the notices are passed on, as the images do.
var permissive = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"}

// publicDomain names what has no SPDX identifier: its author has given every right up.
const publicDomain = "Public domain"

// readByHand are texts that no program recognises and a person has read, by their SHA-256. A text
// that changes must be read anew.
var readByHand = map[[sha256.Size]byte]string{
	// github.com/xi2/xz: "All these files have been put into the public domain."
	sum("5c640056d513f276d56635af7a0bed81cb7eac02a31b6e56d40c416557a8d8ce"): publicDomain,
}

func sum(hexadecimal string) (s [sha256.Size]byte) {
	if n, err := hex.Decode(s[:], []byte(hexadecimal)); err != nil || n != len(s) {
		panic(hexadecimal + " is no SHA-256")
	}
	return s
}

// Recognise reads the licences that CopyLicenses has copied. It returns those of each module, and
// what is wrong: a module without a licence, with one that is not known, or with one that is not
// among the permissive ones.
func (p Program) Recognise(dir string) (found Licenses, faults []string) {
	found = Licenses{}
	check := func(name, folder string) {
		ids, err := recognise(filepath.Join(dir, folder))
		if err != nil {
			faults = append(faults, fmt.Sprintf("%s: %s: %v", p.Name, folder, err))
		}
		found[name] = ids
	}
	check("std", "std@"+p.Go)
	for _, m := range p.parts() {
		check(m.Path, m.folder())
	}
	return found, faults
}

// recognise reads the licence in a module's own folder. Of several files, as of a choice between
// two licences, each must be known.
func recognise(dir string) (ids []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, errors.New("it has no licence")
	}
	for _, e := range entries {
		name := strings.ToLower(e.Name())
		if e.IsDir() || strings.HasPrefix(name, "notice") || strings.HasPrefix(name, "patents") || strings.HasPrefix(name, "copyright") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name())) // #nosec G304 -- below the caller's folder
		if err != nil {
			return nil, err
		}
		if name, ok := readByHand[sha256.Sum256(text)]; ok {
			ids = append(ids, name)
			continue
		}
		scan := licensecheck.Scan(text)
		if scan.Percent < minCoverage {
			return nil, fmt.Errorf("%s is no licence that is known (%.0f %% of its words are one's)", e.Name(), scan.Percent)
		}
		for _, m := range scan.Match {
			if !slices.Contains(permissive, m.ID) {
				return nil, fmt.Errorf("%s is %s, which is not among those that only ask for notices", e.Name(), m.ID)
			}
			ids = append(ids, m.ID)
		}
	}
	if len(ids) == 0 {
		return nil, errors.New("it has no licence")
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
