package exchangeonline

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/mailwright/mailwright/pkg/failure"
	"github.com/mailwright/mailwright/pkg/vendors/transport"
)

// The cmdlets about the organisation (admin-api-endpoints-accepted-domain, -organization-config, -distribution-group-member,
// -dynamic-distribution-group-member).
const (
	getAcceptedDomain     = "Get-AcceptedDomain"
	getOrganizationConfig = "Get-OrganizationConfig"
	getGroupMember        = "Get-DistributionGroupMember"
	getDynamicGroupMember = "Get-DynamicDistributionGroupMember"
)

// AcceptedDomain is a domain for which the organisation takes mail.
type AcceptedDomain struct {
	DomainName string
	// DomainType is an open set, such as Authoritative.
	DomainType string
	Default    bool
}

// AcceptedDomains reads the organisation's domains. Its errors: Refused, Throttled, Unavailable, Internal.
func (c *Client) AcceptedDomains(ctx context.Context) ([]AcceptedDomain, error) {
	var all []AcceptedDomain
	l := &listing[AcceptedDomain]{
		client: c, first: c.endpoint(acceptedDomainEndpoint), cmdlet: getAcceptedDomain, anchor: c.anchor, decode: decodeAcceptedDomain,
		key: func(d AcceptedDomain) string { return d.DomainName },
		yield: func(page []AcceptedDomain) error {
			all = append(all, page...)
			return nil
		},
	}
	return all, l.all(ctx, 0)
}

func decodeAcceptedDomain(raw json.RawMessage) (AcceptedDomain, error) {
	var row struct {
		DomainName, DomainType, Default json.RawMessage
	}
	if err := json.Unmarshal(raw, &row); err != nil || kind(raw) != '{' {
		return AcceptedDomain{}, errors.New("a domain is not an object")
	}
	var d AcceptedDomain
	var err error
	if d.DomainName, err = decodeText(row.DomainName); err != nil || d.DomainName == "" {
		return d, errors.New("a domain has no name")
	}
	d.DomainType, _ = decodeText(row.DomainType)
	truth, _ := decodeText(row.Default)
	d.Default = truth == "true" || truth == "True"
	return d, nil
}

// OrganizationConfig reads the organisation's settings, by the vendor's names: those for MailTips, such as MailTipsAllTipsEnabled.
// Its errors: Refused, Throttled, Unavailable, Internal.
func (c *Client) OrganizationConfig(ctx context.Context) (map[string]json.RawMessage, error) {
	res, err := c.post(ctx, transport.Read, c.endpoint(organizationConfigEndpoint), c.anchor, parameters{}.body(getOrganizationConfig))
	if err != nil {
		return nil, err
	}
	if err := check(transport.Read, getOrganizationConfig, res); err != nil {
		return nil, err
	}
	_, rows, err := decodeRows(getOrganizationConfig, res.Body, func(raw json.RawMessage) (settings map[string]json.RawMessage, err error) {
		if err := json.Unmarshal(raw, &settings); err != nil || settings == nil {
			return nil, errors.New("the configuration is not an object")
		}
		return settings, nil
	})
	if err == nil && len(rows) != 1 {
		err = &failure.Error{Kind: failure.Internal, Vendor: Vendor, Text: "the vendor's answer does not hold one configuration"}
	}
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// GroupMembers reads the members of a distribution group, named by name, address or GUID, page by page and each once; those hidden from address lists
// too. A dynamic group's members are a list that the vendor works out about once a day. An error of yield ends the listing and is returned as it is.
//
// Its errors: NotFound for the group, also where it is of the other kind; Invalid, Refused, Throttled, Unavailable, Internal.
func (c *Client) GroupMembers(ctx context.Context, group string, dynamic bool, yield func(page []Mailbox) error) error {
	if err := checkIdentity(group); err != nil {
		return err
	}
	endpoint, cmdlet := groupMemberEndpoint, getGroupMember
	if dynamic {
		endpoint, cmdlet = dynamicGroupMemberEndpoint, getDynamicGroupMember
	}
	l := &listing[Mailbox]{
		client: c, first: c.endpoint(endpoint), cmdlet: cmdlet, anchor: c.anchor, parameters: parameters{Identity: group},
		decode: GetOptions{}.decode, key: Mailbox.key, yield: yield,
	}
	return l.all(ctx, 0)
}
