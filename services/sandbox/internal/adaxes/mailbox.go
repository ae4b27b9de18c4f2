package adaxes

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
	"github.com/mailwright/mailwright/services/sandbox/internal/fault"
	"github.com/mailwright/mailwright/services/sandbox/internal/seed"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// mailboxRequest is the body of Create Exchange mailbox, checked.
type mailboxRequest struct {
	object, alias, template, storage string
}

// mailboxInfo is extraInfo of its result: homeMDB is the database's name, not its DN.
type mailboxInfo struct {
	MailNickname string `json:"mailNickname"`
	Mail         string `json:"mail"`
	HomeMDB      string `json:"homeMDB"`
}

// createMailbox is POST ~/api/directoryObjects/exchange/mailbox.
func (a *API) createMailbox(_ *http.Request, body []byte) call.Operation {
	p := a.parse(body, "directoryObject", "mailboxParameters")
	q := mailboxRequest{object: p.text("directoryObject", true)}
	if parameters := p.child("mailboxParameters", true, "alias", "aliasTemplate", "mailboxStorage"); parameters != nil {
		q.alias = parameters.text("alias", false)
		q.template = parameters.text("aliasTemplate", false)
		q.storage = parameters.text("mailboxStorage", false)
		if q.alias == "" && q.template == "" {
			if a.world.Switches.Text(switches.AdaxesAliasMissing) == "reject" {
				p.faults.add("mailboxParameters.alias", "Either alias or aliasTemplate is required.")
			}
			q.template = "%username%"
		}
	}
	return call.Operation{Target: q.object, Run: func(run call.Run) call.Answer {
		if p.failed() {
			return invalid(p.faults)
		}
		if run.Twist == fault.Suspend {
			return a.suspend("create-mailbox", q.object, body)
		}
		var messages []message
		if run.Twist == fault.Partial {
			messages = []message{note(warning, "The mailbox has been created, but its settings could not be applied.")}
		}
		var dn string
		var info mailboxInfo
		err := a.world.Update(run.Origin, func(tx *state.Tx) error {
			o, err := a.mailUser(tx, q.object)
			if err != nil {
				return err
			}
			dn = o.DN
			info, err = enable(tx, o, q)
			return err
		})
		if err != nil {
			return a.declined(err)
		}
		return success(dn, messages, info)
	}}
}

// mailUser finds the user who is to get a mailbox: on-premises only.
func (a *API) mailUser(tx *state.Tx, id string) (*state.Object, error) {
	o := tx.Object(id)
	if o == nil || a.hidden(tx, o) {
		return nil, refuse(http.StatusNotFound, fmt.Sprintf("The object '%s' does not exist.", id))
	}
	if o.Class != "user" {
		return nil, refuse(http.StatusBadRequest, "A mailbox can be created for a user only.")
	}
	if domain := tx.Seed().Domain(o.Domain); domain == nil || domain.Azure || len(domain.Databases) == 0 {
		return nil, refuse(http.StatusBadRequest, "There is no Exchange server in the domain of the user.")
	}
	return o, nil
}

// enable creates the mailbox. Alias wins over the template (page, mailboxParameters.alias).
func enable(tx *state.Tx, o *state.Object, q mailboxRequest) (mailboxInfo, error) {
	alias := q.alias
	if alias == "" {
		alias = legalAlias(resolve(q.template, o.Text))
	}
	domain := tx.Seed().Domain(o.Domain)
	database, err := chooseDatabase(tx, domain.Databases, q.storage)
	if err != nil {
		return mailboxInfo{}, err
	}
	made, err := tx.AddMailbox(state.NewMailbox{
		Object: o, Organization: domain.Organization, Alias: alias,
		Address: alias + "@" + tx.DefaultDomain(domain.Organization), Database: directory.Name(database.DN), QuotaMB: 102400,
	})
	if err != nil {
		return mailboxInfo{}, refuse(http.StatusConflict, upper(err.Error())+".")
	}
	c := tx.Object(o.GUID).Clone()
	c.Properties["homeMDB"] = []any{database.DN}
	c.Properties["msExchMailboxGuid"] = []any{binaryGUID(made.GUID)}
	tx.PutObject(c)
	return mailboxInfo{made.Alias, made.Primary, made.Database}, nil
}

// chooseDatabase finds the named database, or the one with the fewest mailboxes.
func chooseDatabase(tx *state.Tx, databases []seed.Database, id string) (seed.Database, error) {
	if id == "" {
		return slices.MinFunc(databases, func(x, y seed.Database) int {
			return x.Mailboxes + tx.MailboxesIn(directory.Name(x.DN)) - y.Mailboxes - tx.MailboxesIn(directory.Name(y.DN))
		}), nil
	}
	for _, d := range databases {
		if strings.EqualFold(d.GUID, id) || directory.Fold(d.DN) == directory.Fold(id) {
			return d, nil
		}
	}
	return seed.Database{}, refuse(http.StatusNotFound, fmt.Sprintf("The mailbox database '%s' does not exist.", id))
}

// binaryGUID is a GUID as JSON shows a directory's: base64 of its bytes there.
func binaryGUID(guid string) string {
	return base64.StdEncoding.EncodeToString(directory.BinaryGUID(guid))
}

func upper(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
