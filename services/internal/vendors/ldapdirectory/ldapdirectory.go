// Package ldapdirectory reads users in an Active Directory over LDAP: what the create calls of the
// other vendors leave out (GUID, SID, the account name and the mail store that were chosen), and
// whether a user whose create was never answered is there.
//
// Sources: RFC 4511 (protocol), RFC 4515 (filters), [MS-ADTS] sections 3.1.1.1 (attributes) and
// 5.1.1 (simple bind).
//
// Every error is a *[failure.Error]. It only reads, so a lost answer is Unavailable.
package ldapdirectory

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	"github.com/go-ldap/ldap/v3"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/dn"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// Vendor is the name of the directory in errors.
const Vendor = "ldap"

// Config says which directory, and who reads. URL, BindDN, Password and BaseDN are required.
type Config struct {
	// URL is ldaps://host[:636], or ldap://host[:389], which is then upgraded by StartTLS.
	URL string
	// Insecure leaves an ldap:// connection in the clear, password included.
	Insecure bool
	// BindDN is the reader's account: a DN, user@domain or DOMAIN\user ([MS-ADTS] 5.1.1.1.1).
	BindDN   string
	Password secret.String
	// BaseDN is where searches begin.
	BaseDN string
	// Timeout bounds one look-up: connect, bind and search. Default 60 s.
	Timeout time.Duration
	// Limits bound the rate of look-ups, and give a directory that is down a rest.
	Limits transport.Limits
	// RootCAs are the authorities that may sign the directory's certificate; nil: the system's.
	RootCAs *x509.CertPool
}

// Client reads one directory. Each look-up is a connection of its own: they are rare, and domain
// controllers close idle ones. It is safe for concurrent use.
type Client struct {
	cfg  Config
	host string
	gate *transport.Limiter
}

// Format keeps fmt from walking into unexported fields, where it would bypass the secret's own
// methods.
func (Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "ldapdirectory.Client") }

var tracer = otel.Tracer("github.com/mailwright/mailwright/services/internal/vendors/ldapdirectory")

// New checks the configuration and returns a Client. It sends nothing.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.URL)
	var faults []error
	if err != nil || (u.Scheme != "ldap" && u.Scheme != "ldaps") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || (u.Path != "" && u.Path != "/") {
		faults = append(faults, errors.New("URL must be ldaps://host[:port] or ldap://host[:port]"))
	}
	if cfg.BindDN == "" || cfg.Password.IsZero() { // without either a bind is anonymous, and would succeed (RFC 4513, section 5.1)
		faults = append(faults, errors.New("BindDN and Password are required"))
	}
	if !dn.Valid(cfg.BaseDN) {
		faults = append(faults, errors.New("BaseDN must be a distinguished name"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("ldapdirectory: %w", err)
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, time.Minute)
	return &Client{cfg: cfg, host: u.Hostname(), gate: transport.NewLimiter(Vendor, cfg.Limits)}, nil
}

// Find reads the object of that distinguished name.
//
// Errors: NotFound; Refused where the directory does not let this account read; Unavailable;
// Throttled where it is busy; Internal for what cannot be understood.
func (c *Client) Find(ctx context.Context, name string) (Object, error) {
	if !dn.Valid(name) {
		return Object{}, &failure.Error{Kind: failure.Invalid, Vendor: Vendor, Text: "the name is not a distinguished name"}
	}
	return c.one(ctx, name, ldap.ScopeBaseObject, "(objectClass=*)")
}

// FindByUPN reads the user of that user principal name, below BaseDN. Its errors are those of
// [Client.Find].
func (c *Client) FindByUPN(ctx context.Context, upn string) (Object, error) {
	return c.one(ctx, c.cfg.BaseDN, ldap.ScopeWholeSubtree, "(&(objectClass=user)(userPrincipalName="+ldap.EscapeFilter(upn)+"))")
}

// Check binds and reads the object at BaseDN, which shows that address, account and rights are
// right.
func (c *Client) Check(ctx context.Context) error {
	_, err := c.one(ctx, c.cfg.BaseDN, ldap.ScopeBaseObject, "(objectClass=*)")
	return err
}

// one makes a search whose answer is one object, when the limits allow it.
func (c *Client) one(ctx context.Context, base string, scope int, filter string) (Object, error) {
	ctx, span := tracer.Start(ctx, Vendor+" search", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	done, err := c.gate.Acquire(ctx)
	if err != nil {
		return Object{}, err
	}
	found, err := c.search(ctx, base, scope, filter)
	switch {
	case ctx.Err() != nil:
		done(ctx.Err())
	case failure.Is(err, failure.Unavailable):
		done(err)
	default:
		done(nil) // it answered
	}
	return found, err
}

func (c *Client) search(ctx context.Context, base string, scope int, filter string) (Object, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	conn, err := c.connect(ctx)
	if err != nil {
		return Object{}, failed(err)
	}
	defer func() { _ = conn.Close() }()
	// ends a call that waits for the directory
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := conn.Bind(c.cfg.BindDN, c.cfg.Password.Reveal()); err != nil {
		return Object{}, failed(err)
	}
	seconds := max(1, int(c.cfg.Timeout.Seconds()))
	result, err := conn.Search(ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 2, seconds, false, filter, attributes, nil))
	switch {
	case err != nil:
		return Object{}, failed(err)
	case len(result.Entries) == 0:
		return Object{}, notFound()
	case len(result.Entries) > 1:
		return Object{}, &failure.Error{Kind: failure.Internal, Vendor: Vendor, Text: "the directory has several objects of that name"}
	}
	return decode(result.Entries[0])
}

// connect opens a connection, encrypted unless the configuration gives that up.
func (c *Client) connect(ctx context.Context) (*ldap.Conn, error) {
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	encryption := &tls.Config{ServerName: c.host, RootCAs: c.cfg.RootCAs, MinVersion: tls.VersionTLS12}
	conn, err := ldap.DialURL(c.cfg.URL, ldap.DialWithDialer(&net.Dialer{Deadline: deadline}), ldap.DialWithTLSConfig(encryption))
	if err != nil {
		return nil, err
	}
	conn.SetTimeout(left)
	if _, secure := conn.TLSConnectionState(); secure || c.cfg.Insecure {
		return conn, nil
	}
	if err := conn.StartTLS(encryption); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}
