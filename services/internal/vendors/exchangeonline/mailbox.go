package exchangeonline

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Mailbox holds the core properties of Get-Mailbox (the page, "Response overview"), the only ones
// that the vendor promises to keep. An empty text is one that the vendor left out. Its JSON form is
// ours, not the vendor's.
type Mailbox struct {
	// Identity is canonical: often the alias or the distinguished name.
	Identity string `json:"identity,omitempty"`
	// ID is the service's identifier of the mailbox object.
	ID                string `json:"id,omitempty"`
	Name              string `json:"name,omitempty"`
	DisplayName       string `json:"displayName,omitempty"`
	UserPrincipalName string `json:"userPrincipalName,omitempty"`
	Alias             string `json:"alias,omitempty"`
	// ExternalDirectoryObjectID is the object's GUID in Microsoft Entra ID.
	ExternalDirectoryObjectID string `json:"externalDirectoryObjectId,omitempty"`
	// RecipientType and RecipientTypeDetails are open sets: UserMailbox, SharedMailbox,
	// RoomMailbox, …
	RecipientType        string `json:"recipientType,omitempty"`
	RecipientTypeDetails string `json:"recipientTypeDetails,omitempty"`
	// EmailAddresses are proxy addresses: "SMTP:" marks the primary one, "smtp:" further ones.
	EmailAddresses     []string `json:"emailAddresses,omitempty"`
	PrimarySMTPAddress string   `json:"primarySmtpAddress,omitempty"`
	// MaxSendSize is text, such as "35 MB (36,700,160 bytes)" (inferred).
	MaxSendSize string `json:"maxSendSize,omitempty"`
	// Delegates may send on behalf of the mailbox; nil if the answer does not say, empty if there
	// are none.
	Delegates []Delegate `json:"delegates,omitzero"`
	// IDs are further unique identifiers, if the answer holds them: the object's GUID in Exchange,
	// the mailbox's GUID, and the distinguished names. The vendor promises none of them.
	IDs []string `json:"-"`
	// Selected are the further properties asked for by Select, by the vendor's name, as they came.
	Selected map[string]json.RawMessage `json:"selected,omitempty"`
}

// key tells mailboxes of a listing apart. Names that two mailboxes may share are not part of it.
func (m Mailbox) key() string {
	return cmp.Or(m.ExternalDirectoryObjectID, m.ID, m.Identity, m.PrimarySMTPAddress)
}

// Names returns every name that belongs to this mailbox alone, and so identifies it in a list:
// GUIDs, SMTP addresses, user principal name, distinguished names, alias, and the Name, by which
// the vendor lists delegates. The display name is none of them: several mailboxes may share it.
func (m Mailbox) Names() []string {
	names := append([]string{
		m.ExternalDirectoryObjectID, m.PrimarySMTPAddress, m.UserPrincipalName, m.Alias, m.Name, m.Identity, m.ID,
	}, m.IDs...)
	for _, address := range m.EmailAddresses {
		prefix, bare, _ := strings.Cut(address, ":")
		if strings.EqualFold(prefix, "smtp") || strings.EqualFold(prefix, "x500") {
			names = append(names, bare)
		}
	}
	return slices.DeleteFunc(names, func(s string) bool { return s == "" })
}

// Delegate is a recipient with the permission Send on behalf.
type Delegate struct {
	// Address is what the vendor calls the delegate: an SMTP address by the page, but the cmdlet is
	// known to print names and identifiers as well (inferred). Compare it with that in mind.
	Address string `json:"address"`
	// DisplayName is set if display names were asked for and the vendor gave one.
	DisplayName string `json:"displayName,omitempty"`
	// Unidentified: the vendor gave only a display name, which then stands in Address too. Several
	// people may have it.
	Unidentified bool `json:"-"`
}

// core lists the properties of [Mailbox], in the page's order, for $select.
var core = []string{
	"Identity", "Id", "Name", "DisplayName", "UserPrincipalName", "Alias", "ExternalDirectoryObjectId", "RecipientType",
	"RecipientTypeDetails", "EmailAddresses", "PrimarySmtpAddress", "MaxSendSize", "GrantSendOnBehalfTo",
}

// withDisplayNames is the property that exists only on request, in staged rollout.
const withDisplayNames = "GrantSendOnBehalfToWithDisplayNames"

// furtherIDs are the properties of [Mailbox.IDs], in lower case.
var furtherIDs = []string{"guid", "exchangeguid", "distinguishedname", "legacyexchangedn"}

// decodeMailbox reads one mailbox and keeps, beyond the core, the properties named in selected.
func decodeMailbox(raw json.RawMessage, selected []string) (Mailbox, error) {
	var m Mailbox
	var named []Delegate
	if kind(raw) != '{' {
		return Mailbox{}, errors.New("a mailbox is not an object")
	}
	err := members(raw, func(name string, value json.RawMessage) (err error) {
		key := strings.ToLower(name)
		if slices.Contains(furtherIDs, key) {
			if id, err := decodeText(value); err == nil && id != "" {
				m.IDs = append(m.IDs, id)
			}
		}
		switch text := m.text(key); {
		case text != nil:
			*text, err = decodeText(value)
		case key == "maxsendsize":
			m.MaxSendSize, err = decodeLoosely(value)
		case key == "emailaddresses":
			m.EmailAddresses, err = decodeList(value, decodeText)
		case key == "grantsendonbehalfto":
			m.Delegates, err = decodeList(value, decodeDelegate)
		case key == strings.ToLower(withDisplayNames):
			named, err = decodeList(value, decodeDelegate)
		case slices.ContainsFunc(selected, func(s string) bool { return strings.EqualFold(s, name) }):
			if m.Selected == nil {
				m.Selected = map[string]json.RawMessage{}
			}
			m.Selected[name] = bytes.Clone(value) // without it, a property would keep its whole page
		}
		if err != nil {
			return fmt.Errorf("property %s %w", name, err)
		}
		return nil
	})
	if err != nil {
		return Mailbox{}, err
	}
	m.Delegates = withNames(m.Delegates, named)
	return m, nil
}

// text is the field of a property that is a text, by its name in lower case; nil for another.
func (m *Mailbox) text(key string) *string {
	switch key {
	case "identity":
		return &m.Identity
	case "id":
		return &m.ID
	case "name":
		return &m.Name
	case "displayname":
		return &m.DisplayName
	case "userprincipalname":
		return &m.UserPrincipalName
	case "alias":
		return &m.Alias
	case "externaldirectoryobjectid":
		return &m.ExternalDirectoryObjectID
	case "recipienttype":
		return &m.RecipientType
	case "recipienttypedetails":
		return &m.RecipientTypeDetails
	case "primarysmtpaddress":
		return &m.PrimarySMTPAddress
	default:
		return nil
	}
}

// withNames adds display names to delegates. The form of [withDisplayNames] is not documented; seen
// in clients are entries that hold an address, which make the bare list redundant, and names alone,
// in the order of the bare list.
func withNames(delegates, named []Delegate) []Delegate {
	complete := len(named) > 0 && !slices.ContainsFunc(named, func(d Delegate) bool { return !isAddress(d.Address) })
	switch {
	case delegates == nil:
		for i, d := range named { // a bare text in this property is a display name
			named[i].Unidentified = d.Unidentified || !isAddress(d.Address)
		}
		return named
	case complete && len(named) >= len(delegates):
		return named
	case len(named) != len(delegates):
		return delegates
	}
	for i, d := range named {
		delegates[i].DisplayName = cmp.Or(d.DisplayName, d.Address)
	}
	return delegates
}

// delegateKeys are the members by which an object may name a recipient, the best first (inferred).
var delegateKeys = []string{
	"PrimarySmtpAddress", "SmtpAddress", "EmailAddress", "Address", "UserPrincipalName", "Identity", "Id",
	"ExternalDirectoryObjectId", "Guid", "Name",
}

// decodeDelegate reads a text or an object.
func decodeDelegate(raw json.RawMessage) (Delegate, error) {
	if kind(raw) != '{' {
		text, err := decodeText(raw)
		return Delegate{Address: text}, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return Delegate{}, errForm
	}
	member := func(name string) string {
		text, _ := decodeText(members[name])
		return text
	}
	for _, name := range delegateKeys {
		if address := member(name); address != "" {
			return Delegate{Address: address, DisplayName: cmp.Or(member("DisplayName"), member("Name"))}, nil
		}
	}
	if name := member("DisplayName"); name != "" {
		return Delegate{Address: name, DisplayName: name, Unidentified: true}, nil
	}
	return Delegate{}, errForm
}

var errForm = errors.New("has an unknown form")

// kind is the first byte of a JSON value, which tells its type; 0 if there is none.
func kind(raw json.RawMessage) byte {
	if raw = bytes.TrimSpace(raw); len(raw) > 0 {
		return raw[0]
	}
	return 0
}

// decodeText reads a scalar as text; null and nothing are "". raw is JSON that has been checked.
func decodeText(raw json.RawMessage) (string, error) {
	switch kind(raw) {
	case 0, 'n':
		return "", nil
	case '"':
		if inner := bytes.Trim(raw, " \t\r\n"); bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
			return string(inner[1 : len(inner)-1]), nil // nothing to decode
		}
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case '{', '[':
		return "", errForm
	}
	return string(bytes.TrimSpace(raw)), nil
}

// decodeLoosely reads a value that may have any form. One that is not a scalar stays JSON.
func decodeLoosely(raw json.RawMessage) (string, error) {
	if text, err := decodeText(raw); err == nil {
		return text, nil
	}
	var compact bytes.Buffer
	err := json.Compact(&compact, raw)
	return compact.String(), err
}

// decodeList reads an array, or the single entry that PowerShell makes of an array of one; null is
// empty. Entries that say nothing are left out.
func decodeList[T comparable](raw json.RawMessage, decode func(json.RawMessage) (T, error)) ([]T, error) {
	list := []T{}
	add := func(entry json.RawMessage) error {
		var none T
		v, err := decode(entry)
		if err == nil && v != none {
			list = append(list, v)
		}
		return err
	}
	if kind(raw) != '[' {
		return list, add(raw)
	}
	return list, items(raw, add)
}
