// Package hostedexchange is a client of procedures of the Microsoft Provisioning System, namespace
// Hosted Exchange: CreateBusinessUser, which creates a user and, with a plan, the mailbox;
// CreateMailbox; DeleteBusinessUser.
//
// Sources: TechNet archive dd278759 (Hosted Exchange::CreateBusinessUser), dd278816
// (CreateMailbox), dd278541 (DeleteBusinessUser), dd229928 (Schema::execute), dd251595
// (errorSource) and the MPF pages on the SOAP envelope and errorContext.
//
// Every error is a *[failure.Error]. The vendor echoes the new user's password in its answer; it is
// dropped while the answer is decoded, and free text of the vendor is never kept.
package hostedexchange

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// Vendor is the name of the API in errors.
const Vendor = "hostedexchange"

// The forms in which a request travels.
const (
	// SOAP wraps the request into a SOAP 1.1 envelope, as soapisapi.dll takes it. The default.
	SOAP = "soap"
	// XML posts the request alone, as gateways of one's own in front of MPS take it.
	XML = "xml"
)

// defaultMaxBody bounds the answer in bytes; a true one has a few thousand.
const defaultMaxBody = 1 << 20

// Config says where the provisioning system is and who asks. URL is required.
type Config struct {
	// URL receives the requests: "https://server/mpf/soapisapi.dll".
	URL string
	// Transport is SOAP, the default, or XML.
	Transport string
	// Username and Password go by HTTP basic authentication; without them none is sent. The account
	// needs the UserCreator role.
	Username string
	Password secret.String
	// HTTP bounds the exchanges; its Vendor is set by New, and its MaxBody is 1 MiB by default. The
	// engine works synchronously: allow minutes.
	HTTP transport.Config
}

// Client calls one provisioning system. It is safe for concurrent use.
type Client struct {
	cfg  Config
	http *transport.Client
	rest *transport.Rest
}

// Format keeps fmt from walking into unexported fields, where it would bypass the secrets' own
// methods.
func (Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "hostedexchange.Client") }

// New checks the configuration and returns a Client. It sends nothing.
func New(cfg Config) (*Client, error) {
	if cfg.Transport == "" {
		cfg.Transport = SOAP
	}
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("hostedexchange: %w", err)
	}
	cfg.HTTP.Vendor, cfg.HTTP.Secrets = Vendor, []secret.String{cfg.Password}
	cfg.HTTP.MaxBody = cmp.Or(cfg.HTTP.MaxBody, defaultMaxBody)
	return &Client{cfg: cfg, http: transport.New(cfg.HTTP), rest: &transport.Rest{}}, nil
}

// check returns every fault of the configuration, each naming its field and none quoting a value.
func (cfg Config) check() error {
	var faults []error
	if _, err := transport.Endpoint(cfg.URL); err != nil {
		faults = append(faults, fmt.Errorf("URL %w", err))
	}
	if cfg.Transport != SOAP && cfg.Transport != XML {
		faults = append(faults, errors.New("Transport must be soap or xml"))
	}
	if cfg.Username == "" && !cfg.Password.IsZero() {
		faults = append(faults, errors.New("Username is missing, Password needs it"))
	}
	if cfg.Username != "" && cfg.Password.IsZero() {
		faults = append(faults, errors.New("Password is missing, Username needs it"))
	}
	return errors.Join(faults...)
}

// CreateBusinessUser creates a user in an organisation and, where a plan is named, the mailbox.
//
// Errors: Invalid with every fault of the user where nothing was sent; what the vendor's code means
// where it reports an error, NotFound where the container is missing, Refused where nothing was
// done; Unknown where the answer is lost or cannot be understood, or where the procedure ended
// with an error and may have left something behind: see [Ended]. The call is not repeatable:
// after Unknown the caller must look for [UserPath] before trying again.
func (c *Client) CreateBusinessUser(ctx context.Context, u BusinessUser) (CreatedUser, error) {
	body, err := u.request(c.cfg.Transport)
	if err != nil {
		return CreatedUser{}, err
	}
	data, err := c.send(ctx, body, u.NewPassword)
	if err != nil {
		return CreatedUser{}, err
	}
	user := data.user()
	if user.Path == "" {
		return CreatedUser{}, unknownAnswer()
	}
	return user, nil
}

// send sends a call of a procedure that changes something, and returns <data> of the answer.
// secrets are those of the request.
func (c *Client) send(ctx context.Context, body []byte, secrets ...secret.String) (*element, error) {
	// the transport gives it one
	req, err := http.NewRequest(http.MethodPost, c.cfg.URL, bytes.NewReader(body)) //nolint:noctx // Client.Do sets its context
	if err != nil {
		return nil, &failure.Error{Kind: failure.Internal, Vendor: Vendor, Text: "the request cannot be built", Cause: err}
	}
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	if c.cfg.Transport == SOAP {
		req.Header.Set("SOAPAction", `""`) // SOAP 1.1 section 6.1.1 requires one; MPF names none
	}
	if c.cfg.Username != "" {
		req.SetBasicAuth(c.cfg.Username, c.cfg.Password.Reveal())
	}
	if err := c.rest.Enter(); err != nil {
		return nil, err
	}
	res, err := c.http.Do(transport.WithCall(ctx, "CreateBusinessUser"), transport.Write, req, secrets...)
	if err != nil {
		c.rest.Unanswered()
		return nil, err
	}
	if res.Status == http.StatusUnauthorized {
		return nil, c.rest.Refused(statusFailure(transport.Write, res, nil))
	}
	if res.Status/100 == 2 || res.Status == http.StatusInternalServerError {
		c.rest.Accepted()
	} else { // a gateway may have answered
		c.rest.Unanswered()
	}
	return decodeAnswer(res, append(secrets, c.cfg.Password)...)
}

// Check asks whether the configured URL answers, and whether it takes the credentials, by a GET,
// which starts no procedure. The role UserCreator does not show without creating somebody.
//
// Errors: Unavailable where the credentials are not taken, where nothing answers, or nothing of the
// kind.
func (c *Client) Check(ctx context.Context) error {
	// the transport gives it one
	req, err := http.NewRequest(http.MethodGet, c.cfg.URL, nil) //nolint:noctx // Client.Do sets its context
	if err != nil {
		return &failure.Error{Kind: failure.Internal, Vendor: Vendor, Text: "the request cannot be built", Cause: err}
	}
	if c.cfg.Username != "" {
		req.SetBasicAuth(c.cfg.Username, c.cfg.Password.Reveal())
	}
	res, err := c.http.Do(transport.WithCall(ctx, "check"), transport.Read, req)
	if err != nil {
		return err
	}
	switch res.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return statusFailure(transport.Read, res, nil)
	}
	return nil // an ISAPI that takes only POST may answer a GET with anything
}
