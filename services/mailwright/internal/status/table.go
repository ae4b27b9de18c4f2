package status

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
)

var states = []event.State{
	event.StateReceived,
	event.StateStarted,
	event.StateWaiting,
	event.StateUnknown,
	event.StateSucceeded,
	event.StateFailed,
	event.StateRejected,
	event.StateCancelled,
}

// print writes the report as tables.
func (r Report) print(b *bytes.Buffer) {
	fmt.Fprintf(b, "%s\n\n", r.Time.Local().Format(time.DateTime))
	r.operations().print(b)
	r.commands().print(b)
	r.streams().print(b)
	r.projections().print(b)
}

// table is a heading, rows, and remarks below.
type table struct {
	rows    [][]string // the first is the heading
	remarks []string
}

// print aligns the first column to the left, the others to the right.
func (t table) print(b *bytes.Buffer) {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	widths[0] *= -1
	for _, row := range t.rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = fmt.Sprintf("%*s", widths[i], cell)
		}
		b.WriteString(strings.Join(cells, "  ") + "\n")
	}
	for _, remark := range t.remarks {
		fmt.Fprintf(b, "  %s\n", remark)
	}
	b.WriteByte('\n')
}

func (r Report) operations() table {
	t := table{rows: [][]string{{"OPERATIONS"}}}
	if !r.Postgres.Available {
		t.remarks = []string{r.Postgres.Problem}
		return t
	}
	for _, s := range states {
		t.rows[0] = append(t.rows[0], string(s))
	}
	for _, d := range event.Domains() {
		row := []string{string(d)}
		for _, s := range states {
			row = append(row, strconv.FormatInt(r.Operations[d][s], 10))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func (r Report) commands() table {
	t := table{rows: [][]string{{"COMMANDS", "partitions", "pending", "in flight"}}}
	for _, c := range r.Commands {
		row := []string{string(c.Domain), strconv.Itoa(c.Consumers), strconv.FormatUint(c.Pending, 10), strconv.Itoa(c.InFlight)}
		if c.Consumers == 0 {
			row[2], row[3] = "?", "?"
			t.remarks = append(t.remarks, fmt.Sprintf("%s-svc has not run yet", c.Domain))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func (r Report) streams() table {
	t := table{rows: [][]string{{"STREAMS", "messages", "size", "last sequence", "last message"}}}
	missing := false
	for _, s := range r.Streams {
		row := []string{s.Name, "-", "-", "-", "-"}
		if s.Exists {
			row = []string{s.Name, strconv.FormatUint(s.Messages, 10), size(s.Bytes), strconv.FormatUint(s.LastSequence, 10), "-"}
		}
		if s.LastTime != nil {
			row[4] = s.LastTime.Local().Format(time.DateTime)
		}
		missing = missing || !s.Exists
		t.rows = append(t.rows, row)
	}
	if missing {
		t.remarks = []string{"streams are made when the services start, or by 'mailwright dev'"}
	}
	return t
}

func (r Report) projections() table {
	t := table{rows: [][]string{{"PROJECTIONS", "stream", "position", "last sequence", "lag"}}}
	behind := false
	for _, p := range r.Projections {
		behind = behind || p.Lag > 0
		row := []string{p.Name, p.Stream}
		for _, n := range []uint64{p.Sequence, p.LastSequence, p.Lag} {
			row = append(row, strconv.FormatUint(n, 10))
		}
		t.rows = append(t.rows, row)
		if p.Foreign {
			t.remarks = append(t.remarks, p.Name+": its stream was deleted and made again; rebuild it")
		}
	}
	if behind {
		t.remarks = append(t.remarks, "lag counts also messages on subjects that a projection does not follow")
	}
	if len(r.Projections) == 0 {
		t.rows = [][]string{{"PROJECTIONS"}}
		t.remarks = []string{"none known"}
	}
	return t
}

// size is a number of bytes in three digits or so.
func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
