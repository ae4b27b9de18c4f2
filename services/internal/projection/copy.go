package projection

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// column is a column of a row type. index is the path to its field through embedded structs.
type column struct {
	name   string
	index  []int
	append appender
}

// appender appends a field in COPY's binary format: its length and its bytes, or the length -1 for
// NULL. The column must have exactly the type that stands for the Go type.
type appender func(to []byte, field any) []byte

var appenders = map[reflect.Type]appender{
	reflect.TypeFor[string]():          byAddress(appendText),
	reflect.TypeFor[*string]():         nullable(appendText),
	reflect.TypeFor[int64]():           byAddress(appendBigint),
	reflect.TypeFor[*int64]():          nullable(appendBigint),
	reflect.TypeFor[bool]():            byAddress(appendBoolean),
	reflect.TypeFor[*bool]():           nullable(appendBoolean),
	reflect.TypeFor[time.Time]():       byAddress(appendTimestamptz),
	reflect.TypeFor[*time.Time]():      nullable(appendTimestamptz),
	reflect.TypeFor[json.RawMessage](): byAddress(appendJSONB),
	reflect.TypeFor[[]string]():        byAddress(appendTexts),
}

// indexedAppenders are the appenders of columns that are in a btree or gin index; see [indexable].
var indexedAppenders = map[reflect.Type]appender{
	reflect.TypeFor[string]():  byAddress(appendIndexed),
	reflect.TypeFor[*string](): nullable(appendIndexed),
}

func appendIndexed(to []byte, s *string) []byte {
	short := indexable(*s)
	return appendText(to, &short)
}

// maxIndexed is the maximum length of a text in an indexed column, in bytes. A btree refuses rows
// above 2,704 bytes, and the widest key has four such columns.
const maxIndexed = 600

// indexable shortens a text that is too long for an index. It ends with a hash, so that two texts
// with the same beginning stay different. A shortened text is returned as it is.
func indexable(s string) string {
	if len(s) <= maxIndexed {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	end := "… sha256:" + hex.EncodeToString(sum[:])
	return strings.ToValidUTF8(s[:maxIndexed-len(end)], "") + end
}

// columns lists the columns of a row type. The tag db gives the column's name, followed by
// ",indexed" if an index holds the column. A field that has the name of a field in an embedded
// struct does not hide it: both are columns.
func columns(t reflect.Type, within ...int) (list []column) {
	for i := range t.NumField() {
		f, index := t.Field(i), append(slices.Clone(within), i)
		if f.Anonymous {
			list = append(list, columns(f.Type, index...)...)
		} else if name, option, _ := strings.Cut(f.Tag.Get("db"), ","); name != "" {
			forms := appenders
			if option == "indexed" {
				forms = indexedAppenders
			}
			as, ok := forms[f.Type]
			if !ok {
				panic(fmt.Sprintf("column %s: no form in Postgres for %s", name, f.Type))
			}
			list = append(list, column{name, index, as})
		}
	}
	return list
}

// encode writes rows in COPY's binary format. It reads the fields in place: pgx.CopyFrom takes each
// field as an interface value, and making those takes longer than all other steps.
func encode[R any](rows []R, columns []column) []byte {
	const perField = 16 // a guess
	to := make([]byte, 0, len(rows)*len(columns)*perField)
	to = append(to, "PGCOPY\n\377\r\n\000\000\000\000\000\000\000\000\000"...)
	for i := range rows {
		row := reflect.ValueOf(&rows[i]).Elem()
		to = binary.BigEndian.AppendUint16(to, uint16(len(columns)))
		for _, c := range columns {
			to = c.append(to, row.FieldByIndex(c.index).Addr().Interface())
		}
	}
	return binary.BigEndian.AppendUint16(to, 0xffff) // the end
}

// byAddress adapts a function that takes the address of a field. nullable does so for a field that
// is a pointer, and writes NULL for nil.
func byAddress[T any](as func([]byte, *T) []byte) appender {
	return func(to []byte, field any) []byte { return as(to, field.(*T)) }
}

func nullable[T any](as func([]byte, *T) []byte) appender {
	return func(to []byte, field any) []byte {
		if v := *field.(**T); v != nil {
			return as(to, v)
		}
		return appendNull(to)
	}
}

func appendNull(to []byte) []byte { return binary.BigEndian.AppendUint32(to, 0xffffffff) }

func appendLength(to []byte, n int) []byte { return binary.BigEndian.AppendUint32(to, uint32(n)) }

func appendText(to []byte, s *string) []byte { return append(appendLength(to, len(*s)), *s...) }

func appendBigint(to []byte, n *int64) []byte {
	return binary.BigEndian.AppendUint64(appendLength(to, 8), uint64(*n))
}

func appendBoolean(to []byte, is *bool) []byte {
	if *is {
		return append(appendLength(to, 1), 1)
	}
	return append(appendLength(to, 1), 0)
}

// appendTimestamptz writes microseconds since 2000.
func appendTimestamptz(to []byte, t *time.Time) []byte {
	const from1970to2000 = 946_684_800_000_000
	n := t.UnixMicro() - from1970to2000
	return appendBigint(to, &n)
}

func appendJSONB(to []byte, raw *json.RawMessage) []byte {
	if *raw == nil {
		return appendNull(to)
	}
	const version = 1
	return append(append(appendLength(to, 1+len(*raw)), version), *raw...)
}

// appendTexts writes a one-dimensional array whose first index is 1.
func appendTexts(to []byte, list *[]string) []byte {
	if *list == nil {
		return appendNull(to)
	}
	const dimensions, nulls, textType, lowerBound = 1, 0, 25, 1
	begin := len(to)
	to = appendLength(to, 0) // set at the end
	for _, n := range []int{dimensions, nulls, textType, len(*list), lowerBound} {
		to = appendLength(to, n)
	}
	for i := range *list {
		to = appendText(to, &(*list)[i])
	}
	binary.BigEndian.PutUint32(to[begin:], uint32(len(to)-begin-4))
	return to
}
