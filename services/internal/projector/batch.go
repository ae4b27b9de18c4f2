package projector

import (
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
)

// batch is what messages that are committed together change in one projection.
type batch []part

// part is messages whose change is written together, or one that cannot be applied.
type part struct {
	records       []Record
	write         Write
	unprojectable *UnprojectableError
}

// selectRecords picks the records that a member follows and does not reflect yet.
func (m *projectionState) selectRecords(records []Record, after int64) []Record {
	if first, last := records[0].Sequence, records[len(records)-1].Sequence; len(m.subjects) == 0 && first > after && last <= m.limit {
		return records
	}
	var wanted []Record
	for _, r := range records {
		if r.Sequence <= after || (len(m.subjects) > 0 && !slices.ContainsFunc(m.subjects, r.matches)) {
			continue
		}
		if r.Sequence > m.limit {
			m.sawBeyond = true
			break
		}
		wanted = append(wanted, r)
	}
	return wanted
}

// matches tells whether a record's subject fits a pattern of tokens and "*".
func (r Record) matches(pattern string) bool {
	for subject := r.Subject; ; {
		want, patternRest, more := strings.Cut(pattern, ".")
		have, subjectRest, also := strings.Cut(subject, ".")
		if (want != "*" && want != have) || more != also {
			return false
		}
		if !more {
			return true
		}
		pattern, subject = patternRest, subjectRest
	}
}

// newBatch reads records all at once; where some are unfit, the others.
func newBatch(p Projection, records []Record, log *slog.Logger) (b batch) {
	if len(records) == 0 {
		return nil
	}
	whole := read(p, records, log)
	if whole.unprojectable == nil {
		return batch{whole}
	}
	var fit []Record
	singles := split(p, records, log)
	for _, single := range singles {
		if single.unprojectable == nil {
			fit = append(fit, single.records...)
		} else {
			b = append(b, single)
		}
	}
	if len(fit) == 0 {
		return b
	}
	if whole = read(p, fit, log); whole.unprojectable != nil { // each is fit, but not all together
		return singles
	}
	return append(b, whole)
}

// split reads records one by one.
func split(p Projection, records []Record, log *slog.Logger) batch {
	parts := make(batch, len(records))
	for i := range records {
		parts[i] = read(p, records[i:i+1], log)
	}
	return parts
}

func read(p Projection, records []Record, log *slog.Logger) (result part) {
	result = part{records: records}
	defer func() {
		if r := recover(); r != nil {
			log.Error("panic", "panic", r, "stack", string(debug.Stack()))
			result.unprojectable = &UnprojectableError{"a fault of the program: it panicked"}
		}
	}()
	write, err := p.Read(records)
	result.write = write
	if err != nil {
		result.unprojectable = asUnprojectable(err)
	}
	return result
}
