// Package enpower is a client of AvePoint EnPower's "Retrieve User or Shared Mailbox Details", the
// only call about user and shared mailboxes that the AvePoint Graph API has, and of its sister for
// resource mailboxes: they list what EnPower's last scan found.
//
// Source: learn.avepoint.com, EnPower > Exchange > Retrieve User or Shared Mailbox Details ("the
// page" in comments); Authentication and Authorization; Use AvePoint Graph API. A comment
// marks as "inferred" what these pages do not say.
package enpower

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/vendors/oauth"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// Vendor is [failure.Error.Vendor] of this package's failures.
const Vendor = "enpower"

// DefaultScope is the permission that the call needs (the page, "Permission"). It only reads.
const DefaultScope = "enpower.data.read.all"

// Config shapes a Client.
type Config struct {
	// BaseURL is scheme and host of the region's API, such as
	// https://graph-us.avepointonlineservices.com. It has no default: a token must not go to a
	// region by accident.
	BaseURL string
	// TokenURL is the token endpoint of the environment, such as
	// https://identity.avepointonlineservices.com/connect/token.
	TokenURL string
	// ClientID is the application's id in AvePoint Online Services > App registrations.
	ClientID string
	// ClientSecret or Certificate proves the application.
	ClientSecret secret.String
	Certificate  *oauth.Certificate
	// Scope is the permission to ask for. Default [DefaultScope].
	Scope string
	// MaxPages bounds a walk. Default [nextlink.DefaultMaxPages].
	MaxPages int
	// PageTimeout is how long a page after the first is requested again after an error that may
	// pass. The default 0 means that it is not requested again.
	PageTimeout time.Duration
	// HTTP shapes the connections to the API and to the token endpoint.
	HTTP transport.Config
}

// Client calls the API of one region. It is safe for concurrent use.
type Client struct {
	base        *url.URL
	maxPages    int
	pageTimeout time.Duration
	http        *transport.Client
	tokens      *oauth.Source
}

// New returns a Client. Its error names every field of cfg that is wrong.
func New(cfg Config) (*Client, error) {
	base, err := transport.Endpoint(cfg.BaseURL)
	var faults []error
	if err != nil {
		faults = append(faults, fmt.Errorf("BaseURL %w", err))
	}
	if cfg.MaxPages < 0 {
		faults = append(faults, errors.New("MaxPages must not be negative"))
	}
	tokens, err := oauth.New(oauth.Config{
		Vendor:        Vendor,
		TokenURL:      cfg.TokenURL,
		ClientID:      cfg.ClientID,
		ClientSecret:  cfg.ClientSecret,
		Certificate:   cfg.Certificate,
		AssertionOnly: true,
		Scope:         cmp.Or(cfg.Scope, DefaultScope),
		HTTP:          cfg.HTTP,
	})
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, fmt.Errorf("enpower: %w", err)
	}
	cfg.HTTP.Vendor, cfg.HTTP.Secrets = Vendor, []secret.String{cfg.ClientSecret}
	return &Client{
		base:        base,
		maxPages:    cfg.MaxPages,
		pageTimeout: cfg.PageTimeout,
		http:        transport.New(cfg.HTTP),
		tokens:      tokens,
	}, nil
}

// get reads one page's answer whatever its status.
func (c *Client) get(ctx context.Context, from *url.URL) (*transport.Response, error) {
	return c.tokens.Do(transport.WithCall(ctx, "mailboxes"), c.http, transport.Read, func() (*http.Request, error) {
		// Do gives it one
		req, err := http.NewRequest(http.MethodGet, from.String(), nil) //nolint:noctx // Client.Do sets its context
		if err != nil {
			return nil, err
		}
		req.Header.Set("Accept", "application/json")
		return req, nil
	})
}
