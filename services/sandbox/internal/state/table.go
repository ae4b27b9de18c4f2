package state

import (
	"encoding/json"
	"slices"
	"sort"
)

// row is an entry of a table: a pointer to an immutable value. A row is changed by putting a copy.
type row interface {
	key() string
	seq() *uint64
}

// table is a map with indexes and a stable order: that of first insertion.
type table[R row] struct {
	name    string
	fresh   func() R
	rows    map[string]R
	order   []slot
	last    uint64
	indexes []*index[R]
	tally   *tally[R]
	changed func(key string) // told of every put and delete; may be nil
}

type slot struct {
	seq uint64
	key string
}

// index finds rows by the keys that a function derives from them.
type index[R row] struct {
	keys func(R) []string
	at   map[string][]R
}

// tally counts the rows of large groups, where an index would be slow to change.
type tally[R row] struct {
	group func(R) string
	count map[string]int
}

func newTable[R row](name string, fresh func() R, indexes ...*index[R]) *table[R] {
	return &table[R]{name: name, fresh: fresh, rows: map[string]R{}, indexes: indexes, tally: &tally[R]{count: map[string]int{}}}
}

// tallied lets a table count its rows by group.
func (t *table[R]) tallied(group func(R) string) *table[R] {
	t.tally.group = group
	return t
}

func (t *tally[R]) add(r R, n int) {
	if t.group != nil {
		t.count[t.group(r)] += n
	}
}

func indexBy[R row](keys func(R) []string) *index[R] {
	return &index[R]{keys: keys, at: map[string][]R{}}
}

func (t *table[R]) get(key string) (R, bool) {
	r, ok := t.rows[key]
	return r, ok
}

func (t *table[R]) put(r R) {
	key := r.key()
	old, existed := t.rows[key]
	if existed {
		*r.seq() = *old.seq()
		t.unindex(old)
	} else {
		if *r.seq() == 0 {
			*r.seq() = t.last + 1
		}
		t.last = max(t.last, *r.seq())
		t.place(slot{*r.seq(), key})
	}
	t.rows[key] = r
	for _, ix := range t.indexes {
		for _, k := range ix.keys(r) {
			ix.at[k] = append(ix.at[k], r)
		}
	}
	t.tally.add(r, 1)
	if t.changed != nil {
		t.changed(key)
	}
}

// place keeps the order sorted; nearly always it appends.
func (t *table[R]) place(s slot) {
	at := len(t.order)
	if at > 0 && t.order[at-1].seq > s.seq {
		at = sort.Search(len(t.order), func(i int) bool { return t.order[i].seq >= s.seq })
	}
	t.order = slices.Insert(t.order, at, s)
}

func (t *table[R]) delete(key string) {
	old, ok := t.rows[key]
	if !ok {
		return
	}
	t.unindex(old)
	delete(t.rows, key)
	if at := t.from(*old.seq() - 1); at < len(t.order) && t.order[at].key == key {
		t.order = slices.Delete(t.order, at, at+1)
	}
	if t.changed != nil {
		t.changed(key)
	}
}

func (t *table[R]) unindex(r R) {
	t.tally.add(r, -1)
	for _, ix := range t.indexes {
		for _, k := range ix.keys(r) {
			left := slices.DeleteFunc(slices.Clone(ix.at[k]), func(other R) bool { return other.key() == r.key() })
			if len(left) == 0 {
				delete(ix.at, k)
			} else {
				ix.at[k] = left
			}
		}
	}
}

// from is the position of the first row inserted after the one numbered seq.
func (t *table[R]) from(seq uint64) int {
	return sort.Search(len(t.order), func(i int) bool { return t.order[i].seq > seq })
}

// after walks the rows inserted after the one numbered seq, until visit says false.
func (t *table[R]) after(seq uint64, visit func(R) bool) {
	for _, s := range t.order[t.from(seq):] {
		if !visit(t.rows[s.key]) {
			return
		}
	}
}

// replay applies one change out of the log; no value means delete.
func (t *table[R]) replay(key string, value json.RawMessage) error {
	if value == nil {
		t.delete(key)
		return nil
	}
	r := t.fresh()
	if err := decodeNumbers(value, r); err != nil {
		return err
	}
	t.put(r)
	return nil
}
