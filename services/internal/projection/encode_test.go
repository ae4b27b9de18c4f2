package projection

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
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
				length := len(value)
				if value == nil {
					length = -1
				}
				want = append(binary.BigEndian.AppendUint32(want, uint32(int32(length))), value...)
			}
			if got := encode(rows, c); !bytes.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
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
