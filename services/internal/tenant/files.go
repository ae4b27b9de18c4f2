package tenant

import (
	"crypto/x509"
	"errors"
	"path/filepath"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/mailwright/mailwright/services/internal/livefile"
)

// Authorities are the certificates of the authorities that may sign a vendor's certificate: the
// path of a PEM file, relative to the configuration file. Without one they are the system's.
type Authorities struct {
	file string
	pool *x509.CertPool
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (a *Authorities) UnmarshalYAML(n *yaml.Node) error { return n.Decode(&a.file) }

// resolve reads the file. A path is relative to dir until it has been resolved once.
func (a *Authorities) resolve(dir string) (err error) {
	if a.file == "" {
		return nil
	}
	a.file = absolute(dir, a.file)
	a.pool, err = livefile.ReadAuthorities(a.file)
	return err
}

// absolute is a path relative to dir, unless it is absolute.
func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// section is one vendor's part of a tenant's configuration.
type section[V any] interface {
	*V
	// references are the secrets and the authorities that the section refers to.
	references() references
	// clone is a copy whose references can be resolved without changing the section.
	clone() *V
}

// references are what a section refers to.
type references struct {
	secrets     []*Secret
	authorities []*Authorities
}

func (r references) join(other references) references {
	return references{slices.Concat(r.secrets, other.secrets), slices.Concat(r.authorities, other.authorities)}
}

// files are the paths of what stands in files, once it has been resolved.
func (r references) files() (paths []string) {
	for _, s := range r.secrets {
		if s.file != "" {
			paths = append(paths, s.file)
		}
	}
	for _, a := range r.authorities {
		if a.file != "" {
			paths = append(paths, a.file)
		}
	}
	return paths
}

// resolve reads everything again.
func (r references) resolve() error {
	var errs []error
	for _, s := range r.secrets {
		errs = append(errs, s.resolve(""))
	}
	for _, a := range r.authorities {
		errs = append(errs, a.resolve(""))
	}
	return errors.Join(errs...)
}

func (a *Adaxes) references() references {
	return references{[]*Secret{&a.Token, &a.Password}, []*Authorities{&a.CA}}
}

func (a *Adaxes) clone() *Adaxes { c := *a; return &c }

func (x *ExchangeOnline) references() references {
	return references{[]*Secret{&x.ClientSecret, &x.Certificate}, []*Authorities{&x.CA}}
}

func (x *ExchangeOnline) clone() *ExchangeOnline { c := *x; return &c }

func (h *HostedExchange) references() references {
	r := references{[]*Secret{&h.Password}, []*Authorities{&h.CA}}
	if h.LDAP != nil {
		r = r.join(references{[]*Secret{&h.LDAP.Password}, []*Authorities{&h.LDAP.CA}})
	}
	return r
}

func (h *HostedExchange) clone() *HostedExchange {
	c := *h
	if h.LDAP != nil {
		ldap := *h.LDAP
		c.LDAP = &ldap
	}
	return &c
}

func (e *EnPower) references() references {
	return references{[]*Secret{&e.ClientSecret, &e.Certificate}, []*Authorities{&e.CA}}
}

func (e *EnPower) clone() *EnPower { c := *e; return &c }
