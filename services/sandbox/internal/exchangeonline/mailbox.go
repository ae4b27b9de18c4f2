package exchangeonline

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

const displayNames = "IncludeGrantSendOnBehalfToWithDisplayNames"

// getMailbox is Get-Mailbox (page, "Supported cmdlets and parameters").
func (a *API) getMailbox(q *request) call.Answer {
	known := []string{"Identity", "ResultSize"}
	if a.world.Switches.Text(switches.ExchangeDisplayNames) != "unavailable" {
		known = append(known, displayNames)
	}
	if wrong := q.parameters.only(known...); wrong != nil {
		return *wrong
	}
	identity, wrong := q.parameters.text("Identity")
	if wrong != nil {
		return *wrong
	}
	withNames, wrong := q.parameters.flag(displayNames)
	if wrong != nil {
		return *wrong
	}
	size, wrong := pageSize(q)
	if wrong != nil {
		return *wrong
	}
	if identity != "" {
		return a.getOne(q, identity, withNames)
	}
	return a.list(q, size, withNames)
}

func (a *API) getOne(q *request, identity string, withNames bool) call.Answer {
	var rows []map[string]any
	a.world.View(func(tx *state.Tx) {
		for _, m := range tx.FindMailboxes(identity) {
			if a.visible(tx, m) {
				rows = append(rows, a.render(tx, m, withNames))
			}
		}
	})
	switch {
	case len(rows) == 0:
		return a.notFound(identity)
	case len(rows) > 1:
		return ambiguous(identity)
	}
	if wrong := a.project(q, rows); wrong != nil {
		return *wrong
	}
	switch a.world.Switches.Text(switches.ExchangeSingleShape) {
	case "array":
		return write(http.StatusOK, rows)
	case "object":
		return write(http.StatusOK, rows[0])
	}
	return collection(q, rows, "")
}

func ambiguous(identity string) call.Answer {
	return invalidOperation("Microsoft.Exchange.Configuration.Tasks.ManagementObjectAmbiguousException",
		"The operation couldn't be performed because '"+identity+"' matches multiple entries.")
}

func (a *API) list(q *request, size int, withNames bool) call.Answer {
	after, wrong := a.start(q)
	if wrong != nil {
		return *wrong
	}
	rows := []map[string]any{}
	more := false
	var last uint64
	a.world.View(func(tx *state.Tx) {
		tx.MailboxesAfter(after, func(m *state.Mailbox) bool {
			if !a.visible(tx, m) {
				return true
			}
			if more = size != unlimited && len(rows) == size; more {
				return false
			}
			rows = append(rows, a.render(tx, m, withNames))
			last = m.Seq
			return true
		})
	})
	if wrong := a.project(q, rows); wrong != nil {
		return *wrong
	}
	if more {
		return collection(q, rows, a.nextLink(q, last))
	}
	return collection(q, rows, "")
}

// visible reports whether a new mailbox has reached the domain controller that answers.
func (a *API) visible(tx *state.Tx, m *state.Mailbox) bool {
	lag := tx.Switches().Span(switches.ExchangeReadLag)
	return lag == 0 || !tx.Now().Before(m.Created.Add(lag))
}

// render shows a mailbox: the core properties of the page, and in preview's full output more.
func (a *API) render(tx *state.Tx, m *state.Mailbox, withNames bool) map[string]any {
	delegates := m.Delegates
	if lag := tx.Switches().Span(switches.ExchangeReadLag); lag > 0 && tx.Now().Before(m.DelegatesAt.Add(lag)) {
		delegates = m.PriorDelegates
	}
	addresses := []string{"SMTP:" + m.Primary}
	for _, other := range m.Secondary {
		addresses = append(addresses, "smtp:"+other)
	}
	row := map[string]any{
		"Identity": m.Alias, "Id": m.Alias, "Name": m.Name, "DisplayName": m.DisplayName, "UserPrincipalName": m.UPN,
		"Alias": m.Alias, "ExternalDirectoryObjectId": m.EntraID, "RecipientType": "UserMailbox",
		"RecipientTypeDetails": m.Type, "EmailAddresses": addresses, "PrimarySmtpAddress": m.Primary,
		"MaxSendSize": "35 MB (36,700,160 bytes)", "GrantSendOnBehalfTo": a.delegates(tx, delegates),
	}
	if withNames {
		row["GrantSendOnBehalfToWithDisplayNames"] = a.named(tx, delegates)
	}
	if a.world.Switches.Text(switches.ExchangeOutput) == "full" {
		row["Guid"], row["ExchangeGuid"], row["DistinguishedName"] = m.GUID, m.GUID, m.DN
		row["Database"], row["HiddenFromAddressListsEnabled"] = m.Database, m.Hidden
		row["WhenCreatedUTC"], row["WhenChangedUTC"] = m.Created.Format(time.RFC3339), m.Changed.Format(time.RFC3339)
		row["ProhibitSendReceiveQuota"] = fmt.Sprintf("%d MB", m.QuotaMB)
		row["IsMailboxEnabled"], row["IsValid"] = true, true
	}
	return row
}

func (a *API) delegates(tx *state.Tx, guids []string) []string {
	form := tx.Switches().Text(switches.ExchangeDelegateForm)
	shown := make([]string, 0, len(guids))
	for _, guid := range guids {
		r, ok := tx.RecipientByGUID(guid)
		switch {
		case !ok && a.hidesOrphans():
		case !ok:
			shown = append(shown, guid)
		case form == "name":
			shown = append(shown, r.Name)
		case form == "guid":
			shown = append(shown, r.GUID)
		default:
			shown = append(shown, r.Address)
		}
	}
	return shown
}

// hidesOrphans reports whether delegates who were deleted are left out of lists.
func (a *API) hidesOrphans() bool {
	return a.world.Switches.Text(switches.ExchangeOrphanShown) == "hidden"
}

func (a *API) named(tx *state.Tx, guids []string) []any {
	shown := make([]any, 0, len(guids))
	for _, guid := range guids {
		r, ok := tx.RecipientByGUID(guid)
		switch {
		case !ok && a.hidesOrphans():
		case !ok:
			shown = append(shown, guid)
		case tx.Switches().Text(switches.ExchangeDisplayNames) == "string":
			shown = append(shown, r.DisplayName)
		default:
			shown = append(shown, map[string]string{"DisplayName": r.DisplayName, "PrimarySmtpAddress": r.Address})
		}
	}
	return shown
}

// delegateChange is what Set-Mailbox asks for: the whole list, or additions and removals.
type delegateChange struct {
	overwrite   bool
	list        []string
	add, remove []string
}

// setMailbox is Set-Mailbox with GrantSendOnBehalfTo; other parameters are not exposed.
func (a *API) setMailbox(q *request) call.Answer {
	if wrong := q.parameters.only("Identity", "GrantSendOnBehalfTo"); wrong != nil {
		return *wrong
	}
	identity, wrong := q.parameters.text("Identity")
	if wrong != nil {
		return *wrong
	}
	if identity == "" {
		if a.world.Switches.On(switches.ExchangeSetNeedsIdentity) {
			return invalidOperation("System.Management.Automation.ParameterBindingException",
				"Cannot process command because of one or more missing mandatory parameters: Identity.")
		}
		_, identity, _ = strings.Cut(q.anchor, ":")
	}
	change, wrong := a.readChange(q.parameters)
	if wrong != nil {
		return *wrong
	}
	var refused *call.Answer
	var warnings []string
	err := a.world.Update(q.run.Origin, func(tx *state.Tx) error {
		warnings, refused = a.apply(tx, identity, change)
		if refused != nil {
			return fmt.Errorf("refused")
		}
		return nil
	})
	switch {
	case refused != nil:
		return *refused
	case err != nil:
		return fail(http.StatusInternalServerError, "InternalServerError", "Error executing cmdlet", "", err.Error())
	}
	if a.world.Switches.Text(switches.ExchangeSetBody) == "empty" && len(warnings) == 0 {
		return call.Answer{Status: http.StatusOK, Outcome: "delegates set", Committed: true}
	}
	answer := write(http.StatusOK, map[string]any{"adminapi.warnings@odata.type": "#Collection(String)", "@adminapi.warnings": warnings, "value": []any{}})
	answer.Outcome, answer.Committed = "delegates set", true
	return answer
}

// readChange reads the two forms of GrantSendOnBehalfTo (page, "Body" and Examples 3 and 4).
func (a *API) readChange(p parameters) (c delegateChange, wrong *call.Answer) {
	const name = "GrantSendOnBehalfTo"
	given, ok := p[strings.ToLower(name)]
	if !ok {
		refused := invalidOperation("System.Management.Automation.ParameterBindingException",
			"Cannot process command because of one or more missing mandatory parameters: "+name+".")
		return c, &refused
	}
	annotation, annotated := p[strings.ToLower(name)+"@odata.type"]
	if annotated && string(annotation.raw) != `"#Collection(String)"` {
		return c, wrongType(name, "annotated as #Collection(String)")
	}
	if json.Unmarshal(given.raw, &c.list) == nil && c.list != nil {
		c.overwrite = true
		if len(c.list) == 0 && a.world.Switches.Text(switches.ExchangeEmptyOverwrite) == "reject" {
			return c, wrongType(name, "a list that is not empty")
		}
		return c, nil
	}
	var table map[string]json.RawMessage
	if json.Unmarshal(given.raw, &table) != nil || table == nil || annotated {
		return c, wrongType(name, "an array of strings or a hash table")
	}
	return a.readHashTable(name, table)
}

// readHashTable reads the form with the members add and remove.
func (a *API) readHashTable(name string, table map[string]json.RawMessage) (c delegateChange, wrong *call.Answer) {
	typed := false
	for key, raw := range table {
		switch {
		case key == "@odata.type":
			if typed = string(raw) == `"#Exchange.GenericHashTable"`; !typed {
				return c, wrongType(name, "of the type #Exchange.GenericHashTable")
			}
		case strings.EqualFold(key, "add"):
			c.add, wrong = a.readList(name, raw)
		case strings.EqualFold(key, "remove"):
			c.remove, wrong = a.readList(name, raw)
		default:
			wrong = wrongType(name, "a hash table of add and remove")
		}
		if wrong != nil {
			return c, wrong
		}
	}
	if !typed && a.world.Switches.Text(switches.ExchangeHashTableType) == "require" {
		return c, wrongType(name, "of the type #Exchange.GenericHashTable")
	}
	if len(c.add)+len(c.remove) == 0 {
		return c, wrongType(name, "a hash table of add and remove")
	}
	return c, nil
}

func (a *API) readList(name string, raw json.RawMessage) (list []string, wrong *call.Answer) {
	var one string
	if string(raw) != "null" && json.Unmarshal(raw, &one) == nil && a.world.Switches.On(switches.ExchangeBareString) {
		return []string{one}, nil
	}
	if json.Unmarshal(raw, &list) != nil || list == nil {
		return nil, wrongType(name, "a hash table of arrays")
	}
	return list, nil
}

// apply changes the list of delegates as one act: all of it or, where a delegate is unknown,
// nothing.
func (a *API) apply(tx *state.Tx, identity string, change delegateChange) (warnings []string, refused *call.Answer) {
	found := slices.DeleteFunc(slices.Clone(tx.FindMailboxes(identity)), func(m *state.Mailbox) bool { return !a.visible(tx, m) })
	switch {
	case len(found) == 0:
		missing := a.notFound(identity)
		return nil, &missing
	case len(found) > 1:
		several := ambiguous(identity)
		return nil, &several
	}
	m := found[0].Clone()
	before := m.Delegates
	warn := func(format, who string) {
		if a.world.Switches.On(switches.ExchangeNoopWarnings) {
			warnings = append(warnings, fmt.Sprintf(format, who))
		}
	}
	var after []string
	add := change.list
	if !change.overwrite {
		after, add = slices.Clone(before), change.add
		for _, who := range change.remove {
			guid, refused := a.delegate(tx, m, who)
			if refused != nil && slices.Contains(before, strings.ToLower(who)) && a.world.Switches.Text(switches.ExchangeOrphanWrite) == "remove" {
				guid, refused = strings.ToLower(who), nil
			}
			if refused != nil {
				return nil, refused
			}
			if !slices.Contains(after, guid) {
				warn("The recipient %s is not a delegate.", who)
			}
			after = slices.DeleteFunc(after, func(other string) bool { return other == guid })
		}
	}
	for _, who := range add {
		guid, refused := a.delegate(tx, m, who)
		if refused != nil {
			return nil, refused
		}
		if slices.Contains(after, guid) {
			warn("The recipient %s is a delegate already.", who)
			continue
		}
		after = append(after, guid)
	}
	m.PriorDelegates, m.Delegates = before, after
	m.DelegatesAt, m.Changed = tx.Now(), tx.Now()
	tx.PutMailbox(m)
	return warnings, nil
}

// delegate resolves one entry of the list.
func (a *API) delegate(tx *state.Tx, owner *state.Mailbox, who string) (string, *call.Answer) {
	found := tx.FindRecipients(who)
	switch {
	case len(found) == 0:
		refused := invalidOperation("Microsoft.Exchange.Configuration.Tasks.RecipientNotFoundException",
			"Couldn't find object \""+who+"\". Please make sure that it was spelled correctly or specify a different object.")
		return "", &refused
	case len(found) > 1:
		refused := ambiguous(who)
		return "", &refused
	case found[0].GUID == owner.GUID && a.world.Switches.Text(switches.ExchangeSelfDelegate) == "reject":
		refused := invalidOperation("Microsoft.Exchange.Management.Tasks.RecipientTaskException", "A mailbox cannot be its own delegate.")
		return "", &refused
	}
	return found[0].GUID, nil
}
