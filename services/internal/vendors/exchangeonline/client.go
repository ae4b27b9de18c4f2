// Package exchangeonline is a client of Microsoft's Exchange Online Admin API v2.0 (Preview): read
// mailboxes and their send-on-behalf delegates, set or change those delegates; read, add, set and
// remove permissions on a mailbox's folders; read accepted domains, the organisation's
// configuration and the members of groups.
//
// Source: learn.microsoft.com/exchange/reference/admin-api-endpoints-mailbox ("the page" in
// comments), the pages of the other endpoints, and admin-api-get-started. A comment marks as
// "inferred" or "seen" (observed by others on the same back end) what the pages do not say.
package exchangeonline

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/oauth"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// Vendor is [failure.Error.Vendor] of this package's failures.
const Vendor = "exchangeonline"

// Defaults for Microsoft 365 and GCC; the other clouds have their own (admin-api-get-started,
// "Supported environments and base URLs").
const (
	DefaultBaseURL = "https://outlook.office365.com"
	DefaultScope   = "https://outlook.office365.com/.default"
)

// Config shapes a Client.
type Config struct {
	// BaseURL is scheme and host of the API. Default [DefaultBaseURL].
	BaseURL string
	// TenantID is the tenant's GUID.
	TenantID string
	// TokenURL is the token endpoint. Default: Microsoft Entra ID's for TenantID.
	TokenURL string
	// ClientID is the application's id. The application needs Exchange.ManageAsAppV2 and an
	// Exchange role.
	ClientID string
	// ClientSecret or Certificate proves the application.
	ClientSecret secret.String
	Certificate  *oauth.Certificate
	// Scope is the permission to ask for. Default [DefaultScope].
	Scope string
	// Anchor is the X-AnchorMailbox of calls that are not bound to a mailbox with a known address.
	// Default: the system mailbox that every organisation has, as application-only clients send it
	// (seen).
	Anchor string
	// MaxPages bounds a listing. Default [nextlink.DefaultMaxPages].
	MaxPages int
	// PageTimeout is how long a page after the first is requested again after an error that may
	// pass. The default 0 means that it is not requested again.
	PageTimeout time.Duration
	// HTTP shapes the connections to the API and to the token endpoint.
	HTTP transport.Config
}

// Client calls the API for one tenant. It is safe for concurrent use.
type Client struct {
	base        *url.URL // of all endpoints
	anchor      string
	maxPages    int
	pageTimeout time.Duration
	http        *transport.Client
	tokens      *oauth.Source
}

// guid is the form that admin-api-get-started asks of TenantID; a domain name works on older
// surfaces only (seen).
var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// New returns a Client. Its error names every field of cfg that is wrong.
func New(cfg Config) (*Client, error) {
	base, err := transport.Endpoint(cmp.Or(cfg.BaseURL, DefaultBaseURL))
	var faults []error
	if err != nil {
		faults = append(faults, fmt.Errorf("BaseURL %w", err))
	}
	if !guid.MatchString(cfg.TenantID) {
		faults = append(faults, errors.New("TenantID must be the tenant's GUID"))
	}
	if !printable(cfg.Anchor) {
		faults = append(faults, errors.New("Anchor must not hold control characters"))
	}
	if cfg.MaxPages < 0 {
		faults = append(faults, errors.New("MaxPages must not be negative"))
	}
	tokens, err := oauth.New(oauth.Config{
		Vendor:       Vendor,
		TokenURL:     cmp.Or(cfg.TokenURL, "https://login.microsoftonline.com/"+cfg.TenantID+"/oauth2/v2.0/token"),
		ClientID:     cfg.ClientID,
		ClientSecret: cfg.ClientSecret,
		Certificate:  cfg.Certificate,
		Scope:        cmp.Or(cfg.Scope, DefaultScope),
		HTTP:         cfg.HTTP,
	})
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, fmt.Errorf("exchangeonline: %w", err)
	}
	cfg.HTTP.Vendor, cfg.HTTP.Secrets = Vendor, []secret.String{cfg.ClientSecret}
	return &Client{
		base:        base.JoinPath("adminapi", "v2.0", cfg.TenantID),
		anchor:      cmp.Or(cfg.Anchor, "APP:SystemMailbox{bb558c35-97f1-4cb9-8ff7-d53741dc928c}@"+cfg.TenantID),
		maxPages:    cfg.MaxPages,
		pageTimeout: cfg.PageTimeout,
		http:        transport.New(cfg.HTTP),
		tokens:      tokens,
	}, nil
}

// The endpoints (admin-api-endpoints-reference).
const (
	mailboxEndpoint            = "Mailbox"
	folderPermissionEndpoint   = "MailboxFolderPermission"
	acceptedDomainEndpoint     = "AcceptedDomain"
	organizationConfigEndpoint = "OrganizationConfig"
	groupMemberEndpoint        = "DistributionGroupMember"
	dynamicGroupMemberEndpoint = "DynamicDistributionGroupMember"
)

func (c *Client) endpoint(name string) *url.URL { return c.base.JoinPath(name) }

// request is the envelope of every call (the page, "Body").
type request struct {
	CmdletInput struct {
		CmdletName string
		Parameters parameters
	}
}

// parameters are those of all cmdlets; each takes some of them. The page spells the display names
// parameter in two ways; this is the spelling of its examples.
type parameters struct {
	Identity               string   `json:",omitempty"`
	ResultSize             any      `json:",omitempty"` // a number or "Unlimited"
	WithDisplayNames       bool     `json:"IncludeGrantSendOnBehalfTowithDisplayNames,omitempty"`
	DelegatesType          string   `json:"GrantSendOnBehalfTo@odata.type,omitempty"`
	GrantSendOnBehalfTo    any      `json:",omitempty"` // []string or change
	User                   string   `json:",omitempty"`
	AccessRights           []string `json:",omitempty"`
	SharingPermissionFlags []string `json:",omitempty"`
}

func (p parameters) body(cmdlet string) []byte {
	var r request
	r.CmdletInput.CmdletName, r.CmdletInput.Parameters = cmdlet, p
	b, _ := json.Marshal(r) // strings, numbers and booleans: never fails
	return b
}

// post sends one call, with the token and the routing hint, and returns the answer whatever its
// status.
func (c *Client) post(ctx context.Context, effect transport.Effect, to *url.URL, anchor string, body []byte) (*transport.Response, error) {
	return c.tokens.Do(ctx, c.http, effect, func() (*http.Request, error) {
		req, err := transport.JSON(http.MethodPost, to.String(), body)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Accept", "application/json")
		req.Header.Set("X-AnchorMailbox", anchor)
		return req, nil
	})
}

// anchorOf is the routing hint of a call about one mailbox. Only of an address it is known what it
// is; a name, an alias or a GUID (of the object? of the mailbox?) is routed like a call about the
// organisation.
func (c *Client) anchorOf(identity string) string {
	if isAddress(identity) {
		return "AAD-UPN:" + identity
	}
	return c.anchor
}

// call sends body about one mailbox and returns the body of a successful answer.
func (c *Client) call(ctx context.Context, effect transport.Effect, to *url.URL, cmdlet, identity string, p parameters) ([]byte, error) {
	res, err := c.post(transport.WithCall(ctx, cmdlet), effect, to, c.anchorOf(identity), p.body(cmdlet))
	if err != nil {
		return nil, err
	}
	if err := check(effect, cmdlet, res); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(res.Body), nil
}

// invalid is a command that no vendor needs to see.
func invalid(text string) error {
	return &failure.Error{Kind: failure.Invalid, Vendor: Vendor, Text: text}
}
