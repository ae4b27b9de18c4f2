package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/journal"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
)

// mailboxView shows a mailbox with its delegates' addresses.
type mailboxView struct {
	state.Mailbox
	DelegateAddresses []string `json:"delegateAddresses"`
}

// objects shows what exists, for checkers.
func (a *API) objects(r *http.Request) (any, error) {
	q := r.URL.Query()
	most, err := limit(q.Get("limit"))
	if err != nil {
		return nil, err
	}
	shown := map[string]any{}
	a.World.View(func(tx *state.Tx) {
		shown["counts"] = tx.Counts()
		lists := map[string]func(visit func(row any) bool){
			"objects": func(visit func(any) bool) { tx.EachObject(func(o *state.Object) bool { return visit(o) }) },
			"mailboxes": func(visit func(any) bool) {
				tx.MailboxesAfter(0, func(m *state.Mailbox) bool { return visit(showMailbox(tx, m)) })
			},
			"views":   func(visit func(any) bool) { tx.ViewsAfter(0, func(v *state.View) bool { return visit(v) }) },
			"billing": func(visit func(any) bool) { tx.EachBillingEvent(func(b *state.BillingEvent) bool { return visit(b) }) },
			"groups":  func(visit func(any) bool) { tx.EachGroup(func(g *state.Group) bool { return visit(g) }) },
			"stores": func(visit func(any) bool) {
				for _, o := range tx.Seed().Hosted.Organizations {
					for _, s := range tx.Stores(o.Name) {
						visit(s)
					}
				}
			},
			"approvals": func(visit func(any) bool) {
				for _, approval := range tx.Approvals() {
					visit(approval)
				}
			},
		}
		kind := q.Get("kind")
		if kind != "" && lists[kind] == nil {
			err = fmt.Errorf("there is no kind %q", kind)
		}
		for name, list := range lists {
			if kind == "" || kind == name {
				shown[name] = collect(list, strings.ToLower(q.Get("match")), most)
			}
		}
	})
	return shown, err
}

// collect encodes up to most rows (0: all) whose JSON contains match, in any case.
func collect(each func(func(any) bool), match string, most int) []json.RawMessage {
	rows := []json.RawMessage{}
	each(func(row any) bool {
		text, err := json.Marshal(row)
		if err == nil && (match == "" || strings.Contains(strings.ToLower(string(text)), match)) {
			rows = append(rows, text)
		}
		return most == 0 || len(rows) < most
	})
	return rows
}

func showMailbox(tx *state.Tx, m *state.Mailbox) mailboxView {
	v := mailboxView{Mailbox: *m, DelegateAddresses: []string{}}
	for _, guid := range m.Delegates {
		if r, ok := tx.RecipientByGUID(guid); ok {
			v.DelegateAddresses = append(v.DelegateAddresses, r.Address)
		}
	}
	return v
}

func (a *API) approvals(*http.Request) (any, error) {
	list := []*state.Approval{}
	a.World.View(func(tx *state.Tx) { list = append(list, tx.Approvals()...) })
	return map[string]any{"approvals": list}, nil
}

// decide answers one suspended request, or all. An approved one is carried out as a call of its
// own.
func (a *API) decide(r *http.Request) (any, error) {
	var body struct {
		Decision string `json:"decision"`
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	verdicts := map[string]string{"approve": "Approved", "deny": "Denied"}
	if verdicts[body.Decision] == "" {
		return nil, fmt.Errorf("decision must be approve or deny")
	}
	var chosen []*state.Approval
	a.World.View(func(tx *state.Tx) {
		for _, approval := range tx.Approvals() {
			if id := r.PathValue("id"); approval.State == "Pending" && (id == "all" || id == approval.ID) {
				chosen = append(chosen, approval)
			}
		}
	})
	if len(chosen) == 0 && r.PathValue("id") != "all" {
		return nil, fmt.Errorf("no request %s is pending", r.PathValue("id"))
	}
	outcomes := make([]string, 0, len(chosen))
	for _, approval := range chosen {
		decided := *approval
		decided.State = verdicts[body.Decision]
		err := a.World.Update(state.Origin{}, func(tx *state.Tx) error {
			tx.PutApproval(&decided)
			return nil
		})
		if err != nil {
			return nil, err
		}
		outcomes = append(outcomes, a.carryOut(&decided))
	}
	return map[string]any{"decided": len(outcomes), "outcomes": outcomes}, nil
}

func (a *API) carryOut(approval *state.Approval) string {
	if approval.State != "Approved" {
		return "denied"
	}
	entry := journal.Entry{Sequence: a.Journal.Next(), Time: a.World.Now(), Vendor: "adaxes", Call: "approval", Target: approval.Target}
	answer := a.Approve(call.Run{Origin: state.Origin{
		Sequence: entry.Sequence, Vendor: entry.Vendor, Call: entry.Call, Target: entry.Target, At: entry.Time,
	}}, approval)
	entry.Status, entry.Outcome, entry.Committed = answer.Status, answer.Outcome, answer.Committed
	a.Journal.Add(entry)
	return answer.Outcome
}
