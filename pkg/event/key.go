package event

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// everything is the key of commands that concern all of a tenant.
const everything = "all"

// naming are the properties that name a directory object, the best first.
var naming = []string{"cn", "ou", "sAMAccountName", "userPrincipalName"}

// Key is the recommended key of a command: what it is about, without spaces around it, in lower
// case and in Unicode's normal form C. Two commands about the same thing then take effect in the
// order published, since vendors ignore the case of names. It is "" where the data does not say.
// [Token] encodes it for the subject.
//
//	directory.object.create        the first of cn, ou, sAMAccountName, userPrincipalName
//	directory.businessuser.create  userPrincipalName
//	mailbox.create                 directoryObject
//	delegation.*                   mailbox; "all" for a delegation.read without one
//	inventory.sync                 tenant, else "all"
//	operation.cancel               operationId
func Key(e Event) string { return norm.NFC.String(strings.ToLower(strings.TrimSpace(about(e)))) }

func about(e Event) string {
	var data struct {
		Properties        []property `json:"properties"`
		UserPrincipalName string     `json:"userPrincipalName"`
		DirectoryObject   string     `json:"directoryObject"`
		Mailbox           string     `json:"mailbox"`
		Tenant            string     `json:"tenant"`
		OperationID       string     `json:"operationId"`
	}
	if json.Unmarshal(e.Data(), &data) != nil {
		return ""
	}
	switch t := e.Type(); {
	case t == TypeObjectCreate:
		return objectName(data.Properties)
	case t == TypeBusinessUserCreate:
		return data.UserPrincipalName
	case t == TypeMailboxCreate:
		return data.DirectoryObject
	case t == TypeDelegationRead:
		return cmp.Or(data.Mailbox, everything)
	case DomainOf(t) == DomainDelegation:
		return data.Mailbox
	case t == TypeInventorySync:
		return cmp.Or(data.Tenant, everything)
	case t == TypeOperationCancel:
		return data.OperationID
	default:
		return ""
	}
}

type property struct {
	Name   string `json:"propertyName"`
	Values []any  `json:"values"`
}

func objectName(properties []property) string {
	for _, name := range naming {
		i := slices.IndexFunc(properties, func(p property) bool { return strings.EqualFold(p.Name, name) })
		if i < 0 || len(properties[i].Values) == 0 {
			continue
		}
		if text, ok := properties[i].Values[0].(string); ok && text != "" {
			return text
		}
	}
	return ""
}
