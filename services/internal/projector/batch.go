package projector

import (
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
)

// batch is the writes of one projection that are committed together.
type batch []part

// part is the write for some records, or the reason why they cannot be applied.
type part struct {
	records       []Record
	write         Write
	unprojectable *UnprojectableError
}

// selectRecords returns the records that the projection follows, after its position and up to its
// limit.
func (s *projectionState) selectRecords(records []Record, after int64) []Record {
	first, last := records[0].Sequence, records[len(records)-1].Sequence
	if len(s.subjects) == 0 && first > after && last <= s.limit {
		return records
	}
	var wanted []Record
	for _, r := range records {
		if r.Sequence <= after || (len(s.subjects) > 0 && !slices.ContainsFunc(s.subjects, r.matches)) {
			continue
		}
		if r.Sequence > s.limit {
			s.sawBeyond = true
			break
		}
		wanted = append(wanted, r)
	}
	return wanted
}

// matches reports whether the record's subject matches a pattern of tokens and "*".
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

// newBatch turns records into one write. If some are unprojectable, they become parts of their own,
// and the others one write.
func newBatch(p Projection, records []Record, log *slog.Logger) (b batch) {
	if len(records) == 0 {
		return nil
	}
	whole := read(p, records, log)
	if whole.unprojectable == nil {
		return batch{whole}
	}
	var projectable []Record
	singles := split(p, records, log)
	for _, single := range singles {
		if single.unprojectable == nil {
			projectable = append(projectable, single.records...)
		} else {
			b = append(b, single)
		}
	}
	if len(projectable) == 0 {
		return b
	}
	if whole = read(p, projectable, log); whole.unprojectable != nil { // each is projectable alone, but not all together
		return singles
	}
	return append(b, whole)
}

// split turns each record into a part of its own.
func split(p Projection, records []Record, log *slog.Logger) batch {
	parts := make(batch, len(records))
	for i := range records {
		parts[i] = read(p, records[i:i+1], log)
	}
	return parts
}

// read turns records into a part. A panic of the projection makes the records unprojectable.
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
