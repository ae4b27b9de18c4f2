package projection

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"reflect"
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

// A row is sent as the driver would send it.
func TestRowsAreEncodedAsTheDriverDoes(t *testing.T) {
	t.Parallel()
	s, n, yes, at := "ä", int64(-7), true, time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.FixedZone("", 3600))
	oids := []uint32{
		pgtype.TextOID, pgtype.TextOID, pgtype.Int8OID, pgtype.Int8OID, pgtype.BoolOID, pgtype.BoolOID,
		pgtype.TimestamptzOID, pgtype.TimestamptzOID, pgtype.JSONBOID, pgtype.TextArrayOID,
	}
	for i, row := range []every{
		{},
		{Texts: []string{}},
		{s, &s, 1 << 40, &n, true, &yes, at, &at, json.RawMessage(`{"a": 1}`), []string{"", s, "{,}"}},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			columns := columns(reflect.TypeFor[every]())
			want := append([]byte("PGCOPY\n\377\r\n\000"), make([]byte, 8)...)
			want = binary.BigEndian.AppendUint16(want, uint16(len(columns)))
			for i, c := range columns {
				value, err := pgtype.NewMap().Encode(oids[i], pgx.BinaryFormatCode, reflect.ValueOf(row).FieldByIndex(c.index).Interface(), []byte{})
				if err != nil {
					t.Fatal(err)
				}
				length := len(value)
				if value == nil {
					length = -1
				}
				want = append(binary.BigEndian.AppendUint32(want, uint32(int32(length))), value...)
			}
			want = binary.BigEndian.AppendUint16(want, 0xffff)
			if got := encode([]every{row}, columns); !bytes.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}
