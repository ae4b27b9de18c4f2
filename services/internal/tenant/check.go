package tenant

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
	"github.com/mailwright/mailwright/services/internal/vendors/enpower"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
	"github.com/mailwright/mailwright/services/internal/vendors/hostedexchange"
	"github.com/mailwright/mailwright/services/internal/vendors/ldapdirectory"
	"github.com/mailwright/mailwright/services/internal/vendors/oauth"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// complete resolves the secrets, and checks the tenants' names, their policies, and every vendor's
// configuration against what its client asks. root is the file, for line numbers.
func (ts Tenants) complete(dir string, root *yaml.Node) error {
	var errs []error
	for _, name := range ts.Names() {
		t := ts[name]
		if !tenantName.MatchString(name) {
			errs = append(errs, at(root, []string{"tenants", name}, errors.New("a tenant's name has 1 to 63 characters of a-z, 0-9 and -, since subjects hold it")))
		}
		if t == nil {
			errs = append(errs, at(root, []string{"tenants", name}, errors.New("names no vendor")))
			continue
		}
		if t.Identities != "" {
			t.Identities = absolute(dir, t.Identities)
		}
		_, section := member(root, "tenants")
		_, section = member(section, name)
		for _, f := range t.flaws(section) {
			errs = append(errs, at(root, append([]string{"tenants", name}, f.path...), f.err))
		}
		for _, v := range t.vendors() {
			path := append([]string{"tenants", name}, v.path...)
			sound := true
			for _, f := range v.fields {
				if err := f.check(dir, v.insecure); err != nil {
					errs, sound = append(errs, at(root, append(path, f.name), err)), false
				}
			}
			if v.limits.Timeout < 0 {
				errs = append(errs, at(root, append(path, "limits", "timeout"), errors.New("is negative; leave it out for the default")))
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

// at says where in the file an error is: the line of the member. If the member is missing, it is
// the line of the innermost member around it.
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

// member finds a member of a mapping by its name, or an entry of a sequence by its index.
func member(n *yaml.Node, name string) (key, value *yaml.Node) {
	if n == nil {
		return nil, nil
	}
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if i, err := strconv.Atoi(name); err == nil && n.Kind == yaml.SequenceNode && i >= 0 && i < len(n.Content) {
		return n.Content[i], n.Content[i]
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
	limits Limits
	// insecure: credentials may go to another machine in the clear.
	insecure bool
	check    func() error
}

// field is one member that must be complete: a text, a secret, or authorities, which may be left
// out.
type field struct {
	name        string
	text        *string
	secret      *Secret
	authorities *Authorities
	optional    bool
	// isURL: an absolute http or https URL.
	isURL bool
	// isPEM: the secret is a certificate with its key.
	isPEM bool
}

func (f field) check(dir string, insecure bool) error {
	if f.authorities != nil {
		return f.authorities.resolve(dir)
	}
	if f.secret == nil {
		switch {
		case *f.text == "" && f.optional:
			return nil
		case *f.text == "":
			return errors.New("is missing")
		case f.isURL:
			return checkURL(*f.text, insecure)
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

// checkURL refuses an address to which credentials would go over a network in the clear, unless the
// configuration allows that.
func checkURL(raw string, insecure bool) error {
	u, err := transport.Endpoint(raw)
	if err == nil && u.Scheme == "http" && !insecure && !isLoopback(u.Hostname()) {
		err = errors.New("is http, which carries the credentials in the clear: use https, or set insecure: true beside it")
	}
	return err
}

func isLoopback(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

// vendors lists what a tenant configures.
func (t *Tenant) vendors() (list []vendor) {
	if a := t.Adaxes; a != nil {
		list = append(list, vendor{path: []string{"adaxes"}, limits: a.Limits, insecure: a.Insecure, check: taken(adaxes.New, a.Client), fields: []field{
			{name: "url", text: &a.URL, isURL: true},
			{name: "token", secret: &a.Token, optional: a.Username != ""},
			{name: "password", secret: &a.Password, optional: a.Username == ""},
			{name: "ca", authorities: &a.CA},
		}})
	}
	if x := t.ExchangeOnline; x != nil {
		list = append(list, vendor{path: []string{"exchangeOnline"}, limits: x.Limits, insecure: x.Insecure, check: taken(exchangeonline.New, x.Client), fields: []field{
			{name: "url", text: &x.URL, isURL: true, optional: true},
			{name: "tenantId", text: &x.TenantID},
			{name: "tokenUrl", text: &x.TokenURL, isURL: true, optional: true},
			{name: "clientId", text: &x.ClientID},
			{name: "clientSecret", secret: &x.ClientSecret, optional: x.Certificate.given()},
			{name: "certificate", secret: &x.Certificate, optional: true, isPEM: true},
			{name: "ca", authorities: &x.CA},
		}})
	}
	if h := t.HostedExchange; h != nil {
		list = append(list, vendor{path: []string{"hostedExchange"}, limits: h.Limits, insecure: h.Insecure, check: taken(hostedexchange.New, h.Client), fields: []field{
			{name: "url", text: &h.URL, isURL: true},
			{name: "password", secret: &h.Password, optional: h.Username == ""},
			{name: "ca", authorities: &h.CA},
		}})
		if l := h.LDAP; l != nil {
			list = append(list, vendor{path: []string{"hostedExchange", "ldap"}, limits: l.Limits, check: taken(ldapdirectory.New, l.Client), fields: []field{
				{name: "url", text: &l.URL},
				{name: "bindDN", text: &l.BindDN},
				{name: "password", secret: &l.Password},
				{name: "baseDN", text: &l.BaseDN},
				{name: "ca", authorities: &l.CA},
			}})
		}
	}
	if e := t.EnPower; e != nil {
		list = append(list, vendor{path: []string{"enpower"}, limits: e.Limits, insecure: e.Insecure, check: both(e.check, taken(enpower.New, e.Client)), fields: []field{
			{name: "url", text: &e.URL, isURL: true},
			{name: "tokenUrl", text: &e.TokenURL, isURL: true},
			{name: "clientId", text: &e.ClientID},
			{name: "clientSecret", secret: &e.ClientSecret, optional: e.Certificate.given()},
			{name: "certificate", secret: &e.Certificate, optional: true, isPEM: true},
			{name: "ca", authorities: &e.CA},
		}})
	}
	return list
}

// both makes one check of two.
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
