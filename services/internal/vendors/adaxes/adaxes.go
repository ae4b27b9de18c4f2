// Package adaxes is a client of the Adaxes REST API: create a directory object, create an
// on-premises Exchange mailbox, and the look-ups that a safe create needs.
//
// Sources: adaxes.com/sdk, pages REST_CreateDirectoryObject, REST_CreateExchangeMailbox,
// REST_GetDirectoryObject, REST_SearchDirectory, REST_OperationResult, REST_Errors,
// REST_Authentication_Legacy and REST_Microsoft365AccountProperties.
//
// Every error is a *[failure.Error]. Nothing that the package returns prints a password: what the
// vendor writes as free text passes [Message.SafeText]'s redaction while it is decoded, and the raw
// text is dropped.
package adaxes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// Vendor is the name of the API in errors.
const Vendor = "adaxes"

// Config says where Adaxes is and who asks. BaseURL is required, and either Token or Username with
// Password.
type Config struct {
	// BaseURL is the root of the REST API as chosen at its installation, without "/api":
	// "https://host.example.com/restApi".
	BaseURL string
	// Token is an account token (Adaxes 2026.1 and later).
	Token secret.String
	// Username and Password sign in where there are no account tokens (2025.1 and earlier):
	// "user@domain.com" or `DOMAIN\user`.
	Username string
	Password secret.String
	// Microsoft365Field names the field that holds an object's Microsoft 365 properties: "o365",
	// the default, as on the page of the call, or "m365", as newer pages have it.
	Microsoft365Field string
	// TemporaryPassword finds in a message the temporary password that the vendor made up, as its
	// first group. Default: the documented English wording. An installation in another language
	// needs its own.
	TemporaryPassword *regexp.Regexp
	// HTTP bounds the exchanges; its Vendor is set by New.
	HTTP transport.Config
}

// Client calls one Adaxes service. It is safe for concurrent use.
type Client struct {
	cfg    Config
	signIn *signIn // nil with an account token
	http   *transport.Client
}

// Format keeps fmt from walking into unexported fields, where it would bypass the secrets' own
// methods.
func (Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "adaxes.Client") }

// New checks the configuration and returns a Client. It sends nothing.
func New(cfg Config) (*Client, error) {
	if cfg.Microsoft365Field == "" {
		cfg.Microsoft365Field = "o365"
	}
	if cfg.TemporaryPassword == nil {
		cfg.TemporaryPassword = temporaryPassword
	}
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("adaxes: %w", err)
	}
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	cfg.HTTP.Vendor, cfg.HTTP.Secrets = Vendor, []secret.String{cfg.Token, cfg.Password}
	c := &Client{cfg: cfg, http: transport.New(cfg.HTTP)}
	if cfg.Username != "" {
		c.signIn = newSignIn()
	}
	return c, nil
}

// check returns every fault of the configuration, each naming its field and none quoting a value.
func (cfg Config) check() error {
	var faults []error
	fault := func(text string) { faults = append(faults, errors.New(text)) }
	if _, err := transport.Endpoint(cfg.BaseURL); err != nil {
		faults = append(faults, fmt.Errorf("BaseURL %w", err))
	}
	switch {
	case cfg.Token.IsZero() && cfg.Username == "" && cfg.Password.IsZero():
		fault("Token is missing, or Username with Password")
	case !cfg.Token.IsZero() && cfg.Username != "":
		fault("Token and Username exclude each other")
	case cfg.Username != "" && cfg.Password.IsZero():
		fault("Password is missing, Username needs it")
	case cfg.Username == "" && !cfg.Password.IsZero():
		fault("Username is missing, Password needs it")
	}
	if strings.ContainsFunc(cfg.Token.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
		fault("Token must be one word of visible ASCII, as it goes into a header")
	}
	if f := cfg.Microsoft365Field; f != "o365" && f != "m365" {
		fault("Microsoft365Field must be o365 or m365")
	}
	if cfg.TemporaryPassword.NumSubexp() < 1 {
		fault("TemporaryPassword must have a group that matches the password")
	}
	return errors.Join(faults...)
}

// do sends one call and returns the body of a 2xx answer; any other answer is the failure that
// [httpFailure] says. in is the request's body, nil for none; secrets are those in it.
func (c *Client) do(ctx context.Context, effect transport.Effect, method, path string, in any, secrets ...secret.String) ([]byte, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, &failure.Error{Kind: failure.Invalid, Vendor: Vendor, Text: "the request cannot be written as JSON", Cause: err}
		}
	}
	token := c.cfg.Token
	if c.signIn != nil {
		var err error
		if token, err = c.signIn.token(ctx, c); err != nil {
			return nil, err
		}
	}
	res, err := c.exchange(ctx, effect, method, path, token, body, secrets...)
	if err == nil && c.signIn != nil && unauthenticated(res) {
		// The token ended early, for example by a restart. The refused call did nothing, so a
		// write may be sent again.
		c.signIn.expire(token)
		if token, err = c.signIn.token(ctx, c); err != nil {
			return nil, err
		}
		res, err = c.exchange(ctx, effect, method, path, token, body, secrets...)
	}
	if err != nil {
		return nil, err
	}
	if res.Status/100 != 2 {
		return nil, httpFailure(effect, res, c.redactor(secrets...))
	}
	return res.Body, nil
}

// exchange sends one request with the vendor's own authorisation header.
func (c *Client) exchange(
	ctx context.Context, effect transport.Effect, method, path string, token secret.String, body []byte, secrets ...secret.String,
) (*transport.Response, error) {
	req, err := transport.JSON(method, c.cfg.BaseURL+path, body)
	if err != nil {
		return nil, &failure.Error{Kind: failure.Internal, Vendor: Vendor, Text: "the request cannot be built", Cause: err}
	}
	req.Header.Set("Accept", "application/json")
	if !token.IsZero() {
		req.Header.Set("Adm-Authorization", token.Reveal())
	}
	call, _, _ := strings.Cut(path, "?") // the query names the object
	return c.http.Do(transport.WithCall(ctx, method+" "+call), effect, req, secrets...)
}

// redactor makes the vendor's texts fit to be published. secrets are those of the request. The
// transport has hidden them in the answer as sent, but a text that was escaped twice shows them
// only when it is decoded.
func (c *Client) redactor(secrets ...secret.String) redactor {
	return redactor{append(secrets, c.cfg.Token, c.cfg.Password), c.cfg.TemporaryPassword}
}
