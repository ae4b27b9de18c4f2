package bulk

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/render"
)

// entry is a row with the command that it makes.
type entry struct {
	row     int
	id      string // without the suffix of a further attempt
	attempt int
	command client.Command
	message *nats.Msg
	receipt client.Receipt
	faults  []fault
}

// maker makes commands of rows.
type maker struct {
	mapping    *mapping
	tenant     string // that the call names
	onlyTenant string // of the running system
	plan       bool
	attempt    int
	now        time.Time
	used       []string // the mapping's usedColumns
}

// make makes the command of a row, and checks the message that would be published, in the words in
// which its service would reject it.
func (m maker) make(r row) *entry {
	e := &entry{row: r.number, attempt: m.attempt}
	if r.fault != "" {
		e.faults = []fault{{row: r.number, problem: r.fault}}
		return e
	}
	if e.faults = m.checkCells(r); len(e.faults) == 0 {
		m.build(e, r)
	}
	if len(e.faults) == 0 {
		m.check(e, r)
	}
	for i := range e.faults {
		e.faults[i].row = r.number
	}
	return e
}

// spreadsheetErrors are what a formula leaves in a cell that could not be computed.
var spreadsheetErrors = []string{"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!"}

// checkCells finds cells that would make a wrong command although each template could be carried
// out.
func (m maker) checkCells(r row) (faults []fault) {
	for _, c := range m.used {
		if slices.Contains(spreadsheetErrors, strings.TrimSpace(r.cells[c])) {
			const problem = "holds a spreadsheet's error, such as #N/A, in the place of a value"
			faults = append(faults, fault{columns: []string{c}, problem: problem})
		}
	}
	for _, c := range slices.Concat(m.mapping.Identify, m.mapping.attributes[idMember].columns) {
		if isBlank(r.cells[c]) {
			faults = append(faults, fault{columns: []string{c}, problem: "is empty; it tells the row from others"})
		}
	}
	return faults
}

// usedColumns are those that the mapping uses, each once.
func (m *mapping) usedColumns() []string {
	all := slices.Clone(m.Identify)
	for _, name := range templates {
		all = append(all, m.attributes[name].columns...)
	}
	m.data.each("", func(_ string, s scalar) { all = append(all, s.text.columns...) })
	slices.Sort(all)
	return slices.Compact(all)
}

// build fills in the command of an entry.
func (m maker) build(e *entry, r row) {
	attributes := map[string]string{}
	for _, name := range templates {
		v, err := m.mapping.attributes[name].render(r.cells)
		if err != nil {
			e.faults = append(e.faults, fault{columns: m.mapping.attributes[name].columns, field: name, problem: err.Error()})
		}
		attributes[name] = v
	}
	rendering := &rendering{cells: r.cells, omitEmpty: m.mapping.OmitEmpty}
	data, _ := m.mapping.data.render(rendering, "")
	if e.faults = append(e.faults, rendering.faults...); len(e.faults) > 0 {
		return
	}
	e.id = cmp.Or(attributes[idMember], m.hash(r))
	ce, err := event.New(attemptID(e.id, m.attempt), m.mapping.Source, m.mapping.Type, data)
	if err != nil {
		e.faults = append(e.faults, fault{field: "data", problem: "is not JSON"})
		return
	}
	ce.SetTime(m.now)
	if subject := attributes["subject"]; !isBlank(subject) {
		ce.SetSubject(subject)
	}
	for _, name := range []string{event.AttrCorrelationID, event.AttrCausationID, event.AttrNotBefore, event.AttrExpiryTime} {
		event.Extend(&ce, event.Attribute{Name: name, Value: attributes[name]})
	}
	if m.plan {
		event.Extend(&ce, event.Attribute{Name: event.AttrDryRun, Value: "true"})
	}
	tenant := attributes[tenantMember]
	if tenant != "" && m.tenant != "" && tenant != m.tenant {
		e.faults = append(e.faults, fault{
			columns: m.mapping.attributes[tenantMember].columns,
			field:   tenantMember,
			problem: "is another in the mapping than in --tenant",
		})
	}
	e.command = client.Command{
		Event:  ce,
		Tenant: cmp.Or(tenant, m.tenant, m.onlyTenant),
		Domain: event.Domain(m.mapping.Domain),
		Key:    attributes[keyMember],
	}
}

// hash is the id of a row by its identifying columns: the same in every file, for each type of
// command another.
func (m maker) hash(r row) string {
	h := sha256.New()
	for _, c := range m.mapping.Identify {
		_, _ = fmt.Fprintf(h, "%q=%q\n", c, strings.TrimSpace(r.cells[c]))
	}
	sum := base32.StdEncoding.EncodeToString(h.Sum(nil))
	return render.Short(m.mapping.Type) + "-" + strings.ToLower(sum[:26])
}

// attemptID is the id of a further attempt: a service answers an id that it has seen from its
// record.
func attemptID(id string, attempt int) string {
	if attempt <= 1 {
		return id
	}
	return fmt.Sprintf("%s#%d", id, attempt)
}

// operation names the operation of another attempt of the entry's row.
func (e *entry) operation(attempt int) string {
	id := attemptID(e.id, attempt)
	if event.Extension(e.command.Event, event.AttrDryRun) != "" {
		return event.PlanID(e.command.Tenant, e.command.Source(), id)
	}
	return event.OperationID(e.command.Tenant, e.command.Source(), id)
}

// check makes the message and reads it as its service would.
func (m maker) check(e *entry, r row) {
	found, err := e.problems()
	if err != nil {
		e.faults = []fault{{columns: m.mapping.attributes[keyMember].columns, problem: err.Error()}}
		return
	}
	if len(found) == 0 {
		return
	}
	origins := &rendering{cells: r.cells, omitEmpty: m.mapping.OmitEmpty, origins: map[string][]string{}}
	m.mapping.data.render(origins, "")
	for _, f := range found {
		e.faults = append(e.faults, fault{columns: m.mapping.columnsOf(f.Field, origins.origins), field: f.Field, problem: f.Problem})
	}
}

// problems fills in the entry's message, and gives what is wrong with it. The error is that there
// is none.
func (e *entry) problems() ([]event.Fault, error) {
	var err error
	if e.message, e.receipt, err = e.command.Message(); err != nil {
		if faults := event.Check(e.command.Event); len(faults) > 0 { // such as that nothing gives a key
			return faults, nil
		}
		return nil, err
	}
	c, err := event.ReadCommand(e.message.Header, e.message.Data)
	if err != nil {
		return nil, err
	}
	return c.Check(), nil
}

// columnsOf gives the columns that a fault's field was made of: its own and those of its parts,
// else those of what it is a part of.
func (m *mapping) columnsOf(field string, origins map[string][]string) (columns []string) {
	if !strings.HasPrefix(field, "/") {
		switch field {
		case event.AttrTenantID:
			field = tenantMember
		case idMember:
			return slices.Concat(m.attributes[idMember].columns, m.Identify)
		}
		return m.attributes[field].columns
	}
	for at, c := range origins {
		if at == field || strings.HasPrefix(at, field+"/") {
			columns = append(columns, c...)
		}
	}
	for at := field; len(columns) == 0 && at != ""; at = at[:strings.LastIndex(at, "/")] {
		columns = origins[at]
	}
	columns = slices.Clone(columns)
	slices.Sort(columns)
	return slices.Compact(columns)
}

// makeAll makes the command of every row. A row with the id of an earlier one is a fault: of two
// rows that differ one would end as a conflict.
func (m maker) makeAll(t table) []*entry {
	entries := make([]*entry, len(t.rows))
	first := map[string]int{} // row by operation
	for i, r := range t.rows {
		e := m.make(r)
		entries[i] = e
		if e.message == nil {
			continue
		}
		if row, twice := first[e.receipt.OperationID]; twice {
			e.faults = append(e.faults, fault{
				row:     r.number,
				columns: slices.Concat(m.mapping.Identify, m.mapping.attributes[idMember].columns),
				problem: fmt.Sprintf("stands for the same command as row %d; each row needs an id of its own", row),
			})
			continue
		}
		first[e.receipt.OperationID] = r.number
	}
	return entries
}

func faultsOf(entries []*entry) (all []fault) {
	for _, e := range entries {
		all = append(all, e.faults...)
	}
	return all
}
