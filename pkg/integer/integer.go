// Package integer reads the integers of JSON exactly.
package integer

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
)

// MaxLength is how many characters a number may have. The longest 64-bit integer has 20.
const MaxLength = 32

// The errors of Parse. Their texts tell what is wrong with a field.
var (
	ErrSyntax = errors.New("must be an integer")
	ErrLength = errors.New("must be a number of at most 32 characters")
	ErrRange  = errors.New("must fit into 64 bits: from -9223372036854775808 to 9223372036854775807")
)

// number is RFC 8259 section 6: sign, integer part, fraction, exponent.
var number = regexp.MustCompile(`^(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$`)

// Parse reads a JSON number whose value is an integer in the sense of JSON Schema (2020-12, core
// 4.2.3 and validation 6.1.1): 512, 512.0 and 5.12e2 are the same. The result is exact. The cost is
// bounded by [MaxLength].
//
// Errors: ErrLength, ErrSyntax where text is no JSON number or its value no integer, ErrRange
// beyond 64 bits.
func Parse(text string) (int64, error) {
	if len(text) > MaxLength {
		return 0, ErrLength
	}
	part := number.FindStringSubmatch(text)
	if part == nil {
		return 0, ErrSyntax
	}
	sign, fraction, exponent := part[1], part[3], part[4]
	digits := strings.TrimLeft(part[2]+fraction, "0")
	if digits == "" {
		return 0, nil
	}
	shift, err := strconv.Atoi("0" + strings.TrimLeft(exponent, "+-"))
	if err != nil {
		shift = 1 << 30 // more digits than an int has: beyond any number that fits
	}
	if strings.HasPrefix(exponent, "-") {
		shift = -shift
	}
	return scale(sign, digits, shift-len(fraction))
}

// scale gives sign, digits times ten to the power of exponent. digits begins with none of 0.
func scale(sign, digits string, exponent int) (int64, error) {
	significant := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(significant)
	switch {
	case exponent < 0:
		return 0, ErrSyntax // its last digit that counts stands behind the point
	case len(significant)+exponent > maxDigits:
		return 0, ErrRange
	}
	n, err := strconv.ParseInt(sign+significant+strings.Repeat("0", exponent), 10, 64)
	if err != nil {
		return 0, ErrRange
	}
	return n, nil
}

// maxDigits is how many digits the greatest 64-bit integer has.
const maxDigits = 19
