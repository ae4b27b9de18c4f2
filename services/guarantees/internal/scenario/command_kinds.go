package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
)

// commandKind is a type of command of the workload: who carries it out, how the commands are made, and how
// they show in the vendor's journal.
type commandKind struct {
	service   string
	domain    event.Domain
	eventType string
	// One of every so many commands is of this kind, and at most so many of a run; 0: any number.
	every, max int
	// keys that they are spread over; 0: those of the plan.
	keys int
	// vendor and call name the write in the journal; "" writes nothing. once: however often it is
	// tried.
	vendor, call  string
	notRepeatable bool
	// read is a call of the same vendor that only reads.
	read string
	// command makes command i, which is number n of its key: its data, and how the journal shows
	// it.
	command func(s *Scenario, i, key, n int) (data, mark string)
	// prepare has what command i needs at the vendor.
	prepare func(ctx context.Context, s *Scenario, i int) error
}

// commandKinds of the workload. The first takes what the others leave.
var commandKinds = []commandKind{
	{
		service: "directory-svc", domain: event.DomainDirectory, eventType: event.TypeObjectCreate, every: 1,
		vendor: "adaxes", call: "create-object", read: "search", notRepeatable: true, command: (*Scenario).object,
	},
	{
		service: "directory-svc", domain: event.DomainDirectory, eventType: event.TypeBusinessUserCreate, every: 15, keys: 10,
		vendor: "hostedexchange", call: "CreateBusinessUser", notRepeatable: true, command: (*Scenario).businessUser,
	},
	{
		service: "mailbox-svc", domain: event.DomainMailbox, eventType: event.TypeMailboxCreate, every: 14, keys: 10,
		vendor: "adaxes", call: "create-mailbox", read: "get-object", notRepeatable: true, command: (*Scenario).mailbox, prepare: createMailboxUser,
	},
	{
		service: "delegation-svc", domain: event.DomainDelegation, eventType: event.TypeDelegationSet, every: 11, max: 1 << len(delegates) * len(mailboxes) / 2, keys: len(mailboxes),
		vendor: "exchangeonline", call: "Set-Mailbox", read: "Get-Mailbox", command: (*Scenario).delegation,
	},
	{
		service: "inventory-svc", domain: event.DomainInventory, eventType: event.TypeInventorySync, every: 30, max: 60, keys: 4,
		vendor: "enpower", read: "list-mailboxes", command: (*Scenario).inventory,
	},
}

// mixedBeyondPlan is how many commands beyond the plan may be of any kind; what follows is of the first,
// which needs nothing at the vendor.
const mixedBeyondPlan = 2000

// kindOf says of which kind command i is.
func (s *Scenario) kindOf(i int) *commandKind {
	if i < s.Commands+mixedBeyondPlan {
		for at := len(commandKinds) - 1; at > 0; at-- {
			k := &commandKinds[at]
			every := k.every
			if k.max > 0 {
				every = max(every, s.Commands/k.max)
			}
			if i%every == at {
				return k
			}
		}
	}
	return &commandKinds[0]
}

const unit = "OU=My Organizational Unit,DC=example,DC=com"

// object creates a user whose name the vendor makes up, so that nothing but Mailwright keeps it
// from being created twice.
func (s *Scenario) object(i, key, n int) (data, mark string) {
	property := func(name, value string) string {
		return fmt.Sprintf(`{"propertyName":%q,"propertyType":"String","values":[%q]}`, name, value)
	}
	// The vendor's pattern makes the logon name of the first letter and the surname: together they
	// are unique.
	return fmt.Sprintf(`{"createIn":%q,"objectType":"user","properties":[%s,%s,%s,%s]}`, unit, property("givenName", fmt.Sprint("K", key)),
		property("sn", fmt.Sprintf("N%d-%d", n, i)), property("userPrincipalName", fmt.Sprint("u", i)), property("unicodePwd", s.password())), fmt.Sprintf("userPrincipalName=u%d,%s", i, unit)
}

func (s *Scenario) businessUser(i, _, _ int) (data, mark string) {
	name := fmt.Sprintf("h%d@alpineskihouse.com", i)
	return fmt.Sprintf(`{"container":"LDAP://OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com","userPrincipalName":%q,"preferredDomainController":"AD01.fabrikam.com",
		"isAdmin":false,"planName":"BaseMail","newPassword":%q,"displayName":"Hosted %d"}`, name, s.password(), i), name
}

func (s *Scenario) mailbox(i, _, _ int) (data, mark string) {
	dn := fmt.Sprintf("CN=m%d,OU=Sales,DC=example,DC=com", i)
	return fmt.Sprintf(`{"directoryObject":%q,"mailboxParameters":{"alias":"m%d"}}`, dn, i), dn
}

// createMailboxUser creates the user of a mailbox, past Mailwright.
func createMailboxUser(ctx context.Context, s *Scenario, i int) error {
	body := fmt.Sprintf(`{"createIn":"OU=Sales,DC=example,DC=com","objectType":"user","properties":[{"propertyName":"cn","propertyType":"String","values":["m%d"]},
		{"propertyName":"sAMAccountName","propertyType":"String","values":["m%d"]}]}`, i, i)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Endpoints.Sandbox+"/adaxes/restApi/api/directoryObjects", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Adm-Authorization", "adaxes-sandbox-token")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || !strings.Contains(string(answer), `"resultType":0`)) {
		err = fmt.Errorf("the user of mailbox %d: %s: %s", i, res.Status, answer)
	}
	return err
}

// mailboxes have no delegates at first, and delegates may be theirs.
var (
	mailboxes = addresses("adele.vance", "bianca.pisani", "cameron.white", "enrico.cattaneo", "grady.archie", "isaiah.langer", "lidia.holloway", "nestor.wilke")
	delegates = addresses("delegate1", "delegate2", "delegate3", "delegate4", "admin", "alex", "megan.bowen", "raul.razo", "patti.fernandez", "henrietta.mueller")
)

func addresses(names ...string) (list []string) {
	for _, n := range names {
		list = append(list, n+"@contoso.com")
	}
	return list
}

// delegation sets those delegates of a mailbox whose places are the ones of the command's number in
// binary: the journal tells it by that. There are no more commands of a mailbox than such lists.
func (s *Scenario) delegation(_, key, n int) (data, mark string) {
	var list []string
	for bit, delegate := range delegates {
		if n>>bit&1 == 1 {
			list = append(list, delegate)
		}
	}
	raw, _ := json.Marshal(list) // a list of texts
	return fmt.Sprintf(`{"mailbox":%q,"delegates":%s}`, mailboxes[key], raw), mailboxes[key] + " " + string(raw)
}

// inventory walks the vendor's mailboxes in many pages, so that kills strike in mid-walk.
func (s *Scenario) inventory(_, _, _ int) (data, mark string) {
	return fmt.Sprintf(`{"mailboxType":"all","pageSize":%d}`, min(10+s.Commands/500, 1000)), ""
}
