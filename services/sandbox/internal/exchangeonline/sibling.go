package exchangeonline

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
)

// getAcceptedDomain is Get-AcceptedDomain.
func (a *API) getAcceptedDomain(q *request) call.Answer {
	if wrong := q.parameters.only("Identity", "ResultSize"); wrong != nil {
		return *wrong
	}
	identity, wrong := q.parameters.text("Identity")
	if wrong != nil {
		return *wrong
	}
	rows := []map[string]any{}
	tenant, _, _ := splitPath(q.http.URL.Path)
	usual := a.defaultDomain(tenant)
	for _, organization := range a.world.Seed().Organizations {
		for _, domain := range organization.Domains {
			if identity == "" || strings.EqualFold(identity, domain) {
				rows = append(rows, map[string]any{
					"Identity": domain, "Id": domain, "Name": domain, "DomainName": domain, "DomainType": "Authoritative", "Default": domain == usual,
				})
			}
		}
	}
	if identity != "" && len(rows) == 0 {
		return a.notFound(identity)
	}
	return a.whole(q, rows)
}

// defaultDomain is the one domain that is a tenant's default: the first of its organisation, or of
// all where the seed gives no organisation the tenant's id.
func (a *API) defaultDomain(tenant string) (domain string) {
	for _, organization := range a.world.Seed().Organizations {
		if len(organization.Domains) == 0 {
			continue
		}
		if strings.EqualFold(organization.TenantID, tenant) {
			return organization.Domains[0]
		}
		domain = cmp.Or(domain, organization.Domains[0])
	}
	return domain
}

// getOrganizationConfig is Get-OrganizationConfig: no parameters, a single object.
func (a *API) getOrganizationConfig(q *request) call.Answer {
	if wrong := q.parameters.only(); wrong != nil {
		return *wrong
	}
	return collection(q, []map[string]any{a.world.Seed().OrgConfig}, "")
}

// getGroupMember is Get-DistributionGroupMember, or its dynamic sibling. Members that are
// hidden from address lists are shown too.
func (a *API) getGroupMember(dynamic bool) cmdlet {
	return func(q *request) call.Answer {
		if wrong := q.parameters.only("Identity", "ResultSize"); wrong != nil {
			return *wrong
		}
		identity, wrong := q.parameters.text("Identity")
		if wrong != nil {
			return *wrong
		}
		if identity == "" {
			return invalidOperation("System.Management.Automation.ParameterBindingException", "Cannot process command because of one or more missing mandatory parameters: Identity.")
		}
		var rows []map[string]any
		a.world.View(func(tx *state.Tx) {
			g := tx.Group(identity)
			if g == nil || g.Dynamic != dynamic {
				return
			}
			rows = []map[string]any{}
			for _, guid := range g.Members {
				if m := tx.Mailbox(guid); m != nil {
					rows = append(rows, map[string]any{
						"Identity": m.Alias, "Name": m.Name, "DisplayName": m.DisplayName, "PrimarySmtpAddress": m.Primary,
						"ExternalDirectoryObjectId": m.EntraID, "RecipientType": "UserMailbox", "RecipientTypeDetails": m.Type,
					})
				}
			}
		})
		if rows == nil {
			return a.notFound(identity)
		}
		return a.whole(q, rows)
	}
}

// whole answers with up to ResultSize rows of a short list, in pages.
func (a *API) whole(q *request, rows []map[string]any) call.Answer {
	size, wrong := pageSize(q)
	if wrong != nil {
		return *wrong
	}
	after, wrong := a.start(q)
	if wrong != nil {
		return *wrong
	}
	rows = rows[min(int(after), len(rows)):]
	next := ""
	if size != unlimited && len(rows) > size {
		rows = rows[:size]
		next = a.nextLink(q, after+uint64(size))
	}
	if wrong := a.project(q, rows); wrong != nil {
		return *wrong
	}
	return collection(q, rows, next)
}

// The rights that a folder's entry may hold: roles and single rights (Exchange PowerShell
// reference).
var folderRights = []string{
	"None", "AvailabilityOnly", "LimitedDetails", "Reviewer", "Contributor", "NonEditingAuthor", "Author", "Editor", "PublishingAuthor",
	"PublishingEditor", "Owner", "CreateItems", "CreateSubfolders", "DeleteAllItems", "DeleteOwnedItems", "EditAllItems", "EditOwnedItems",
	"FolderContact", "FolderOwner", "FolderVisible", "ReadItems",
}

var sharingFlags = []string{"None", "Delegate", "CanViewPrivateItems"}

// folderIdentity splits <mailbox>:\<FolderPath>.
func (a *API) folderIdentity(q *request) (mailbox, path string, wrong *call.Answer) {
	identity, wrong := q.parameters.text("Identity")
	if wrong != nil {
		return "", "", wrong
	}
	mailbox, path, ok := strings.Cut(identity, `:\`)
	if !ok || mailbox == "" {
		return "", "", wrongType("Identity", `of the form <mailbox>:\<FolderPath>`)
	}
	top, _, _ := strings.Cut(path, `\`)
	if !slices.ContainsFunc(folders, func(f string) bool { return strings.EqualFold(f, top) }) {
		missing := a.notFound(identity)
		return "", "", &missing
	}
	return mailbox, strings.ToLower(path), nil
}

// folders are those at the top of every mailbox; "" is the root. Any folder is assumed below them.
var folders = []string{"", "Calendar", "Inbox", "Contacts", "Tasks", "Notes", "Drafts", "Sent Items", "Deleted Items", "Junk Email", "Archive"}

// getFolderPermission is Get-MailboxFolderPermission: every entry, or that of a user.
func (a *API) getFolderPermission(q *request) call.Answer {
	if wrong := q.parameters.only("Identity", "User", "ResultSize"); wrong != nil {
		return *wrong
	}
	mailbox, path, wrong := a.folderIdentity(q)
	if wrong != nil {
		return *wrong
	}
	user, wrong := q.parameters.text("User")
	if wrong != nil {
		return *wrong
	}
	var rows []map[string]any
	var refused *call.Answer
	a.world.View(func(tx *state.Tx) {
		found := tx.FindMailboxes(mailbox)
		if len(found) != 1 {
			missing := a.notFound(mailbox)
			refused = &missing
			return
		}
		if user == "" {
			rows = folderRows(tx, found[0], path)
			return
		}
		who := tx.FindRecipients(user)
		if len(who) != 1 {
			missing := a.notFound(user)
			refused = &missing
			return
		}
		entry, exists := found[0].Folders[path][who[0].GUID]
		if !exists {
			refused = noEntry()
			return
		}
		rows = []map[string]any{folderRow(path, who[0], entry)}
	})
	if refused != nil {
		return *refused
	}
	return a.whole(q, rows)
}

func folderRows(tx *state.Tx, m *state.Mailbox, path string) []map[string]any {
	rows := []map[string]any{
		{"FolderName": path, "User": "Default", "AccessRights": []string{"AvailabilityOnly"}},
		{"FolderName": path, "User": "Anonymous", "AccessRights": []string{"None"}},
	}
	for _, guid := range slices.Sorted(maps.Keys(m.Folders[path])) {
		if r, ok := tx.RecipientByGUID(guid); ok {
			rows = append(rows, folderRow(path, r, m.Folders[path][guid]))
		}
	}
	return rows
}

func folderRow(path string, r state.Recipient, entry state.FolderACE) map[string]any {
	return map[string]any{"FolderName": path, "User": r.DisplayName, "UserPrincipalName": r.Address, "AccessRights": entry.Rights, "SharingPermissionFlags": entry.Flags}
}

func noEntry() *call.Answer {
	refused := invalidOperation("Microsoft.Exchange.Management.StoreTasks.UserNotFoundInPermissionEntryException", "There is no existing permission entry found for the user.")
	return &refused
}

// changeFolderPermission is Add-, Set- and Remove-MailboxFolderPermission.
func (a *API) changeFolderPermission(verb string) cmdlet {
	known := []string{"Identity", "User", "AccessRights", "SharingPermissionFlags"}
	if verb == "remove" {
		known = known[:2]
	}
	return func(q *request) call.Answer {
		if wrong := q.parameters.only(known...); wrong != nil {
			return *wrong
		}
		mailbox, path, wrong := a.folderIdentity(q)
		if wrong != nil {
			return *wrong
		}
		user, wrong := q.parameters.text("User")
		if wrong != nil {
			return *wrong
		}
		rights, wrong := q.parameters.enumeration("AccessRights", folderRights, verb != "remove")
		if wrong != nil {
			return *wrong
		}
		flags, wrong := q.parameters.enumeration("SharingPermissionFlags", sharingFlags, false)
		if wrong != nil {
			return *wrong
		}
		var refused call.Answer
		err := a.world.Update(q.run.Origin, func(tx *state.Tx) error {
			if wrong := a.changeACE(tx, folderChange{verb, mailbox, path, user, rights, flags}); wrong != nil {
				refused = *wrong
				return errors.New("refused")
			}
			return nil
		})
		if refused.Status != 0 {
			return refused
		}
		if err != nil {
			return fail(http.StatusInternalServerError, "InternalServerError", "Error executing cmdlet", "", err.Error())
		}
		return call.Answer{Status: http.StatusOK, Outcome: "folder permission changed", Committed: true}
	}
}

// folderChange is the change of one entry of a folder's list.
type folderChange struct {
	verb, mailbox, path, user string
	rights, flags             []string
}

// changeACE makes a change; wrong says why it cannot be made.
func (a *API) changeACE(tx *state.Tx, c folderChange) (wrong *call.Answer) {
	found, who := tx.FindMailboxes(c.mailbox), tx.FindRecipients(c.user)
	if len(found) != 1 || len(who) != 1 {
		refused := a.notFound(c.mailbox + ":" + c.user)
		return &refused
	}
	m, guid := found[0].Clone(), who[0].GUID
	before, exists := m.Folders[c.path][guid]
	switch {
	case exists && c.verb == "add":
		refused := invalidOperation("Microsoft.Exchange.Management.StoreTasks.UserAlreadyExistsInPermissionEntryException", "An existing permission entry was found for the user.")
		return &refused
	case !exists && c.verb != "add":
		return noEntry()
	}
	if c.flags == nil {
		c.flags = before.Flags // Set leaves what it does not name (inferred)
	}
	if m.Folders[c.path] == nil {
		m.Folders[c.path] = map[string]state.FolderACE{}
	}
	if c.verb == "remove" {
		delete(m.Folders[c.path], guid)
	} else {
		m.Folders[c.path][guid] = state.FolderACE{User: guid, Rights: c.rights, Flags: c.flags}
	}
	m.Changed = tx.Now()
	tx.PutMailbox(m)
	return nil
}

// enumeration reads one name or a list of names.
func (p parameters) enumeration(name string, known []string, required bool) ([]string, *call.Answer) {
	given, ok := p[strings.ToLower(name)]
	if !ok {
		if required {
			return nil, wrongType(name, "given")
		}
		return nil, nil
	}
	var list []string
	if one := p.peek(name); one != "" {
		list = strings.Split(one, ",")
	} else if json.Unmarshal(given.raw, &list) != nil || len(list) == 0 {
		return nil, wrongType(name, "one of the known names")
	}
	for i, value := range list {
		at := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, strings.TrimSpace(value)) })
		if at < 0 {
			return nil, wrongType(name, "one of the known names")
		}
		list[i] = known[at]
	}
	return list, nil
}
