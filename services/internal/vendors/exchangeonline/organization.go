package exchangeonline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// The cmdlets about the organisation (admin-api-endpoints-accepted-domain, -organization-config,
// -distribution-group-member, -dynamic-distribution-group-member).
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
	// Default: new addresses are made of it. An organisation has one such domain.
	Default bool
	// Selected are the further properties asked for, by the vendor's name, as they came.
	Selected map[string]json.RawMessage
}

// acceptedDomainCore are the properties that the page's example selects.
var acceptedDomainCore = []string{"DomainName", "Default"}

// AcceptedDomains reads the organisation's domains: all that the vendor tells of them or, where
// some are selected, those properties beside name and default. Its errors: Invalid for a selection,
// Refused, Throttled, Unavailable, Internal.
func (c *Client) AcceptedDomains(ctx context.Context, selected ...string) ([]AcceptedDomain, error) {
	return c.acceptedDomains(ctx, parameters{}, selected)
}

// AcceptedDomain reads one domain by its name. Its errors are those of [Client.AcceptedDomains],
// and NotFound.
func (c *Client) AcceptedDomain(ctx context.Context, name string, selected ...string) (AcceptedDomain, error) {
	if err := checkIdentity(name); err != nil {
		return AcceptedDomain{}, err
	}
	found, err := c.acceptedDomains(ctx, parameters{Identity: name}, selected)
	switch {
	case err != nil:
		return AcceptedDomain{}, err
	case len(found) == 0:
		return AcceptedDomain{}, &failure.Error{Kind: failure.NotFound, Vendor: Vendor, Text: "the organisation has no such domain"}
	case len(found) > 1:
		return AcceptedDomain{}, invalid("the name fits several domains")
	}
	return found[0], nil
}

// DefaultDomain reads the one domain that is the organisation's default. Its errors are those of
// [Client.AcceptedDomains]; none or several is Internal.
func (c *Client) DefaultDomain(ctx context.Context) (AcceptedDomain, error) {
	domains, err := c.AcceptedDomains(ctx)
	if err != nil {
		return AcceptedDomain{}, err
	}
	domains = slices.DeleteFunc(domains, func(d AcceptedDomain) bool { return !d.Default })
	if len(domains) != 1 {
		return AcceptedDomain{}, &failure.Error{
			Kind: failure.Internal, Vendor: Vendor,
			Text: fmt.Sprintf("the vendor names %d default domains; an organisation has one", len(domains)),
		}
	}
	return domains[0], nil
}

func (c *Client) acceptedDomains(ctx context.Context, p parameters, selected []string) ([]AcceptedDomain, error) {
	first, err := c.selecting(acceptedDomainEndpoint, acceptedDomainCore, selected)
	if err != nil {
		return nil, err
	}
	var all []AcceptedDomain
	l := &listing[AcceptedDomain]{
		client: c, first: first, cmdlet: getAcceptedDomain, anchor: c.anchor, parameters: p,
		decode: func(raw json.RawMessage) (AcceptedDomain, error) { return decodeAcceptedDomain(raw, selected) },
		key:    func(d AcceptedDomain) string { return d.DomainName },
		yield: func(page []AcceptedDomain) error {
			all = append(all, page...)
			return nil
		},
	}
	return all, l.all(ctx, 0)
}

func decodeAcceptedDomain(raw json.RawMessage, selected []string) (AcceptedDomain, error) {
	var row struct {
		DomainName, DomainType, Default json.RawMessage
	}
	var properties map[string]json.RawMessage
	if json.Unmarshal(raw, &row) != nil || json.Unmarshal(raw, &properties) != nil || properties == nil {
		return AcceptedDomain{}, errors.New("a domain is not an object")
	}
	d := AcceptedDomain{Selected: chosen(properties, selected)}
	var err error
	if d.DomainName, err = decodeText(row.DomainName); err != nil || d.DomainName == "" {
		return d, errors.New("a domain has no name")
	}
	d.DomainType, _ = decodeText(row.DomainType)
	truth, _ := decodeText(row.Default)
	d.Default = truth == "true" || truth == "True"
	return d, nil
}

// chosen are the properties of the names selected, in any case.
func chosen(properties map[string]json.RawMessage, selected []string) map[string]json.RawMessage {
	var found map[string]json.RawMessage
	for name, value := range properties {
		if slices.ContainsFunc(selected, func(s string) bool { return strings.EqualFold(s, name) }) {
			if found == nil {
				found = map[string]json.RawMessage{}
			}
			found[name] = value
		}
	}
	return found
}

// OrganizationConfig reads the organisation's settings, by the vendor's names: those for MailTips,
// such as MailTipsAllTipsEnabled. Its errors: Refused, Throttled, Unavailable, Internal.
func (c *Client) OrganizationConfig(ctx context.Context) (map[string]json.RawMessage, error) {
	res, err := c.post(transport.WithCall(ctx, getOrganizationConfig), transport.Read, c.endpoint(organizationConfigEndpoint), c.anchor, parameters{}.body(getOrganizationConfig))
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

// groupMemberCore are the properties that the page's example selects.
var groupMemberCore = []string{"DisplayName", "PrimarySmtpAddress"}

// GroupMembers reads the members of a distribution group, named by name, address or GUID, page by
// page and each once; those hidden from address lists too. A dynamic group's members are a list
// that the vendor works out about once a day. Where properties are selected, these are read beside
// display name and address, and no others. An error of yield ends the listing and is returned as it
// is.
//
// Its errors: NotFound for the group, also where it is of the other kind; Invalid, Refused,
// Throttled, Unavailable, Internal.
func (c *Client) GroupMembers(ctx context.Context, group string, dynamic bool, yield func(page []Mailbox) error, selected ...string) error {
	if err := checkIdentity(group); err != nil {
		return err
	}
	endpoint, cmdlet := groupMemberEndpoint, getGroupMember
	if dynamic {
		endpoint, cmdlet = dynamicGroupMemberEndpoint, getDynamicGroupMember
	}
	first, err := c.selecting(endpoint, groupMemberCore, selected)
	if err != nil {
		return err
	}
	l := &listing[Mailbox]{
		client: c, first: first, cmdlet: cmdlet, anchor: c.anchor, parameters: parameters{Identity: group},
		decode: GetOptions{Select: selected}.decode, key: Mailbox.key, yield: yield,
	}
	return l.all(ctx, 0)
}
