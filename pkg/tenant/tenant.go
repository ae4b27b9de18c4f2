// Package tenant reads which tenants a service works for, and where and with what
// credentials each reaches its vendors. The section `tenants` of the configuration file holds
// them; docs/vendors.md shows it whole.
package tenant

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mailwright/mailwright/pkg/secret"
)

// Tenants maps the name that commands give as tenantid to its configuration.
type Tenants map[string]*Tenant

// Tenant names the vendors of one tenant; a vendor that it does not use is nil.
type Tenant struct {
	Adaxes         *Adaxes         `yaml:"adaxes"`
	ExchangeOnline *ExchangeOnline `yaml:"exchangeOnline"`
	HostedExchange *HostedExchange `yaml:"hostedExchange"`
	EnPower        *EnPower        `yaml:"enpower"`
}

// Adaxes is where one tenant's Adaxes REST API is. It needs a token, or username and password
// for Adaxes 2025.1 and older.
type Adaxes struct {
	// URL is the REST API's base, such as https://host.example.com/restApi.
	URL      string `yaml:"url"`
	Token    Secret `yaml:"token"`
	Username string `yaml:"username"`
	Password Secret `yaml:"password"`
	// Microsoft365Field is the name of the licence block: o365 (default), or m365 for newer versions.
	Microsoft365Field string `yaml:"microsoft365Field"`
	// MarkerAttribute is a text attribute that no one else uses, such as extensionAttribute15 or
	// adm-CustomAttributeText20. A created object carries its operation id there, which lets a lost answer be
	// settled with certainty. Empty: objects are recognised by their DN alone.
	MarkerAttribute string `yaml:"markerAttribute"`
}

// ExchangeOnline is where one tenant's Exchange Online Admin API is.
type ExchangeOnline struct {
	// URL is the cloud's base; default https://outlook.office365.com.
	URL string `yaml:"url"`
	// TenantID is the Entra tenant's GUID.
	TenantID     string `yaml:"tenantId"`
	TokenURL     string `yaml:"tokenUrl"`
	ClientID     string `yaml:"clientId"`
	ClientSecret Secret `yaml:"clientSecret"`
	// Scope defaults to the one that belongs to URL.
	Scope string `yaml:"scope"`
}

// HostedExchange is where one tenant's Microsoft Provisioning System is.
type HostedExchange struct {
	URL string `yaml:"url"`
	// Transport is soap (default) or xml, the plain trusted request.
	Transport string `yaml:"transport"`
	Username  string `yaml:"username"`
	Password  Secret `yaml:"password"`
}

// EnPower is where one tenant's AvePoint EnPower is.
type EnPower struct {
	// URL is the region's base, such as https://graph-us.avepointonlineservices.com.
	URL string `yaml:"url"`
	// TokenURL is the environment's token endpoint.
	TokenURL     string `yaml:"tokenUrl"`
	ClientID     string `yaml:"clientId"`
	ClientSecret Secret `yaml:"clientSecret"`
	// Scope defaults to enpower.data.read.all.
	Scope string `yaml:"scope"`
}

// Secret is a secret that the file refers to: {file: path} (relative to the configuration file) or {env: NAME}.
// The value itself can not stand in the file.
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

func (s *Secret) resolve(dir string) (err error) {
	switch {
	case s.file != "":
		path := s.file
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		s.String, err = secret.FromFile(path)
	case s.env != "":
		s.String = secret.New(os.Getenv(s.env))
		if s.IsZero() {
			err = fmt.Errorf("environment variable %s is not set", s.env)
		}
	}
	return err
}

// Load reads the tenants of a configuration file and resolves their secrets. Every fault found is
// in the error, each with the line or the member that it is about.
func Load(path string) (Tenants, error) {
	if path == "" {
		return nil, errors.New("no configuration file: give --config (or MAILWRIGHT_CONFIG) with a section tenants")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	tenants, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := tenants.complete(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return tenants, nil
}

// parse decodes the section tenants strictly; the rest of the file belongs to package process.
func parse(raw []byte) (Tenants, error) {
	var file struct {
		Tenants Tenants        `yaml:"tenants"`
		Rest    map[string]any `yaml:",inline"`
	}
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(file.Tenants) == 0 {
		return nil, errors.New("the section tenants is missing or names no tenant")
	}
	return file.Tenants, nil
}

func (ts Tenants) complete(dir string) error {
	var errs []error
	for _, name := range ts.Names() {
		t := ts[name]
		if t == nil {
			errs = append(errs, fmt.Errorf("tenants.%s is empty", name))
			continue
		}
		for _, f := range t.fields() {
			if err := f.check(dir); err != nil {
				errs = append(errs, fmt.Errorf("tenants.%s.%s: %w", name, f.name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// field is one member that must be complete.
type field struct {
	name     string
	text     *string // a URL, if isURL
	isURL    bool
	secret   *Secret
	optional bool
}

func (f field) check(dir string) error {
	if f.secret != nil {
		if err := f.secret.resolve(dir); err != nil {
			return err
		}
		if f.secret.IsZero() && !f.optional {
			return errors.New("is missing; write {file: PATH} or {env: NAME}")
		}
		return nil
	}
	if *f.text == "" {
		if f.optional {
			return nil
		}
		return errors.New("is missing")
	}
	if u, err := url.Parse(*f.text); f.isURL && (err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "") {
		return errors.New("must be an absolute http or https URL")
	}
	return nil
}

func (t *Tenant) fields() (list []field) {
	if a := t.Adaxes; a != nil {
		list = append(list, field{name: "adaxes.url", text: &a.URL, isURL: true},
			field{name: "adaxes.token", secret: &a.Token, optional: a.Username != ""},
			field{name: "adaxes.password", secret: &a.Password, optional: a.Username == ""})
	}
	if x := t.ExchangeOnline; x != nil {
		list = append(list, field{name: "exchangeOnline.url", text: &x.URL, isURL: true, optional: true},
			field{name: "exchangeOnline.tenantId", text: &x.TenantID},
			field{name: "exchangeOnline.tokenUrl", text: &x.TokenURL, isURL: true, optional: true},
			field{name: "exchangeOnline.clientId", text: &x.ClientID},
			field{name: "exchangeOnline.clientSecret", secret: &x.ClientSecret})
	}
	if h := t.HostedExchange; h != nil {
		list = append(list, field{name: "hostedExchange.url", text: &h.URL, isURL: true},
			field{name: "hostedExchange.password", secret: &h.Password, optional: h.Username == ""})
	}
	if e := t.EnPower; e != nil {
		list = append(list, field{name: "enpower.url", text: &e.URL, isURL: true},
			field{name: "enpower.tokenUrl", text: &e.TokenURL, isURL: true},
			field{name: "enpower.clientId", text: &e.ClientID},
			field{name: "enpower.clientSecret", secret: &e.ClientSecret})
	}
	return list
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
