package exchangeonline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// The cmdlets of MailboxFolderPermission (admin-api-endpoints-mailbox-folder-permission).
const (
	getFolderPermission    = "Get-MailboxFolderPermission"
	addFolderPermission    = "Add-MailboxFolderPermission"
	setFolderPermission    = "Set-MailboxFolderPermission"
	removeFolderPermission = "Remove-MailboxFolderPermission"
)

// Folder is a folder of a mailbox.
type Folder struct {
	// Mailbox is named as in [Client.GetMailbox].
	Mailbox string
	// Path is the folder's path without a leading backslash: "Calendar", "Inbox\Projects". Names
	// are those that the mailbox's owner sees.
	Path string
}

// identity is <mailbox>:\<path> (the endpoint's page, "Identity").
func (f Folder) identity() string { return f.Mailbox + `:\` + f.Path }

func (f Folder) check() error {
	if err := checkIdentity(f.Mailbox); err != nil {
		return err
	}
	switch {
	case strings.Contains(f.Mailbox, `:\`):
		return invalid("the mailbox's name holds a path")
	case f.Path == "", strings.HasPrefix(f.Path, `\`), len(f.Path) > maxIdentity, !printable(f.Path), strings.Contains(f.Path, "*"):
		return invalid(`the folder's path must be one such as Calendar or Inbox\Projects`)
	}
	return nil
}

// FolderPermission is an entry of a folder's list: who may do what in it.
type FolderPermission struct {
	// User is the vendor's name for the user of the entry: a display name, an address, Default or
	// Anonymous (inferred).
	User string
	// Address is the user's where the vendor tells it, as User or beside it (inferred); else "".
	Address string
	// AccessRights are roles or single rights, such as Editor or ReadItems.
	AccessRights []string
	// SharingPermissionFlags are those of a delegate of the calendar: Delegate,
	// CanViewPrivateItems; none is None.
	SharingPermissionFlags []string
}

// FolderPermissions reads every entry of a folder, those of Default and Anonymous included.
//
// Its errors: NotFound for the mailbox or the folder, Invalid, Refused, Throttled, Unavailable,
// Internal.
func (c *Client) FolderPermissions(ctx context.Context, f Folder) ([]FolderPermission, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	var all []FolderPermission
	l := &listing[json.RawMessage]{
		client: c, first: c.endpoint(folderPermissionEndpoint), cmdlet: getFolderPermission, anchor: c.anchorOf(f.Mailbox),
		parameters: parameters{Identity: f.identity()},
		decode:     func(raw json.RawMessage) (json.RawMessage, error) { return raw, nil },
		// Two users may share a display name and all rights, so equal rows are two entries.
		key:     func(json.RawMessage) string { return "" },
		restart: func() { all = nil },
		yield: func(page []json.RawMessage) error {
			for _, raw := range page {
				p, err := decodeFolderPermission(raw)
				if err != nil {
					return &failure.Error{Kind: failure.Internal, Vendor: Vendor, Text: "the vendor's answer to " + getFolderPermission + " cannot be understood", Cause: err}
				}
				all = append(all, p)
			}
			return nil
		},
	}
	return all, l.all(ctx, 0)
}

// FolderPermission reads the entry of one user, named by SMTP address; found is false where there
// is none. Its errors are those of [Client.FolderPermissions]; NotFound also where the vendor does
// not know the user.
func (c *Client) FolderPermission(ctx context.Context, f Folder, user string) (p FolderPermission, found bool, err error) {
	if err := errors.Join(f.check(), checkAddresses([]string{user})); err != nil {
		return FolderPermission{}, false, err
	}
	body, err := c.call(ctx, transport.Read, c.endpoint(folderPermissionEndpoint), getFolderPermission, f.Mailbox, parameters{Identity: f.identity(), User: user})
	if IsNoEntry(err) {
		return FolderPermission{}, false, nil
	}
	if err != nil {
		return FolderPermission{}, false, err
	}
	_, rows, err := decodeRows(getFolderPermission, body, decodeFolderPermission)
	switch {
	case err != nil || len(rows) == 0:
		return FolderPermission{}, false, err
	case len(rows) > 1:
		return FolderPermission{}, false, &failure.Error{Kind: failure.Internal, Vendor: Vendor, Text: "the vendor names several entries of one user"}
	}
	return rows[0], true, nil
}

// AddFolderPermission gives a user without an entry one. Its errors: those of
// [Client.SetSendOnBehalf]; where there is an entry already, one that [IsEntry] recognises.
func (c *Client) AddFolderPermission(ctx context.Context, f Folder, user string, rights, flags []string) error {
	return c.changeFolder(ctx, addFolderPermission, f, parameters{User: user, AccessRights: rights, SharingPermissionFlags: flags})
}

// SetFolderPermission replaces the rights of a user with an entry, and the flags where some are
// given. Where there is no entry, the error is one that [IsNoEntry] recognises.
func (c *Client) SetFolderPermission(ctx context.Context, f Folder, user string, rights, flags []string) error {
	return c.changeFolder(ctx, setFolderPermission, f, parameters{User: user, AccessRights: rights, SharingPermissionFlags: flags})
}

// RemoveFolderPermission takes a user's entry away. Where there is none, the error is one that
// [IsNoEntry] recognises.
func (c *Client) RemoveFolderPermission(ctx context.Context, f Folder, user string) error {
	return c.changeFolder(ctx, removeFolderPermission, f, parameters{User: user})
}

func (c *Client) changeFolder(ctx context.Context, cmdlet string, f Folder, p parameters) error {
	if err := errors.Join(f.check(), checkAddresses([]string{p.User})); err != nil {
		return err
	}
	if len(p.AccessRights) == 0 && cmdlet != removeFolderPermission {
		return invalid("no access right is named")
	}
	p.Identity = f.identity()
	return c.write(ctx, folderPermissionEndpoint, cmdlet, f.Mailbox, p)
}

// IsEntry reports whether an error says that the user has an entry already.
func IsEntry(err error) bool { return hasException(err, "UserAlreadyExistsInPermissionEntryException") }

// IsNoEntry reports whether an error says that the user has no entry.
func IsNoEntry(err error) bool { return hasException(err, "UserNotFoundInPermissionEntryException") }

func hasException(err error, exception string) bool {
	f, ok := errors.AsType[*failure.Error](err)
	return ok && f.Vendor == Vendor && strings.HasSuffix(f.Code, exception)
}

// decodeFolderPermission reads an entry. The endpoint's page shows none; User is a text or an
// object (inferred).
func decodeFolderPermission(raw json.RawMessage) (FolderPermission, error) {
	var row struct {
		User, UserPrincipalName              json.RawMessage
		AccessRights, SharingPermissionFlags json.RawMessage
	}
	if err := json.Unmarshal(raw, &row); err != nil || kind(raw) != '{' {
		return FolderPermission{}, errors.New("an entry is not an object")
	}
	user, err := decodeDelegate(row.User)
	if err != nil {
		return FolderPermission{}, err
	}
	p := FolderPermission{User: cmp.Or(user.DisplayName, user.Address)}
	if p.Address, _ = decodeText(row.UserPrincipalName); p.Address == "" && isAddress(user.Address) {
		p.Address = user.Address
	}
	if p.AccessRights, err = decodeNames(row.AccessRights); err != nil {
		return FolderPermission{}, err
	}
	p.SharingPermissionFlags, err = decodeNames(row.SharingPermissionFlags)
	return p, err
}

// decodeNames reads a list of names, or one text that lists them with commas.
func decodeNames(raw json.RawMessage) ([]string, error) {
	list, err := decodeList(raw, decodeText)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, text := range list {
		for name := range strings.SplitSeq(text, ",") {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
	}
	return names, nil
}
