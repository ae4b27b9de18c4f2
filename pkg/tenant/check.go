package tenant

import (
	"errors"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mailwright/mailwright/pkg/vendors/adaxes"
	"github.com/mailwright/mailwright/pkg/vendors/enpower"
	"github.com/mailwright/mailwright/pkg/vendors/exchangeonline"
	"github.com/mailwright/mailwright/pkg/vendors/hostedexchange"
	"github.com/mailwright/mailwright/pkg/vendors/ldapdirectory"
	"github.com/mailwright/mailwright/pkg/vendors/oauth"
	"github.com/mailwright/mailwright/pkg/vendors/transport"
)

// complete resolves the secrets and holds every vendor's configuration against what its client asks. root is the file, for line numbers.
func (ts Tenants) complete(dir string, root *yaml.Node) error {
	var errs []error
	for _, name := range ts.Names() {
		t := ts[name]
		if t == nil {
			errs = append(errs, at(root, []string{"tenants", name}, errors.New("names no vendor")))
			continue
		}
		for _, v := range t.vendors() {
			path := append([]string{"tenants", name}, v.path...)
			sound := true
			for _, f := range v.fields {
				if err := f.check(dir); err != nil {
					errs, sound = append(errs, at(root, append(path, f.name), err)), false
				}
			}
			if !sound {
				continue // the client would say the same again
			}
			if err := v.check(); err != nil {
				errs = append(errs, at(root, path, err))
			}
		}
	}
	return errors.Join(errs...)
}

// at says where in the file an error is: the line of the member, or of the innermost one around it that is there.
func at(root *yaml.Node, path []string, err error) error {
	line, n := 1, root
	for _, name := range path {
		key, value := member(n, name)
		if key == nil {
			break
		}
		line, n = key.Line, value
	}
	return fmt.Errorf("line %d: %s: %w", line, strings.Join(path, "."), err)
}

func member(n *yaml.Node, name string) (key, value *yaml.Node) {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// vendor is one vendor's part of a tenant: what must be complete, and whether its client takes it.
type vendor struct {
	path   []string
	fields []field
	check  func() error
}

// field is one member that must be complete: a text, or a secret.
type field struct {
	name     string
	text     *string
	secret   *Secret
	optional bool
	// isURL: an absolute http or https URL.
	isURL bool
	// isPEM: the secret is a certificate with its key.
	isPEM bool
}

func (f field) check(dir string) error {
	if f.secret == nil {
		switch {
		case *f.text == "" && f.optional:
			return nil
		case *f.text == "":
			return errors.New("is missing")
		case f.isURL:
			_, err := transport.Endpoint(*f.text)
			return err
		}
		return nil
	}
	if err := f.secret.resolve(dir); err != nil {
		return err
	}
	if f.secret.IsZero() {
		if !f.optional {
			return errors.New("is missing; write {file: PATH} or {env: NAME}")
		}
		return nil
	}
	if f.isPEM {
		if _, err := oauth.ParseCertificate(f.secret.String); err != nil {
			return err
		}
	}
	return nil
}

// vendors lists what a tenant configures.
func (t *Tenant) vendors() (list []vendor) {
	if a := t.Adaxes; a != nil {
		list = append(list, vendor{path: []string{"adaxes"}, check: taken(adaxes.New, a.Client), fields: []field{
			{name: "url", text: &a.URL, isURL: true},
			{name: "token", secret: &a.Token, optional: a.Username != ""},
			{name: "password", secret: &a.Password, optional: a.Username == ""},
		}})
	}
	if x := t.ExchangeOnline; x != nil {
		list = append(list, vendor{path: []string{"exchangeOnline"}, check: taken(exchangeonline.New, x.Client), fields: []field{
			{name: "url", text: &x.URL, isURL: true, optional: true},
			{name: "tenantId", text: &x.TenantID},
			{name: "tokenUrl", text: &x.TokenURL, isURL: true, optional: true},
			{name: "clientId", text: &x.ClientID},
			{name: "clientSecret", secret: &x.ClientSecret, optional: x.Certificate.given()},
			{name: "certificate", secret: &x.Certificate, optional: true, isPEM: true},
		}})
	}
	if h := t.HostedExchange; h != nil {
		list = append(list, vendor{path: []string{"hostedExchange"}, check: taken(hostedexchange.New, h.Client), fields: []field{
			{name: "url", text: &h.URL, isURL: true},
			{name: "password", secret: &h.Password, optional: h.Username == ""},
		}})
		if l := h.LDAP; l != nil {
			list = append(list, vendor{path: []string{"hostedExchange", "ldap"}, check: taken(ldapdirectory.New, l.Client), fields: []field{
				{name: "url", text: &l.URL},
				{name: "bindDN", text: &l.BindDN},
				{name: "password", secret: &l.Password},
				{name: "baseDN", text: &l.BaseDN},
			}})
		}
	}
	if e := t.EnPower; e != nil {
		list = append(list, vendor{path: []string{"enpower"}, check: both(e.check, taken(enpower.New, e.Client)), fields: []field{
			{name: "url", text: &e.URL, isURL: true},
			{name: "tokenUrl", text: &e.TokenURL, isURL: true},
			{name: "clientId", text: &e.ClientID},
			{name: "clientSecret", secret: &e.ClientSecret, optional: e.Certificate.given()},
			{name: "certificate", secret: &e.Certificate, optional: true, isPEM: true},
		}})
	}
	return list
}

// both asks two questions.
func both(one, other func() error) func() error {
	return func() error { return errors.Join(one(), other()) }
}

// taken asks a client whether it takes a configuration. Nothing is sent.
func taken[Bounds, Config, Client any](connect func(Config) (Client, error), of func(Bounds) Config) func() error {
	return func() error {
		var none Bounds
		_, err := connect(of(none))
		return err
	}
}
