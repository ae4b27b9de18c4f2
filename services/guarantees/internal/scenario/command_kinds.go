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

// commandKind is a kind of command of the workload: the service that carries it out, its data, and
// its trace in the vendor's journal.
type commandKind struct {
	service   string
	domain    event.Domain
	eventType string
	// One of every so many commands is of this kind, and at most max of a run; 0 means no limit.
	every, max int
	// keys that the commands are spread over; 0 means those of the plan.
	keys int
	// vendor and call name the write in the journal; call is "" for commands that write nothing.
	vendor, call string
	// notRepeatable: the command takes effect once, however often it is tried.
	notRepeatable bool
	// read is a call of the same vendor that only reads.
	read string
	// command makes command i, which has number n of its key. mark is the target and the detail of
	// its effect in the journal.
	command func(s *Scenario, i, key, n int) (data, mark string)
	// prepare creates at the vendor what command i needs.
	prepare func(ctx context.Context, s *Scenario, i int) error
}

// commandKinds of the workload. The first gets the commands that the others leave.
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
		vendor: "adaxes", call: "create-mailbox", read: "get-object", notRepeatable: true,
		command: (*Scenario).mailbox, prepare: createMailboxUser,
	},
	{
		service: "delegation-svc", domain: event.DomainDelegation, eventType: event.TypeDelegationSet,
		every: 11, max: maxDelegationCommands, keys: len(mailboxes),
		vendor: "exchangeonline", call: "Set-Mailbox", read: "Get-Mailbox", command: (*Scenario).delegation,
	},
	{
		service: "inventory-svc", domain: event.DomainInventory, eventType: event.TypeInventorySync, every: 30, max: 60, keys: 4,
		vendor: "enpower", read: "list-mailboxes", command: (*Scenario).inventory,
	},
}

// maxDelegationCommands leaves half of the possible lists of delegates unused.
var maxDelegationCommands = 1 << len(delegates) * len(mailboxes) / 2

// mixedBeyondPlan is how many commands beyond the plan are of all kinds. Later ones are of the
// first kind, which needs no preparation.
const mixedBeyondPlan = 2000

// kindOf is the kind of command i.
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

// object creates a user whose logon name the vendor chooses. So a repeated create would succeed,
// and only Mailwright prevents it.
func (s *Scenario) object(i, key, n int) (data, mark string) {
	property := func(name, value string) string {
		return fmt.Sprintf(`{"propertyName":%q,"propertyType":"String","values":[%q]}`, name, value)
	}
	// The vendor makes the logon name of the first letter and the surname: together they are
	// unique.
	data = fmt.Sprintf(`{"createIn":%q,"objectType":"user","properties":[%s,%s,%s,%s]}`,
		unit,
		property("givenName", fmt.Sprint("K", key)),
		property("sn", fmt.Sprintf("N%d-%d", n, i)),
		property("userPrincipalName", fmt.Sprint("u", i)),
		property("unicodePwd", s.password()))
	return data, fmt.Sprintf("userPrincipalName=u%d,%s", i, unit)
}

func (s *Scenario) businessUser(i, _, _ int) (data, mark string) {
	name := fmt.Sprintf("h%d@alpineskihouse.com", i)
	return fmt.Sprintf(`{
		"container": "LDAP://OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com",
		"userPrincipalName": %q,
		"preferredDomainController": "AD01.fabrikam.com",
		"isAdmin": false,
		"planName": "BaseMail",
		"newPassword": %q,
		"displayName": "Hosted %d"
	}`, name, s.password(), i), name
}

func (s *Scenario) mailbox(i, _, _ int) (data, mark string) {
	dn := fmt.Sprintf("CN=m%d,OU=Sales,DC=example,DC=com", i)
	return fmt.Sprintf(`{"directoryObject":%q,"mailboxParameters":{"alias":"m%d"}}`, dn, i), dn
}

// createMailboxUser creates the user of a mailbox directly at the vendor.
func createMailboxUser(ctx context.Context, s *Scenario, i int) error {
	property := `{"propertyName":%q,"propertyType":"String","values":[%q]}`
	name := fmt.Sprint("m", i)
	body := fmt.Sprintf(`{"createIn":"OU=Sales,DC=example,DC=com","objectType":"user","properties":[`+property+","+property+`]}`,
		"cn", name, "sAMAccountName", name)
	target := s.stack.Endpoints.Sandbox + "/adaxes/restApi/api/directoryObjects"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(body))
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

// mailboxes are those whose delegates are changed; they have none at first. delegates may become
// their delegates.
var (
	mailboxes = addresses("adele.vance", "bianca.pisani", "cameron.white", "enrico.cattaneo",
		"grady.archie", "isaiah.langer", "lidia.holloway", "nestor.wilke")
	delegates = addresses("delegate1", "delegate2", "delegate3", "delegate4", "admin",
		"alex", "megan.bowen", "raul.razo", "patti.fernandez", "henrietta.mueller")
)

func addresses(names ...string) (list []string) {
	for _, n := range names {
		list = append(list, n+"@contoso.com")
	}
	return list
}

// delegation sets a list of delegates that is unique for the mailbox: the set bits of the command's
// number choose them. The journal shows the list, and so the command. A mailbox has no more
// commands than there are lists.
func (s *Scenario) delegation(_, key, n int) (data, mark string) {
	var list []string
	for bit, delegate := range delegates {
		if n>>bit&1 == 1 {
			list = append(list, delegate)
		}
	}
	raw, _ := json.Marshal(list) // never fails
	return fmt.Sprintf(`{"mailbox":%q,"delegates":%s}`, mailboxes[key], raw), mailboxes[key] + " " + string(raw)
}

// inventory reads the mailboxes in many pages, so that kills come in the middle.
func (s *Scenario) inventory(_, _, _ int) (data, mark string) {
	return fmt.Sprintf(`{"mailboxType":"all","pageSize":%d}`, min(10+s.Commands/500, 1000)), ""
}
