package exchangeonline

import (
	"context"
	"encoding/json"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

const setMailbox = "Set-Mailbox"

// change is the hash table form of GrantSendOnBehalfTo (the page, Example 4).
type change struct {
	Add    []string `json:"add,omitempty"`
	Remove []string `json:"remove,omitempty"`
	Type   string   `json:"@odata.type"`
}

// SetSendOnBehalf replaces the whole list of delegates by the given SMTP addresses (the page,
// Example 3). Two writers of whole lists lose each other's changes: the API has no condition to
// attach.
//
// An empty list is Invalid: the page does not say what it would do. [Client.ChangeSendOnBehalf] can
// remove every delegate by name. The other errors: Invalid, NotFound for the mailbox or a delegate,
// Refused, Throttled, Unavailable, and Unknown if the list may have been changed.
func (c *Client) SetSendOnBehalf(ctx context.Context, identity string, delegates []string) error {
	if len(delegates) == 0 {
		return invalid("an empty list of delegates is not documented by the vendor; remove the delegates by name")
	}
	return c.set(ctx, identity, parameters{GrantSendOnBehalfTo: delegates, DelegatesType: "#Collection(String)"}, delegates)
}

// ChangeSendOnBehalf adds delegates by SMTP address, removes others, and leaves the rest (the page,
// Example 4). A delegate to remove may have any name by which the list shows it: the cmdlet takes
// every identity of a recipient. Repeating the call changes nothing. Its errors are those of
// [Client.SetSendOnBehalf].
func (c *Client) ChangeSendOnBehalf(ctx context.Context, identity string, add, remove []string) error {
	if len(add)+len(remove) == 0 {
		return invalid("no delegate is named")
	}
	for _, r := range remove {
		if err := checkIdentity(r); err != nil {
			return invalid("a delegate to be removed is not named, or has a wildcard or a control character")
		}
	}
	if err := checkDistinct(add, remove); err != nil {
		return err
	}
	return c.set(ctx, identity, parameters{GrantSendOnBehalfTo: change{Add: add, Remove: remove, Type: "#Exchange.GenericHashTable"}}, add)
}

// set sends Set-Mailbox. The page has Identity both optional and required; without it the cmdlet
// has no target.
func (c *Client) set(ctx context.Context, identity string, p parameters, delegates []string) error {
	if err := checkIdentity(identity); err != nil {
		return err
	}
	if err := checkAddresses(delegates); err != nil {
		return err
	}
	if err := checkDistinct(delegates); err != nil {
		return err
	}
	p.Identity = identity
	return c.write(ctx, mailboxEndpoint, setMailbox, identity, p)
}

// write sends a cmdlet that changes something about a mailbox, and whose answer says nothing.
func (c *Client) write(ctx context.Context, endpoint, cmdlet, mailbox string, p parameters) error {
	body, err := c.call(ctx, transport.Write, c.endpoint(endpoint), cmdlet, mailbox, p)
	if err != nil {
		return err
	}
	// "No response body is required" (the page). A body that is not JSON does not come from the
	// API.
	if len(body) > 0 && !json.Valid(body) {
		return &failure.Error{Kind: failure.Unknown, Vendor: Vendor, Text: "the answer to " + cmdlet + " cannot be understood"}
	}
	return nil
}
