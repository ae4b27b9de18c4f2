package adaxes_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/pkg/vendors/adaxes"
	"github.com/mailwright/mailwright/pkg/vendors/transport"
)

// TestSafeText fixes what of a vendor's text may be read by everybody: enough to understand it, no password.
func TestSafeText(t *testing.T) {
	t.Parallel()
	tests := []struct{ text, want string }{
		{
			"A temporary password has been assigned to the user's Microsoft 365 account. The temporary password is Rg8^6H#c.",
			"A temporary password has been assigned to the user's Microsoft 365 account. The temporary password is [redacted].",
		},
		{"The temporary password is a.b.c. Tell nobody.", "The temporary password is [redacted]. Tell nobody."},
		{"The password is secretword", "The password is [redacted]"},
		{"Password: secretword (new)", "Password: [redacted] (new)"},
		{"The password was reset to secretword.", "The password was reset to [redacted]"},
		{"The password 'two words1' was refused", "The password [redacted] was refused"},
		{"The user's password can't be set: \"Secret1\".", "The user's password can't be set: [redacted]."},
		{"The rule 'Create a mailbox' ran", "The rule 'Create a mailbox' ran"},
		{"Das temporäre Kennwort lautet Geheim", "Das temporäre Kennwort lautet [redacted]"},
		{"Le mot de passe est Secret1", "Le mot de passe est [redacted]"},
		{"Новый пароль: тайна", "Новый пароль: [redacted]"},
		{"The password does not meet the password policy requirements. Check the minimum length.", "The password does not meet the password policy requirements. Check the minimum length."},
		{"Assigned Rg8^6H#c.", "Assigned [redacted]"},
		{"License O365_BUSINESS was assigned to John.Smith1@example.com in CN=User1,OU=Staff,DC=example,DC=com", "License O365_BUSINESS was assigned to John.Smith1@example.com in CN=User1,OU=Staff,DC=example,DC=com"},
		{"The server dc01.corp.example.com is not operational (0x8007203A)", "The server [host] is not operational (0x8007203A)"},
		{`See https://host/x or \\files\share, port dc1.corp.example.com:389`, "See [host] or [host] port [host]"},
		{"First line.\r\nat Adaxes.Inner()", "First line."},
		{"  ", ""},
		{"bad \xff bytes", "bad \ufffd bytes"}, // JSON itself replaces them
		{strings.Repeat("word ", 100), strings.Repeat("word ", 60) + "…"},
	}
	for _, tt := range tests {
		if got := safeText(t, adaxes.Config{}, tt.text); got != tt.want {
			t.Errorf("%q\n got %q\nwant %q", tt.text, got, tt.want)
		}
	}
}

func TestTemporaryPasswordPatternIsConfigurable(t *testing.T) {
	t.Parallel()
	cfg := adaxes.Config{TemporaryPassword: regexp.MustCompile(`väliaikainen on (\S+)`)}
	if got := safeText(t, cfg, "väliaikainen on salainen nyt"); got != "väliaikainen on [redacted] nyt" {
		t.Errorf("got %q", got)
	}
	_, err := adaxes.New(adaxes.Config{BaseURL: "http://x", Token: secret.New("t"), TemporaryPassword: regexp.MustCompile(`x`)})
	if err == nil || !strings.Contains(err.Error(), "TemporaryPassword must") {
		t.Error(err)
	}
}

// FuzzSafeText: a password of the usual make is never readable, whatever stands around it.
func FuzzSafeText(f *testing.F) {
	f.Add("The temporary password is ", ".")
	f.Add("x ", " y")
	f.Add("password:\t", "\n")
	f.Fuzz(func(t *testing.T, before, after string) {
		const password = "Rg8^6H#c"
		if strings.Contains(safeText(t, adaxes.Config{}, before+" "+password+" "+after), password) {
			t.Error("readable")
		}
	})
}

// safeText passes a text through an answer.
func safeText(t *testing.T, cfg adaxes.Config, text string) string {
	t.Helper()
	quoted, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"resultType": 0, "actualObjectDN": "CN=a", "innerMessages": [{"text": %s, "messageType": 2}]}`, quoted)
	cfg.BaseURL, cfg.Token = "http://vendor.test", secret.New("t")
	cfg.HTTP = transport.Config{RoundTripper: body200(body)}
	c, err := adaxes.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	result, err := c.CreateObject(t.Context(), pageObjects[2].object)
	if err != nil {
		t.Fatal(err)
	}
	return result.Messages[0].SafeText
}
