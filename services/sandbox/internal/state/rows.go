package state

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
)

// Object is one object of a directory, whichever API made it.
type Object struct {
	GUID   string `json:"guid"`
	Seq    uint64 `json:"seq"`
	SID    string `json:"sid,omitempty"`
	DN     string `json:"dn"`
	Class  string `json:"class"`
	Domain string `json:"domain"`
	// Properties are by the schema's names; values are string, bool or json.Number.
	// A password is never among them.
	Properties  map[string][]any `json:"properties"`
	PasswordSet bool             `json:"passwordSet,omitempty"`
	PasswordAt  time.Time        `json:"passwordAt"`
	M365        *M365            `json:"m365,omitempty"`
	Created     time.Time        `json:"created"`
	Changed     time.Time        `json:"changed"`
}

// M365 is an object's Microsoft 365 account.
type M365 struct {
	Location      string   `json:"location"`
	SignInBlocked bool     `json:"signInBlocked"`
	Licences      []string `json:"licences"`
	// Services are the enabled service plans, by licence.
	Services map[string][]string `json:"services,omitempty"`
}

func (o *Object) key() string  { return o.GUID }
func (o *Object) seq() *uint64 { return &o.Seq }

// Clone is a copy that may be changed and put.
func (o *Object) Clone() *Object {
	c := *o
	c.Properties = maps.Clone(o.Properties)
	if o.M365 != nil {
		account := *o.M365
		account.Licences, account.Services = slices.Clone(account.Licences), maps.Clone(account.Services)
		c.M365 = &account
	}
	return &c
}

// Text is the first value of a property, as text; "" where there is none.
func (o *Object) Text(name string) string {
	values := o.Properties[name]
	if len(values) == 0 {
		return ""
	}
	switch v := values[0].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	default:
		return ""
	}
}

// Flag is a boolean property.
func (o *Object) Flag(name string) bool {
	values := o.Properties[name]
	if len(values) == 0 {
		return false
	}
	b, _ := values[0].(bool)
	return b
}

// Disabled reads the account-disabled bit of userAccountControl.
func (o *Object) Disabled() bool {
	n, _ := json.Number(o.Text("userAccountControl")).Int64()
	return n&2 != 0
}

func objectKeys(o *Object) []string {
	keys := []string{"dn:" + directory.Fold(o.DN)}
	if o.SID != "" {
		keys = append(keys, "sid:"+strings.ToLower(o.SID))
	}
	if sam := o.Text("sAMAccountName"); sam != "" {
		keys = append(keys, "sam:"+o.Domain+"/"+strings.ToLower(sam))
	}
	if upn := o.Text("userPrincipalName"); upn != "" {
		keys = append(keys, "upn:"+strings.ToLower(upn))
	}
	if nick := o.Text("mailNickname"); nick != "" {
		keys = append(keys, "nick:"+o.Domain+"/"+strings.ToLower(nick))
	}
	return keys
}

// customText begins the names of the attributes that a directory indexes for its users.
const customText = "adm-CustomAttributeText"

// Indexed reports whether objects can be found by a property without a walk over all.
func Indexed(name string) bool { return strings.HasPrefix(name, customText) }

// customTexts are the keys of the index over the custom texts: name and value, without regard to
// case.
func customTexts(o *Object) (keys []string) {
	for name := range o.Properties {
		if text := o.Text(name); text != "" && Indexed(name) {
			keys = append(keys, name+"="+strings.ToLower(text))
		}
	}
	return keys
}

func containerOf(o *Object) string { return directory.Fold(directory.Parent(o.DN)) }

// Mailbox is one mailbox, wherever it lives.
type Mailbox struct {
	GUID         string `json:"guid"`
	Seq          uint64 `json:"seq"`
	Object       string `json:"object,omitempty"` // GUID of the directory object
	EntraID      string `json:"entraId"`
	Organization string `json:"organization"`
	Name         string `json:"name"`
	DisplayName  string `json:"displayName"`
	First        string `json:"first,omitempty"`
	Last         string `json:"last,omitempty"`
	UPN          string `json:"upn"`
	Alias        string `json:"alias"`
	DN           string `json:"dn"`
	// Type is Exchange's RecipientTypeDetails.
	Type      string   `json:"type"`
	Primary   string   `json:"primary"`
	Secondary []string `json:"secondary,omitempty"`
	Database  string   `json:"database"`
	Server    string   `json:"server,omitempty"`
	Plan      string   `json:"plan,omitempty"`
	QuotaMB   int64    `json:"quotaMB"`
	Hidden    bool     `json:"hidden,omitempty"`
	// Delegates are recipients' GUIDs; PriorDelegates is the list before DelegatesAt.
	Delegates      []string                        `json:"delegates,omitempty"`
	PriorDelegates []string                        `json:"priorDelegates,omitempty"`
	DelegatesAt    time.Time                       `json:"delegatesAt"`
	Folders        map[string]map[string]FolderACE `json:"folders,omitempty"` // folder path, then user
	Items          int64                           `json:"items"`
	StorageMB      int64                           `json:"storageMB"`
	Created        time.Time                       `json:"created"`
	Changed        time.Time                       `json:"changed"`
	Revision       uint64                          `json:"revision"`
}

// FolderACE is one entry of a folder's permissions.
type FolderACE struct {
	User   string   `json:"user"` // recipient's GUID, or Default, Anonymous
	Rights []string `json:"rights"`
	Flags  []string `json:"flags,omitempty"`
}

func (m *Mailbox) key() string  { return m.GUID }
func (m *Mailbox) seq() *uint64 { return &m.Seq }

// Clone is a copy that may be changed and put.
func (m *Mailbox) Clone() *Mailbox {
	c := *m
	c.Delegates, c.Secondary = slices.Clone(m.Delegates), slices.Clone(m.Secondary)
	c.Folders = make(map[string]map[string]FolderACE, len(m.Folders))
	for path, entries := range m.Folders {
		c.Folders[path] = maps.Clone(entries)
	}
	return &c
}

// Addresses are all SMTP addresses, the primary first.
func (m *Mailbox) Addresses() []string { return append([]string{m.Primary}, m.Secondary...) }

// mailboxKeys are the identities Exchange resolves, the aliases by organisation, and links.
func mailboxKeys(m *Mailbox) []string {
	found := map[string]bool{}
	for _, id := range append([]string{m.GUID, m.EntraID, m.Object, m.Name, m.DN, m.Alias, m.UPN}, m.Addresses()...) {
		if id != "" {
			found["id:"+strings.ToLower(id)] = true
		}
	}
	found["id:"+directory.Fold(m.DN)] = true
	found["alias:"+m.Organization+"/"+strings.ToLower(m.Alias)] = true
	found["object:"+m.Object] = true
	return slices.Collect(maps.Keys(found))
}

func databaseOf(m *Mailbox) string { return m.Database }

// Group is a distribution group.
type Group struct {
	GUID    string   `json:"guid"`
	Seq     uint64   `json:"seq"`
	Name    string   `json:"name"`
	Address string   `json:"address"`
	Dynamic bool     `json:"dynamic"`
	Members []string `json:"members"` // mailboxes' GUIDs
}

func (g *Group) key() string  { return g.GUID }
func (g *Group) seq() *uint64 { return &g.Seq }

func groupKeys(g *Group) []string {
	return []string{"id:" + strings.ToLower(g.GUID), "id:" + strings.ToLower(g.Name), "id:" + strings.ToLower(g.Address)}
}

// Store is the space that a hosted organisation owns on a mail store, in KB.
type Store struct {
	Organization string `json:"organization"`
	Seq          uint64 `json:"seq"`
	Server       string `json:"server"`
	Name         string `json:"name"`
	OwnedKB      int64  `json:"ownedKB"`
	UsedKB       int64  `json:"usedKB"`
}

func (s *Store) key() string  { return s.Organization + "/" + s.Server + "/" + s.Name }
func (s *Store) seq() *uint64 { return &s.Seq }

// FreeKB is the space still free.
func (s *Store) FreeKB() int64 { return s.OwnedKB - s.UsedKB }

// View is what EnPower's last scan saw of a mailbox, or a row given verbatim.
type View struct {
	ID           string          `json:"id"`
	Seq          uint64          `json:"seq"`
	Mailbox      *Mailbox        `json:"mailbox,omitempty"`
	TenantID     string          `json:"tenantId,omitempty"`
	TenantDomain string          `json:"tenantDomain,omitempty"`
	FirstScan    time.Time       `json:"firstScan"`
	Verbatim     json.RawMessage `json:"verbatim,omitempty"`
}

func (v *View) key() string  { return v.ID }
func (v *View) seq() *uint64 { return &v.Seq }

// Token is an access token that was issued, found by its hash.
type Token struct {
	Hash     string    `json:"hash"`
	Seq      uint64    `json:"seq"`
	Audience string    `json:"audience"`
	Subject  string    `json:"subject"`
	Roles    []string  `json:"roles,omitempty"`
	Tenant   string    `json:"tenant,omitempty"`
	RBAC     bool      `json:"rbac,omitempty"`
	Parent   string    `json:"parent,omitempty"` // hash of the session a token came from
	Expires  time.Time `json:"expires"`
}

func (t *Token) key() string  { return t.Hash }
func (t *Token) seq() *uint64 { return &t.Seq }

// Approval is a request that waits for a decision; Body is the request as it came, without
// its password.
type Approval struct {
	ID        string          `json:"id"`
	Seq       uint64          `json:"seq"`
	Call      string          `json:"call"`
	Target    string          `json:"target"`
	State     string          `json:"state"` // Pending, Approved, Denied
	Requested time.Time       `json:"requested"`
	Body      json.RawMessage `json:"body"`
}

func (a *Approval) key() string  { return a.ID }
func (a *Approval) seq() *uint64 { return &a.Seq }

// BillingEvent records a billable act of the hosted provisioning system.
type BillingEvent struct {
	ID    string    `json:"id"`
	Seq   uint64    `json:"seq"`
	Event string    `json:"event"`
	Path  string    `json:"path"`
	Plan  string    `json:"plan,omitempty"`
	At    time.Time `json:"at"`
}

func (b *BillingEvent) key() string  { return b.ID }
func (b *BillingEvent) seq() *uint64 { return &b.Seq }

// Setting is one of the sandbox's own: clock, switches, population.
type Setting struct {
	Name  string          `json:"name"`
	Seq   uint64          `json:"seq"`
	Value json.RawMessage `json:"value"`
}

func (s *Setting) key() string  { return s.Name }
func (s *Setting) seq() *uint64 { return &s.Seq }
