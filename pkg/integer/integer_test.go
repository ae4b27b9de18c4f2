package integer_test

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/integer"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "-0": 0, "0.0": 0, "0e9": 0, "-0.00e-7": 0, "0e99999999999999999999": 0,
		"512": 512, "512.0": 512, "5.12e2": 512, "5.12E+2": 512, "51200e-2": 512, "0.512e3": 512, "5120.00e-1": 512,
		"-2147483136": -2147483136, "1.33e17": 133000000000000000, "1e18": 1000000000000000000,
		"9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64, "9223372036854775807.0": math.MaxInt64,
		"9007199254740993": 9007199254740993, "9007199254740993.0": 9007199254740993, // no float64 has it
		"9.223372036854775807e18": math.MaxInt64,
	} {
		if got, err := integer.Parse(text); got != want || err != nil {
			t.Errorf("%s: %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"": integer.ErrSyntax, "1.5": integer.ErrSyntax, "5.12e1": integer.ErrSyntax, "1e-1": integer.ErrSyntax, "4503599627370497.5": integer.ErrSyntax,
		"1e-99999999999999999999": integer.ErrSyntax, "+1": integer.ErrSyntax, "01": integer.ErrSyntax, "1.": integer.ErrSyntax, ".5": integer.ErrSyntax, "0x10": integer.ErrSyntax,
		"1_000": integer.ErrSyntax, " 1": integer.ErrSyntax, "NaN": integer.ErrSyntax, "Infinity": integer.ErrSyntax, `"1"`: integer.ErrSyntax, "null": integer.ErrSyntax, "1e": integer.ErrSyntax,
		"9223372036854775808": integer.ErrRange, "-9223372036854775809": integer.ErrRange, "1e19": integer.ErrRange, "1e999999": integer.ErrRange,
		"1e99999999999999999999": integer.ErrRange, "99999999999999999999": integer.ErrRange,
		strings.Repeat("1", integer.MaxLength+1): integer.ErrLength, "1." + strings.Repeat("0", 1<<20): integer.ErrLength,
	} {
		if got, err := integer.Parse(text); got != 0 || !errors.Is(err, want) {
			t.Errorf("%.40s: %d, %v; want %v", text, got, err, want)
		}
	}
}

// FuzzParse compares with big.Rat, for the exponents that it reads at no great cost.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"512.0", "5.12e2", "-1e-3", "9223372036854775808", "00", "1e5e5"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := integer.Parse(text)
		if i := strings.IndexAny(text, "eE"); len(text) > integer.MaxLength || i >= 0 && len(text)-i > 5 {
			return
		}
		exact, ok := new(big.Rat).SetString(text)
		fits := ok && exact.IsInt() && exact.Num().IsInt64()
		if err == nil && (!fits || exact.Num().Int64() != got) {
			t.Fatalf("%s: %d, %v", text, got, exact)
		}
		if errors.Is(err, integer.ErrRange) && fits {
			t.Fatalf("%s fits: %v", text, exact)
		}
	})
}
