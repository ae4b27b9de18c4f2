package state

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
	"github.com/mailwright/mailwright/services/sandbox/internal/seed"
)

// seeded is when everything in a seed was made, long before any run.
var seeded = time.Date(2024, 10, 2, 6, 27, 18, 0, time.UTC)

// begin makes an empty world and fills it from a seed. The same seed gives the same identifiers.
func (w *World) begin(seedText []byte) error {
	s, err := seed.Parse(seedText)
	if err != nil {
		return err
	}
	w.clear()
	w.seedText, w.seed = seedText, s
	if err := w.Switches.Set(s.Switches); err != nil {
		return err
	}
	tx := &Tx{world: w} // its changes are not written: the log holds the seed instead
	for i := range s.Domains {
		if err := seedDomain(tx, &s.Domains[i]); err != nil {
			return err
		}
	}
	if err := seedHosted(tx, s); err != nil {
		return err
	}
	if err := seedMailboxes(tx, s); err != nil {
		return err
	}
	for _, view := range s.EnPower.Views {
		put(tx, w.views, &View{ID: view.ID, FirstScan: seeded, Verbatim: json.RawMessage(view.Row)})
	}
	tx.MailboxesAfter(0, func(m *Mailbox) bool {
		tx.see(m.GUID, seeded.AddDate(0, 3, 0))
		return true
	})
	w.forgetSeen()
	return nil
}

func (w *World) clear() {
	w.Switches.Reset()
	w.unscanned, w.offset, w.population = map[string]bool{}, 0, Population{}
	w.objects = newTable("objects", func() *Object { return &Object{} }, indexBy(objectKeys), indexBy(customTexts)).tallied(containerOf)
	w.mailboxes = newTable("mailboxes", func() *Mailbox { return &Mailbox{} }, indexBy(mailboxKeys)).tallied(databaseOf)
	w.mailboxes.changed = func(guid string) { w.unscanned[guid] = true }
	w.groups = newTable("groups", func() *Group { return &Group{} }, indexBy(groupKeys))
	w.stores = newTable("stores", func() *Store { return &Store{} })
	w.views = newTable("views", func() *View { return &View{} })
	w.tokens = newTable("tokens", func() *Token { return &Token{} })
	w.approvals = newTable("approvals", func() *Approval { return &Approval{} })
	w.billing = newTable("billing", func() *BillingEvent { return &BillingEvent{} })
	w.settings = newTable("settings", func() *Setting { return &Setting{} })
	w.byName = map[string]replayer{
		"objects": w.objects, "mailboxes": w.mailboxes, "groups": w.groups, "stores": w.stores, "views": w.views,
		"tokens": w.tokens, "approvals": w.approvals, "billing": w.billing, "settings": w.settings,
	}
}

func seedDomain(tx *Tx, d *seed.Domain) error {
	root := "DC=" + strings.ReplaceAll(d.Name, ".", ",DC=")
	objects := append([]seed.Object{{DN: root, Class: "domainDNS"}}, d.Objects...)
	for _, o := range objects {
		made := &Object{
			GUID: strings.ToLower(o.GUID), DN: o.DN, Class: o.Class, Domain: d.Name, Properties: map[string][]any{},
			Created: seeded, Changed: seeded, PasswordAt: seeded, PasswordSet: o.Class == "user",
		}
		if made.GUID == "" {
			made.GUID = guidOf("object", directory.Fold(o.DN))
		}
		if parent := directory.Parent(o.DN); o.DN != root && tx.Object(parent) == nil {
			return fmt.Errorf("seed: %s comes before its container", o.DN)
		}
		for name, values := range o.Properties {
			attribute, ok := directory.FindAttribute(name)
			if !ok {
				return fmt.Errorf("seed: %s has the unknown property %s", o.DN, name)
			}
			for _, value := range values {
				if n, ok := value.(int); ok {
					value = json.Number(fmt.Sprint(n))
				}
				made.Properties[attribute.Name] = append(made.Properties[attribute.Name], value)
			}
		}
		naming, _, _ := strings.Cut(o.DN, "=")
		made.Properties[strings.ToLower(strings.TrimSpace(naming))] = []any{directory.Name(o.DN)}
		tx.number(made)
		tx.PutObject(made)
	}
	return nil
}

// number gives an object its place in the order, and its security identifier, which is made
// out of the domain's and that place.
func (tx *Tx) number(o *Object) {
	o.Seq = tx.world.objects.last + 1
	if o.Class != "user" && o.Class != "group" && o.Class != "computer" {
		return
	}
	sum := sha256.Sum256([]byte("domain " + o.Domain))
	o.SID = fmt.Sprintf("S-1-5-21-%d-%d-%d-%d", binary.BigEndian.Uint32(sum[0:]), binary.BigEndian.Uint32(sum[4:]),
		binary.BigEndian.Uint32(sum[8:]), 1100+o.Seq)
}

// AddObject puts a new object and gives it its identifiers.
func (tx *Tx) AddObject(o *Object) *Object {
	o.GUID, o.Created, o.Changed = NewGUID(), tx.Now(), tx.Now()
	tx.number(o)
	tx.PutObject(o)
	return o
}

func seedHosted(tx *Tx, s *seed.Seed) error {
	for _, o := range s.Hosted.Organizations {
		if tx.Object(o.Container) == nil {
			return fmt.Errorf("seed: hosted organisation %s has no container %s", o.Name, o.Container)
		}
		for _, store := range o.Stores {
			tx.PutStore(&Store{Organization: o.Name, Server: store.Server, Name: store.Name, OwnedKB: store.OwnedKB})
		}
	}
	return nil
}

var guidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func seedMailboxes(tx *Tx, s *seed.Seed) error {
	for i, m := range s.Mailboxes {
		made := Mailbox{
			GUID: guidOf("mailbox", m.Address), EntraID: guidOf("entra", m.Address), Organization: m.Organization,
			Name: m.Name, DisplayName: cmp.Or(m.DisplayName, m.Name), First: m.First, Last: m.Last, UPN: m.Address, Alias: m.Alias,
			Type: m.Type, Primary: m.Address, Secondary: m.Others, Hidden: m.Hidden, Database: CloudDatabase, QuotaMB: 102400,
			Items: int64(56 + 977*i%4001), StorageMB: int64(1 + 331*i%9001), Created: seeded, Changed: seeded,
		}
		if made.Type == "" {
			made.Type = "UserMailbox"
		}
		made.DN = cloudDN(tx.Seed().Organization(m.Organization), m.Name)
		if m.Object != "" {
			o := tx.Object(m.Object)
			if o == nil {
				return fmt.Errorf("seed: mailbox %s has no object %s", m.Address, m.Object)
			}
			made.Object, made.DN = o.GUID, o.DN
			c := o.Clone()
			c.Properties["mailNickname"], c.Properties["mail"] = []any{m.Alias}, []any{m.Address}
			tx.PutObject(c)
		}
		tx.PutMailbox(&made)
	}
	for _, m := range s.Mailboxes {
		owner := tx.Mailbox(guidOf("mailbox", m.Address)).Clone()
		for _, delegate := range m.Delegates {
			found := tx.FindMailboxes(delegate)
			if len(found) == 0 && guidForm.MatchString(delegate) {
				owner.Delegates = append(owner.Delegates, strings.ToLower(delegate)) // orphaned
				continue
			}
			if len(found) != 1 {
				return fmt.Errorf("seed: mailbox %s has the unknown delegate %s", m.Address, delegate)
			}
			owner.Delegates = append(owner.Delegates, found[0].GUID)
		}
		if len(owner.Delegates) > 0 {
			tx.PutMailbox(owner)
		}
	}
	for _, g := range s.Groups {
		made := &Group{GUID: guidOf("group", g.Address), Name: g.Name, Address: g.Address, Dynamic: g.Dynamic}
		for _, member := range g.Members {
			found := tx.FindMailboxes(member)
			if len(found) != 1 {
				return fmt.Errorf("seed: group %s has the unknown member %s", g.Name, member)
			}
			made.Members = append(made.Members, found[0].GUID)
		}
		put(tx, tx.world.groups, made)
	}
	return nil
}

// NewGUID is a fresh random identifier.
func NewGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return formatGUID(b)
}

// guidOf is an identifier that depends on its arguments only.
func guidOf(kind, name string) string {
	sum := sha256.Sum256([]byte(kind + " " + strings.ToLower(name)))
	return formatGUID([16]byte(sum[:16]))
}

func formatGUID(b [16]byte) string {
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	text := hex.EncodeToString(b[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
