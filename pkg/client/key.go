package client

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
)

// everything is the key of commands that are about all of a tenant.
const everything = "all"

// naming are the properties that name a directory object, the best first.
var naming = []string{"cn", "ou", "sAMAccountName", "userPrincipalName"}

// Key is the default key of a command: what it is about, so that two commands about the same thing take
// effect in the order published. Vendors ignore the case of names, so it is lower. It is "" where the data
// does not say.
//
//	directory.object.create        the first of cn, ou, sAMAccountName, userPrincipalName
//	directory.businessuser.create  userPrincipalName
//	mailbox.create                 directoryObject
//	delegation.*                   mailbox, else "all"
//	inventory.sync                 tenant, else "all"
//	operation.cancel               operationId
func Key(e event.Event) string {
	return strings.ToLower(strings.TrimSpace(about(e)))
}

func about(e event.Event) string {
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
	switch e.Type() {
	case event.ObjectCreate:
		return objectName(data.Properties)
	case event.BusinessUserCreate:
		return data.UserPrincipalName
	case event.MailboxCreate:
		return data.DirectoryObject
	case event.DelegationSet, event.DelegationChange, event.FolderGrant, event.FolderRevoke, event.FolderRead:
		return data.Mailbox
	case event.DelegationRead:
		return cmp.Or(data.Mailbox, everything)
	case event.InventorySync:
		return cmp.Or(data.Tenant, everything)
	case event.OperationCancel:
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
