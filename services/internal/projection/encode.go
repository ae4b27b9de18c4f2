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

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/mailwright/mailwright/services/internal/projector"
)

// column is a column of a row type. index is that of its field, also through embedded structs.
type column struct {
	name  string
	index []int
	form
}

// form is how a Go type is sent to Postgres.
type form struct {
	// element is the type of the elements of the array that is sent.
	element string
	oid     uint32
	// cast makes the column's type of an element; "" if it has that type.
	cast   string
	append appender
}

// appender appends a field, given by its address, in Postgres' binary format: its length and its
// bytes, or the length -1 for NULL.
type appender func(to []byte, field any) []byte

var (
	textForm      = form{element: "text", oid: pgtype.TextOID}
	bigintForm    = form{element: "bigint", oid: pgtype.Int8OID}
	booleanForm   = form{element: "boolean", oid: pgtype.BoolOID}
	timestampForm = form{element: "timestamptz", oid: pgtype.TimestamptzOID}
	jsonbForm     = form{element: "jsonb", oid: pgtype.JSONBOID}
	// Postgres has no arrays of arrays.
	textsForm = form{element: "text", oid: pgtype.TextOID, cast: "::text[]"}
)

func (f form) with(a appender) form {
	f.append = a
	return f
}

var forms = map[reflect.Type]form{
	reflect.TypeFor[string]():          textForm.with(byAddress(appendText)),
	reflect.TypeFor[*string]():         textForm.with(nullable(appendText)),
	reflect.TypeFor[int64]():           bigintForm.with(byAddress(appendBigint)),
	reflect.TypeFor[*int64]():          bigintForm.with(nullable(appendBigint)),
	reflect.TypeFor[bool]():            booleanForm.with(byAddress(appendBoolean)),
	reflect.TypeFor[*bool]():           booleanForm.with(nullable(appendBoolean)),
	reflect.TypeFor[time.Time]():       timestampForm.with(byAddress(appendTimestamptz)),
	reflect.TypeFor[*time.Time]():      timestampForm.with(nullable(appendTimestamptz)),
	reflect.TypeFor[json.RawMessage](): jsonbForm.with(byAddress(appendJSONB)),
	reflect.TypeFor[[]string]():        textsForm.with(byAddress(appendTexts)),
}

// indexedForms are the forms of columns that are in a btree or gin index; see [indexable].
var indexedForms = map[reflect.Type]form{
	reflect.TypeFor[string]():  textForm.with(byAddress(appendIndexed)),
	reflect.TypeFor[*string](): textForm.with(nullable(appendIndexed)),
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
func columns(t reflect.Type) []column { return columnsAt(t, nil) }

func columnsAt(t reflect.Type, within []int) (list []column) {
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(slices.Clone(within), i)
		if f.Anonymous {
			list = append(list, columnsAt(f.Type, index)...)
		} else if name, option, _ := strings.Cut(f.Tag.Get("db"), ","); name != "" {
			known := forms
			if option == "indexed" {
				known = indexedForms
			}
			as, ok := known[f.Type]
			if !ok {
				panic(fmt.Sprintf("column %s: no form in Postgres for %s", name, f.Type))
			}
			list = append(list, column{name, index, as})
		}
	}
	return list
}

// encode returns a column of the rows as an array in Postgres' binary format. It takes the fields
// by their addresses: the driver takes values as interfaces, and making those takes longer than all
// other steps.
func encode[R any](rows []R, c column) projector.Encoded {
	const dimensions, nulls, lowerBound, perField = 1, 1, 1, 16 // perField is a guess
	to := make([]byte, 0, 20+len(rows)*perField)
	for _, n := range []int{dimensions, nulls, int(c.oid), len(rows), lowerBound} {
		to = appendLength(to, n)
	}
	for i := range rows {
		to = c.append(to, fieldOf(&rows[i], c))
	}
	return to
}

// fieldOf is the address of a column's field in a row.
func fieldOf[R any](row *R, c column) any {
	return reflect.ValueOf(row).Elem().FieldByIndex(c.index).Addr().Interface()
}

// encodeCopy returns the rows in COPY's binary format. Each column has the type of its form's
// elements.
func encodeCopy[R any](rows []R, columns []column) []byte {
	to := []byte("PGCOPY\n\377\r\n\000\000\000\000\000\000\000\000\000")
	for i := range rows {
		if i == 1 { // the others are about as long as the first
			to = slices.Grow(to, len(rows)*(len(to)+len(to)/8))
		}
		to = binary.BigEndian.AppendUint16(to, uint16(len(columns)))
		for _, c := range columns {
			to = c.append(to, fieldOf(&rows[i], c))
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

// appendTexts writes the text form of an array.
func appendTexts(to []byte, list *[]string) []byte {
	if *list == nil {
		return appendNull(to)
	}
	begin := len(to)
	to = append(appendLength(to, 0), '{') // the length is set at the end
	for i, item := range *list {
		if i > 0 {
			to = append(to, ',')
		}
		to = append(to, '"')
		to = append(to, quoteInArray.Replace(item)...)
		to = append(to, '"')
	}
	to = append(to, '}')
	binary.BigEndian.PutUint32(to[begin:], uint32(len(to)-begin-4))
	return to
}

var quoteInArray = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
