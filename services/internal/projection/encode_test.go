package projection

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// every has a column of each type.
type every struct {
	Text        string          `db:"text"`
	NoText      *string         `db:"no_text"`
	Bigint      int64           `db:"bigint"`
	NoBigint    *int64          `db:"no_bigint"`
	Boolean     bool            `db:"boolean"`
	NoBoolean   *bool           `db:"no_boolean"`
	Timestamp   time.Time       `db:"timestamp"`
	NoTimestamp *time.Time      `db:"no_timestamp"`
	JSON        json.RawMessage `db:"json"`
	Texts       []string        `db:"texts"`
}

// A column is sent as the driver would send it; a list of texts as text, since Postgres has no
// arrays of arrays.
func TestColumnsAreEncodedAsTheDriverDoes(t *testing.T) {
	t.Parallel()
	s, n, yes, at := "ä", int64(-7), true, time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.FixedZone("", 3600))
	rows := []every{
		{},
		{Texts: []string{}},
		{s, &s, 1 << 40, &n, true, &yes, at, &at, json.RawMessage(`{"a": 1}`), []string{"", s, "{,}", `\"`, "NULL", " "}},
	}
	for i, c := range columns(reflect.TypeFor[every]()) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			want := encode([]every{}, c)
			binary.BigEndian.PutUint32(want[12:], uint32(len(rows)))
			for _, row := range rows {
				value, err := encodeByDriver(c, reflect.ValueOf(row).Field(i).Interface())
				if err != nil {
					t.Fatal(err)
				}
				want = appendValue(want, value)
			}
			if got := encode(rows, c); !bytes.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// Rows are copied with the same values, row by row.
func TestRowsAreCopiedAsTheDriverDoes(t *testing.T) {
	t.Parallel()
	s, n, at := "ä", int64(-7), time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	rows := []every{
		{},
		{s, &s, 1 << 40, &n, true, new(bool), at, &at, json.RawMessage(`{"a": 1}`), []string{"", s}},
		{Text: strings.Repeat("long", 1000), Texts: []string{}},
	}
	all := columns(reflect.TypeFor[every]())
	want := []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	for _, row := range rows {
		want = binary.BigEndian.AppendUint16(want, uint16(len(all)))
		for i, c := range all {
			value, err := encodeByDriver(c, reflect.ValueOf(row).Field(i).Interface())
			if err != nil {
				t.Fatal(err)
			}
			want = appendValue(want, value)
		}
	}
	if got := encodeCopy(rows, all); !bytes.Equal(got, append(want, 0xff, 0xff)) {
		t.Errorf("%q, want %q", got, want)
	}
}

// appendValue appends a value's length and bytes, or -1 for nil.
func appendValue(to, value []byte) []byte {
	if value == nil {
		return binary.BigEndian.AppendUint32(to, math.MaxUint32)
	}
	return append(binary.BigEndian.AppendUint32(to, uint32(len(value))), value...)
}

func encodeByDriver(c column, value any) ([]byte, error) {
	types := pgtype.NewMap()
	list, ok := value.([]string)
	if !ok {
		return types.Encode(c.oid, pgx.BinaryFormatCode, value, []byte{})
	}
	if list == nil {
		return nil, nil
	}
	sent := appendTexts(nil, &list)[4:]
	var read []string
	if err := types.Scan(pgtype.TextArrayOID, pgx.TextFormatCode, sent, &read); err != nil || !slices.Equal(read, list) {
		return nil, fmt.Errorf("%q is read as %q: %w", sent, read, err)
	}
	return sent, nil
}
