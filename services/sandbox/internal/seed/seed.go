// Package seed reads the file that says what the simulated tenant holds at first: directories,
// organisations, mailboxes, credentials and switches. Everything in it is invented.
package seed

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
	"gopkg.in/yaml.v3"
)

// Default is the seed that the program carries.
//
//go:embed default.yaml
var Default []byte

// Seed is the whole file.
type Seed struct {
	Switches      map[string]any `yaml:"switches"`
	Domains       []Domain       `yaml:"domains"`
	Organizations []Organization `yaml:"organizations"`
	Licences      []Licence      `yaml:"licences"`
	Mailboxes     []Mailbox      `yaml:"mailboxes"`
	Groups        []Group        `yaml:"groups"`
	OrgConfig     map[string]any `yaml:"organizationConfig"`
	Adaxes        Adaxes         `yaml:"adaxes"`
	Entra         []EntraTenant  `yaml:"entra"`
	Hosted        Hosted         `yaml:"hosted"`
	EnPower       EnPower        `yaml:"enpower"`
}

// Domain is one directory domain.
type Domain struct {
	Name string `yaml:"name"`
	// Azure marks a Microsoft Entra (Azure AD) domain that Adaxes manages.
	Azure bool `yaml:"azure"`
	// Organization is the Exchange organisation of the domain's on-premises mailboxes.
	Organization string                   `yaml:"organization"`
	Password     directory.PasswordPolicy `yaml:"password"`
	// Patterns fill properties that a new user lacks, in Adaxes' value-reference syntax.
	Patterns  []Pattern  `yaml:"patterns"`
	Objects   []Object   `yaml:"objects"`
	Databases []Database `yaml:"databases"`
}

// Pattern is one property pattern of new users.
type Pattern struct {
	Property string `yaml:"property"`
	Template string `yaml:"template"`
}

// Object is one directory object; its parents come before it.
type Object struct {
	DN         string           `yaml:"dn"`
	GUID       string           `yaml:"guid"`
	Class      string           `yaml:"class"`
	Properties map[string][]any `yaml:"properties"`
}

// Database is an on-premises mailbox database. Mailboxes is how many it holds already, which
// decides where Exchange puts the next one.
type Database struct {
	DN        string `yaml:"dn"`
	GUID      string `yaml:"guid"`
	Mailboxes int    `yaml:"mailboxes"`
}

// Organization is a mail organisation: a scope for aliases, and a tenant to EnPower.
type Organization struct {
	Name         string   `yaml:"name"`
	TenantID     string   `yaml:"tenantId"`
	TenantDomain string   `yaml:"tenantDomain"`
	Domains      []string `yaml:"domains"`
}

// Licence is a Microsoft 365 product. Mailbox says whether assigning it makes one.
type Licence struct {
	SKU     string   `yaml:"skuPartNumber"`
	Total   int      `yaml:"totalUnits"`
	Mailbox bool     `yaml:"mailbox"`
	Plans   []string `yaml:"plans"`
}

// Mailbox is one mailbox that exists from the start.
type Mailbox struct {
	Organization string   `yaml:"organization"`
	Name         string   `yaml:"name"`        // unique, as Exchange wants it
	DisplayName  string   `yaml:"displayName"` // need not be unique; default: name
	First        string   `yaml:"firstName"`
	Last         string   `yaml:"lastName"`
	Alias        string   `yaml:"alias"`
	Address      string   `yaml:"address"`
	Others       []string `yaml:"otherAddresses"`
	Type         string   `yaml:"type"`
	Delegates    []string `yaml:"delegates"` // names, or the GUID of somebody who has been deleted
	Hidden       bool     `yaml:"hidden"`
	Object       string   `yaml:"object"`
}

// Group is a distribution group; members are mailbox addresses.
type Group struct {
	Name    string   `yaml:"name"`
	Address string   `yaml:"address"`
	Dynamic bool     `yaml:"dynamic"`
	Members []string `yaml:"members"`
}

// Adaxes holds the credentials of its service.
type Adaxes struct {
	Tokens []struct {
		Name      string `yaml:"name"`
		Token     string `yaml:"token"`
		ExpiresAt string `yaml:"expiresAt"` // RFC 3339; empty: never
	} `yaml:"tokens"`
	Accounts []struct {
		Username string `yaml:"username"` // user@domain
		Legacy   string `yaml:"legacy"`   // DOMAIN\user
		Password string `yaml:"password"`
		Disabled bool   `yaml:"disabled"`
	} `yaml:"accounts"`
}

// EntraTenant is a tenant of Microsoft Entra with the applications registered there.
type EntraTenant struct {
	ID     string   `yaml:"id"`
	Domain string   `yaml:"domain"`
	Apps   []Client `yaml:"apps"`
}

// Client is an OAuth application.
type Client struct {
	ID     string `yaml:"clientId"`
	Secret string `yaml:"clientSecret"`
	// PublicKey verifies the client's assertions: PEM, an RSA public key or a certificate.
	PublicKey string `yaml:"publicKey"`
	// Roles are application permissions (Entra) or scopes (AvePoint).
	Roles []string `yaml:"roles"`
	// RBAC reports whether an Exchange role is assigned to the service principal.
	RBAC bool `yaml:"rbac"`
}

// Hosted is the provisioning system with its resellers' organisations.
type Hosted struct {
	Domain            string   `yaml:"domain"`
	DomainControllers []string `yaml:"domainControllers"`
	Callers           []struct {
		Username string   `yaml:"username"`
		Password string   `yaml:"password"`
		Roles    []string `yaml:"roles"`
	} `yaml:"callers"`
	Plans         []Plan               `yaml:"plans"`
	Organizations []HostedOrganization `yaml:"organizations"`
}

// Plan is a mailbox service plan. SizeKB is taken from the organisation's space on a store.
type Plan struct {
	Name        string `yaml:"name"`
	SizeKB      int64  `yaml:"sizeKB"`
	DisablePOP  bool   `yaml:"disablePOP"`
	DisableIMAP bool   `yaml:"disableIMAP"`
	DisableHTTP bool   `yaml:"disableHTTP"`
	FolderSet   int    `yaml:"folderSet"`
}

// HostedOrganization is one business customer.
type HostedOrganization struct {
	Name      string   `yaml:"name"`
	Container string   `yaml:"container"`
	Domains   []string `yaml:"domains"` // the first is the organisation's own
	Plans     []string `yaml:"plans"`
	Stores    []struct {
		Server  string `yaml:"server"`
		Name    string `yaml:"name"`
		OwnedKB int64  `yaml:"ownedKB"`
	} `yaml:"stores"`
}

// EnPower holds AvePoint's applications and the views that are there before any scan.
type EnPower struct {
	Clients []Client `yaml:"clients"`
	Views   []View   `yaml:"views"`
}

// View is one row of EnPower given verbatim.
type View struct {
	ID  string `yaml:"id"`
	Row string `yaml:"row"` // JSON
}

// Parse reads a seed strictly.
func Parse(text []byte) (*Seed, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var s Seed
	if err := decoder.Decode(&s); err != nil {
		return nil, fmt.Errorf("read the seed: %w", err)
	}
	for _, view := range s.EnPower.Views {
		if !json.Valid([]byte(view.Row)) {
			return nil, fmt.Errorf("read the seed: enpower view %s is not JSON", view.ID)
		}
	}
	return &s, nil
}

// Domain finds a directory domain by its name.
func (s *Seed) Domain(name string) *Domain {
	for i := range s.Domains {
		if s.Domains[i].Name == name {
			return &s.Domains[i]
		}
	}
	return nil
}

// Organization finds a mail organisation by its name.
func (s *Seed) Organization(name string) *Organization {
	for i := range s.Organizations {
		if s.Organizations[i].Name == name {
			return &s.Organizations[i]
		}
	}
	return nil
}

// Licence finds a product by its part number.
func (s *Seed) Licence(sku string) *Licence {
	for i := range s.Licences {
		if s.Licences[i].SKU == sku {
			return &s.Licences[i]
		}
	}
	return nil
}
