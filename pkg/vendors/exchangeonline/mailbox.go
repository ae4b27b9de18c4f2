package exchangeonline

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Mailbox holds the core properties of Get-Mailbox (the page, "Response overview"), the only ones that
// the vendor promises to keep. An empty text is one that the vendor left out. Its JSON form is ours, not the vendor's.
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
	// RecipientType and RecipientTypeDetails are open sets: UserMailbox, SharedMailbox, RoomMailbox, …
	RecipientType        string `json:"recipientType,omitempty"`
	RecipientTypeDetails string `json:"recipientTypeDetails,omitempty"`
	// EmailAddresses are proxy addresses: "SMTP:" marks the primary one, "smtp:" further ones.
	EmailAddresses     []string `json:"emailAddresses,omitempty"`
	PrimarySMTPAddress string   `json:"primarySmtpAddress,omitempty"`
	// MaxSendSize is text, such as "35 MB (36,700,160 bytes)" (inferred).
	MaxSendSize string `json:"maxSendSize,omitempty"`
	// Delegates may send on behalf of the mailbox; nil if the answer does not say, empty if there are none.
	Delegates []Delegate `json:"delegates,omitzero"`
	// Selected are the further properties asked for by Select, by the vendor's name, as they came.
	Selected map[string]json.RawMessage `json:"selected,omitempty"`
}

// key tells mailboxes of a listing apart.
func (m Mailbox) key() string {
	return cmp.Or(m.ID, m.ExternalDirectoryObjectID, m.Identity, m.PrimarySMTPAddress)
}

// Delegate is a recipient with the permission Send on behalf.
type Delegate struct {
	// Address is what the vendor calls the delegate: an SMTP address by the page, but the cmdlet is known
	// to print names and identifiers as well (inferred). Compare it with that in mind.
	Address string `json:"address"`
	// DisplayName is set if display names were asked for and the vendor gave one.
	DisplayName string `json:"displayName,omitempty"`
}

// core lists the properties of [Mailbox], in the page's order, for $select.
var core = []string{
	"Identity", "Id", "Name", "DisplayName", "UserPrincipalName", "Alias", "ExternalDirectoryObjectId", "RecipientType",
	"RecipientTypeDetails", "EmailAddresses", "PrimarySmtpAddress", "MaxSendSize", "GrantSendOnBehalfTo",
}

// withDisplayNames is the property that exists only on request, in staged rollout.
const withDisplayNames = "GrantSendOnBehalfToWithDisplayNames"

// decodeMailbox reads one mailbox and keeps, beyond the core, the properties named in selected.
func decodeMailbox(raw json.RawMessage, selected []string) (Mailbox, error) {
	var properties map[string]json.RawMessage
	if err := json.Unmarshal(raw, &properties); err != nil || properties == nil {
		return Mailbox{}, errors.New("a mailbox is not an object")
	}
	var m Mailbox
	var named []Delegate
	texts := map[string]*string{
		"identity": &m.Identity, "id": &m.ID, "name": &m.Name, "displayname": &m.DisplayName,
		"userprincipalname": &m.UserPrincipalName, "alias": &m.Alias, "externaldirectoryobjectid": &m.ExternalDirectoryObjectID,
		"recipienttype": &m.RecipientType, "recipienttypedetails": &m.RecipientTypeDetails,
		"primarysmtpaddress": &m.PrimarySMTPAddress,
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) { // sorted: two spellings of one name must not race
		value, key := properties[name], strings.ToLower(name)
		var err error
		switch {
		case texts[key] != nil:
			*texts[key], err = decodeText(value)
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
			m.Selected[name] = value
		}
		if err != nil {
			return Mailbox{}, fmt.Errorf("property %s %w", name, err)
		}
	}
	m.Delegates = withNames(m.Delegates, named)
	return m, nil
}

// withNames adds display names to delegates. The form of [withDisplayNames] is not documented; seen in clients are
// entries that hold an address, which make the bare list redundant, and names alone, in the order of the bare list.
func withNames(delegates, named []Delegate) []Delegate {
	complete := len(named) > 0 && !slices.ContainsFunc(named, func(d Delegate) bool { return !isAddress(d.Address) })
	switch {
	case delegates == nil, complete && len(named) >= len(delegates):
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
var delegateKeys = []string{"PrimarySmtpAddress", "SmtpAddress", "EmailAddress", "Address", "UserPrincipalName", "Identity", "Id", "ExternalDirectoryObjectId", "Guid", "Name", "DisplayName"}

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

// decodeText reads a scalar as text; null and nothing are "".
func decodeText(raw json.RawMessage) (string, error) {
	switch kind(raw) {
	case 0, 'n':
		return "", nil
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case '{', '[':
		return "", errForm
	}
	return string(bytes.TrimSpace(raw)), nil
}

// decodeLoosely reads a value of which nothing hangs on the form: what is not a scalar stays JSON.
func decodeLoosely(raw json.RawMessage) (string, error) {
	if text, err := decodeText(raw); err == nil {
		return text, nil
	}
	var compact bytes.Buffer
	err := json.Compact(&compact, raw)
	return compact.String(), err
}

// decodeList reads an array, or the single entry that PowerShell makes of an array of one; null is empty.
// Entries that say nothing are left out.
func decodeList[T comparable](raw json.RawMessage, decode func(json.RawMessage) (T, error)) ([]T, error) {
	var entries []json.RawMessage
	if kind(raw) != '[' {
		entries = append(entries, raw)
	} else if err := json.Unmarshal(raw, &entries); err != nil {
		return nil, errForm
	}
	list := []T{}
	var none T
	for _, entry := range entries {
		v, err := decode(entry)
		if err != nil {
			return nil, err
		}
		if v != none {
			list = append(list, v)
		}
	}
	return list, nil
}
