package tenant

import (
	"cmp"
	"errors"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
	"github.com/mailwright/mailwright/services/internal/vendors/enpower"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
	"github.com/mailwright/mailwright/services/internal/vendors/hostedexchange"
	"github.com/mailwright/mailwright/services/internal/vendors/ldapdirectory"
	"github.com/mailwright/mailwright/services/internal/vendors/oauth"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// Adaxes is where one tenant's Adaxes REST API is. It needs a token, or username and password
// for Adaxes 2025.1 and older.
type Adaxes struct {
	// URL is the REST API's base, such as https://host.example.com/restApi.
	URL      string `yaml:"url"`
	Token    Secret `yaml:"token"`
	Username string `yaml:"username"`
	Password Secret `yaml:"password"`
	// Microsoft365Field is the name of the licence block: o365 (default), or m365 for newer
	// versions.
	Microsoft365Field string `yaml:"microsoft365Field"`
	// MarkerAttribute is a text attribute that no one else uses, such as extensionAttribute15 or
	// adm-CustomAttributeText20. A created object carries its operation id there, which lets a lost
	// answer be resolved with certainty. Empty: objects are recognised by their DN alone.
	MarkerAttribute string `yaml:"markerAttribute"`
	// Insecure allows an http URL to another machine, which carries the credentials in the clear.
	Insecure bool `yaml:"insecure"`
	// CA is the file of the authorities that may sign the vendor's certificate.
	CA     Authorities `yaml:"ca"`
	Limits Limits      `yaml:"limits"`
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
	// Certificate is PEM: a certificate and its RSA key. It stands in the place of ClientSecret.
	Certificate Secret `yaml:"certificate"`
	// Scope defaults to that of Microsoft 365 and GCC; docs/vendors.md has those of the other
	// clouds.
	Scope string `yaml:"scope"`
	// Insecure allows http URLs to another machine, which carry the credentials in the clear.
	Insecure bool `yaml:"insecure"`
	// CA is the file of the authorities that may sign the vendor's certificate.
	CA     Authorities `yaml:"ca"`
	Limits Limits      `yaml:"limits"`
}

// HostedExchange is where one tenant's Microsoft Provisioning System is.
type HostedExchange struct {
	URL string `yaml:"url"`
	// Transport is soap (default) or xml, the plain trusted request.
	Transport string `yaml:"transport"`
	Username  string `yaml:"username"`
	Password  Secret `yaml:"password"`
	// LDAP is the directory behind it, for reading back what a create leaves out. nil: a lost
	// answer ends with a person.
	LDAP *LDAP `yaml:"ldap"`
	// Insecure allows an http URL to another machine, which carries the credentials in the clear.
	Insecure bool `yaml:"insecure"`
	// CA is the file of the authorities that may sign the vendor's certificate.
	CA     Authorities `yaml:"ca"`
	Limits Limits      `yaml:"limits"`
}

// LDAP is where the Active Directory of a Hosted Exchange is.
type LDAP struct {
	// URL is ldaps://host, or ldap://host, which is upgraded by StartTLS.
	URL string `yaml:"url"`
	// BindDN is the reader's account: a DN, user@domain or DOMAIN\user.
	BindDN   string `yaml:"bindDN"`
	Password Secret `yaml:"password"`
	BaseDN   string `yaml:"baseDN"`
	// Insecure leaves ldap:// in the clear.
	Insecure bool `yaml:"insecure"`
	// CA is the file of the authorities that may sign the vendor's certificate.
	CA     Authorities `yaml:"ca"`
	Limits Limits      `yaml:"limits"`
}

// EnPower is where one tenant's AvePoint EnPower is.
type EnPower struct {
	// URL is the region's base, such as https://graph-us.avepointonlineservices.com.
	URL string `yaml:"url"`
	// TokenURL is the environment's token endpoint.
	TokenURL     string `yaml:"tokenUrl"`
	ClientID     string `yaml:"clientId"`
	ClientSecret Secret `yaml:"clientSecret"`
	// Certificate is PEM: a certificate and its RSA key. It stands in the place of ClientSecret.
	Certificate Secret `yaml:"certificate"`
	// Scope defaults to enpower.data.read.all.
	Scope string `yaml:"scope"`
	// MissingShare and MissingFloor are what a complete walk may miss of the mailboxes that were
	// known, before it is suspect and reports none as missing: a share from 0 to 1, and a number
	// below which the share does not matter. nil: 0.2 and 10.
	MissingShare *float64 `yaml:"missingShare"`
	MissingFloor *int     `yaml:"missingFloor"`
	// Insecure allows http URLs to another machine, which carry the credentials in the clear.
	Insecure bool `yaml:"insecure"`
	// CA is the file of the authorities that may sign the vendor's certificate.
	CA     Authorities `yaml:"ca"`
	Limits Limits      `yaml:"limits"`
}

// check finds fault with what no client takes.
func (e *EnPower) check() error {
	if s := e.MissingShare; s != nil && !(*s >= 0 && *s <= 1) { // also NaN
		return errors.New("missingShare must be between 0 and 1")
	}
	if n := e.MissingFloor; n != nil && *n < 0 {
		return errors.New("missingFloor must not be negative")
	}
	return nil
}

// Limits keep a service from pressing a vendor; each process has its own.
type Limits struct {
	// RequestsPerSecond bounds the rate; 0 does not.
	RequestsPerSecond float64 `yaml:"requestsPerSecond"`
	// BreakAfter answers in a row that were lost, or a gateway's, nothing is sent for BreakFor.
	// Default 20; negative: never.
	BreakAfter int `yaml:"breakAfter"`
	// BreakFor defaults to 10s.
	BreakFor time.Duration `yaml:"breakFor"`
	// Timeout bounds one request. The default of the services is --vendor-timeout.
	Timeout time.Duration `yaml:"timeout"`
}

// bound puts the limits in the place of what http has.
func (l Limits) bound(http transport.Config) transport.Config {
	http.Timeout, http.Limits = l.timeout(http.Timeout), l.gate()
	return http
}

// trusted has http trust these authorities, if there are any.
func (a Authorities) trusted(http transport.Config) transport.Config {
	http.RootCAs = a.pool
	return http
}

func (l Limits) timeout(standard time.Duration) time.Duration { return cmp.Or(l.Timeout, standard) }

func (l Limits) gate() transport.Limits {
	return transport.Limits{RequestsPerSecond: l.RequestsPerSecond, BreakAfter: l.BreakAfter, BreakFor: l.BreakFor}
}

// MaxTimeout is how long a request to any vendor may take, where those without a timeout of
// their own take standard.
func (ts Tenants) MaxTimeout(standard time.Duration) time.Duration {
	timeout := standard
	for _, t := range ts {
		for _, v := range t.vendors() {
			timeout = max(timeout, v.limits.Timeout)
		}
	}
	return timeout
}

// Client gives the client's configuration; http bounds its calls.
func (a *Adaxes) Client(http transport.Config) adaxes.Config {
	return adaxes.Config{
		BaseURL: a.URL, Token: a.Token.String, Username: a.Username, Password: a.Password.String,
		Microsoft365Field: a.Microsoft365Field, HTTP: a.Limits.bound(a.CA.trusted(http)),
	}
}

// Client gives the client's configuration; http bounds its calls.
func (x *ExchangeOnline) Client(http transport.Config) exchangeonline.Config {
	return exchangeonline.Config{
		BaseURL: x.URL, TenantID: x.TenantID, TokenURL: x.TokenURL, ClientID: x.ClientID, ClientSecret: x.ClientSecret.String, Certificate: certificate(x.Certificate.String),
		Scope: x.Scope, HTTP: x.Limits.bound(x.CA.trusted(http)),
	}
}

// Client gives the client's configuration; http bounds its calls.
func (h *HostedExchange) Client(http transport.Config) hostedexchange.Config {
	return hostedexchange.Config{URL: h.URL, Transport: h.Transport, Username: h.Username, Password: h.Password.String, HTTP: h.Limits.bound(h.CA.trusted(http))}
}

// Client gives the client's configuration; timeout bounds a look-up.
func (l *LDAP) Client(timeout time.Duration) ldapdirectory.Config {
	return ldapdirectory.Config{
		URL: l.URL, Insecure: l.Insecure, BindDN: l.BindDN, Password: l.Password.String, BaseDN: l.BaseDN,
		RootCAs: l.CA.pool, Timeout: l.Limits.timeout(timeout), Limits: l.Limits.gate(),
	}
}

// Client gives the client's configuration; http bounds its calls.
func (e *EnPower) Client(http transport.Config) enpower.Config {
	return enpower.Config{
		BaseURL: e.URL, TokenURL: e.TokenURL, ClientID: e.ClientID, ClientSecret: e.ClientSecret.String, Certificate: certificate(e.Certificate.String),
		Scope: e.Scope, HTTP: e.Limits.bound(e.CA.trusted(http)),
	}
}

// certificate reads a PEM text that [Load] has checked; nil for none.
func certificate(pem secret.String) *oauth.Certificate {
	if pem.IsZero() {
		return nil
	}
	c, _ := oauth.ParseCertificate(pem)
	return c
}
