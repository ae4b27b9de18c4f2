// Package tenant reads which tenants a service works for, and where and with what
// credentials each reaches its vendors. The section `tenants` of the configuration file holds
// them; docs/vendors.md shows it whole.
package tenant

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mailwright/mailwright/pkg/secret"
)

// Tenants maps a tenant's name, which stands in the subject of its commands, to its configuration.
type Tenants map[string]*Tenant

// Tenant is what one tenant configures; a vendor that it does not use is nil.
type Tenant struct {
	// Policy bounds what commands may ask for.
	Policy Policy `yaml:"policy"`
	// Operators are the CloudEvents sources, compared exactly, whose operation.cancel may end every
	// operation of the tenant. Others may end those of their own source.
	Operators []string `yaml:"operators"`
	// Keys is [KeysStrict], or "": a command whose key is not the recommended one is carried out
	// with a warning.
	Keys string `yaml:"keys"`
	// Identities is the file of the keys that open sealed secrets, of age, one a line: its path,
	// relative to the configuration file. The first key is the one that publishers seal to. "": no
	// sealed secret can be opened.
	Identities string `yaml:"identities"`
	// PlainSecrets is [PlainSecretsAllowed], or "": a command with a plain secret is rejected.
	PlainSecrets string `yaml:"plainSecrets"`

	Adaxes         *Adaxes         `yaml:"adaxes"`
	ExchangeOnline *ExchangeOnline `yaml:"exchangeOnline"`
	HostedExchange *HostedExchange `yaml:"hostedExchange"`
	EnPower        *EnPower        `yaml:"enpower"`
}

// Secret is a secret that the file refers to: {file: path} (relative to the configuration file) or
// {env: NAME}. The value itself cannot stand in the file.
type Secret struct {
	secret.String
	file, env string
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *Secret) UnmarshalYAML(n *yaml.Node) error {
	var ref struct {
		File string `yaml:"file"`
		Env  string `yaml:"env"`
	}
	if n.Kind != yaml.MappingNode || n.Decode(&ref) != nil || (ref.File == "") == (ref.Env == "") {
		return fmt.Errorf("line %d: a secret does not stand in this file: write {file: PATH} or {env: NAME}", n.Line)
	}
	s.file, s.env = ref.File, ref.Env
	return nil
}

// given reports whether the file refers to it.
func (s *Secret) given() bool { return s.file != "" || s.env != "" }

// resolve reads the secret. A path is relative to dir until it has been resolved once.
func (s *Secret) resolve(dir string) (err error) {
	switch {
	case s.file != "":
		s.file = absolute(dir, s.file)
		s.String, err = secret.FromFile(s.file)
	case s.env != "":
		s.String = secret.New(os.Getenv(s.env))
		if s.IsZero() {
			err = fmt.Errorf("environment variable %s is not set", s.env)
		}
	}
	return err
}

// Load reads the tenants of a configuration file and resolves their secrets. Every fault found is
// in the error, each with its line.
func Load(path string) (Tenants, error) {
	if path == "" {
		return nil, errors.New("no configuration file: give --config (or MAILWRIGHT_CONFIG) with a section tenants")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	tenants, root, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := tenants.complete(filepath.Dir(path), root); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return tenants, nil
}

// parse decodes the section tenants strictly; the rest of the file belongs to package process. root
// is the file as a tree.
func parse(raw []byte) (tenants Tenants, root *yaml.Node, err error) {
	root = &yaml.Node{}
	if err := yaml.Unmarshal(raw, root); err != nil {
		return nil, nil, withoutValues(err)
	}
	if err := plainNames(root); err != nil {
		return nil, nil, err
	}
	var file struct {
		Tenants Tenants        `yaml:"tenants"`
		Rest    map[string]any `yaml:",inline"`
	}
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, withoutValues(err)
	}
	if len(file.Tenants) == 0 {
		return nil, nil, errors.New("the section tenants is missing or names no tenant")
	}
	return file.Tenants, root, nil
}

// plainNames refuses members whose name is not a text: the decoder's error would quote the whole
// name, which may hold a secret.
func plainNames(n *yaml.Node) error {
	for i, child := range n.Content {
		if name := child; n.Kind == yaml.MappingNode && i%2 == 0 {
			if name.Kind == yaml.AliasNode {
				name = name.Alias
			}
			if name.Kind != yaml.ScalarNode {
				return fmt.Errorf("line %d: the name of a member must be a text: quote it if it begins with { or [", child.Line)
			}
		}
		if err := plainNames(child); err != nil {
			return err
		}
	}
	return nil
}

// quotedValue is how the decoder repeats a value of the wrong type, which may be a secret in the
// wrong place.
var quotedValue = regexp.MustCompile("(?s)`.*`")

// withoutValues is what the decoder says without the values that it quotes.
func withoutValues(err error) error {
	faults := []string{err.Error()}
	if several, ok := errors.AsType[*yaml.TypeError](err); ok {
		faults = several.Errors
	}
	for i, fault := range faults {
		faults[i] = quotedValue.ReplaceAllString(fault, "a value")
	}
	return errors.New(strings.Join(faults, "\n"))
}

// Names lists the tenants in alphabetical order.
func (ts Tenants) Names() []string {
	names := make([]string, 0, len(ts))
	for name := range ts {
		names = append(names, name)
	}
	slices.SortFunc(names, strings.Compare)
	return names
}
