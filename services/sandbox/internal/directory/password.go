package directory

import (
	"fmt"
	"strings"
	"unicode"
)

// PasswordPolicy is a domain's rule for passwords.
type PasswordPolicy struct {
	// MinLength in characters; 7 is the default of a new Windows domain.
	MinLength int `yaml:"minLength" json:"minLength"`
	// Complexity asks for three of the four kinds of character and refuses the account's own names.
	Complexity bool `yaml:"complexity" json:"complexity"`
}

// Check says why a password is refused, never repeating it.
func (p PasswordPolicy) Check(password string, names ...string) error {
	if n := len([]rune(password)); n < p.MinLength {
		return fmt.Errorf("it has fewer than %d characters", p.MinLength)
	}
	if !p.Complexity {
		return nil
	}
	if kinds(password) < 3 {
		return fmt.Errorf("it has fewer than three kinds of character")
	}
	lower := strings.ToLower(password)
	for _, name := range names {
		for _, token := range strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune(" ,.-_#\t", r) }) {
			if len(token) >= 3 && strings.Contains(lower, token) {
				return fmt.Errorf("it contains a name of the account")
			}
		}
	}
	return nil
}

func kinds(password string) int {
	var upper, lower, digit, other int
	for _, r := range password {
		switch {
		case unicode.IsUpper(r):
			upper = 1
		case unicode.IsLower(r):
			lower = 1
		case unicode.IsDigit(r):
			digit = 1
		default:
			other = 1
		}
	}
	return upper + lower + digit + other
}
