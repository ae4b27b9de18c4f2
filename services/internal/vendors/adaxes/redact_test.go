package adaxes_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// TestSafeText fixes what of a vendor's text may be read by everybody: enough to understand it, no
// password.
func TestSafeText(t *testing.T) {
	t.Parallel()
	const michael = "CN=Michael Smith,OU=My Organizational Unit,DC=example,DC=com"
	same := func(text string) struct{ text, want string } { return struct{ text, want string }{text, text} }
	tests := []struct{ text, want string }{
		{
			"A temporary password has been assigned to the user's Microsoft 365 account. The temporary password is Rg8^6H#c.",
			"A temporary password has been assigned to the user's Microsoft 365 account. The temporary password is [redacted].",
		},
		{"The temporary password is a.b.c. Tell nobody.", "The temporary password is [redacted]. Tell nobody."},
		{"The password is secretword1", "The password is [redacted]"},
		{"Password: secretword (new)", "Password: [redacted] (new)"},
		{"Password: secretword", "Password: [redacted]"},
		{`Password: "secretword" (new)`, "Password: [redacted] (new)"},
		{`The password is "secretword".`, "The password is [redacted]."},
		{"password=secretword, user=jsmith", "password=[redacted] [redacted]"},
		{"The password was reset to secret-word-1.", "The password was reset to [redacted]."},
		{"The password 'two words1' was refused", "The password [redacted] was refused"},
		{`The user's password can't be set: "Secret1".`, "The user's password can't be set: [redacted]"},
		{"Das temporäre Kennwort lautet Geheim1", "Das temporäre Kennwort lautet [redacted]"},
		{"Le mot de passe est Secret1", "Le mot de passe est [redacted]"},
		{"Новый пароль: тайна", "Новый пароль: [redacted]"},
		{"Assigned Rg8^6H#c.", "Assigned [redacted]"},
		{"Assigned Rg8^6H#c to CN=a,DC=x", "Assigned [redacted] to CN=a,DC=x"},
		{"Reset " + michael + " to Rg8^6H#c", "Reset " + michael + " to [redacted]"},
		{"The password CN=Rg8^6H#c,OU=Staff,DC=x", "The password [redacted]"},
		{`See https://host/x or \\files\share, port dc1.corp.example.com:389`, "See [host] or [host] port [host]"},
		{"The server dc01.corp.example.com is not operational (0x8007203A)", "The server [host] is not operational (0x8007203A)"},
		{"First line.\r\nat Adaxes.Inner()", "First line."},
		{"  ", ""},
		{"bad \xff bytes", "bad \ufffd bytes"}, // JSON itself replaces them
		{strings.Repeat("word ", 100), strings.Repeat("word ", 60) + "…"},

		// Words that are no passwords stay: without them a warning says something else.
		same("The account is disabled, because the password is not set."),
		same("Failed to set the account options, because the password is not set."),
		same("Failed to set the password. The password does not meet the password policy requirements: it contains a name of the account."),
		same("Failed to set the password. The password does not meet the password policy requirements: the domain controller did not respond."),
		same("The password does not meet the password policy requirements. Check the minimum length."),
		same("Failed to set the password of " + michael + ": it is too short."),
		same("The password of '" + michael + "' is expired."),
		same("The password of the user 'John Smith' (jsmith) was not set."),
		same(`The password of EXAMPLE\jsmith and john.smith1@example.com expires on 2026-11-29 at 10:30.`),
		same("The password must have 14 characters, at least 1 upper-case and/or lower-case."),
		same("Password: it must not contain the account's name"),
		same("The password was set to never expire."),
		same("The password could not be set. (Exception from HRESULT: 0x800708C5)"),
		same("The password of 7a4267ce-d354-44e7-8bd6-c681f1284a41 is not set"),
		same("The rule 'Create a mailbox' ran"),
		same("License O365_BUSINESS was assigned to John.Smith1@example.com in CN=User1,OU=Staff,DC=example,DC=com"),
		same(`Moved CN=Smith\, Jane2,OU=R-1 North,DC=example,DC=com`),
	}
	for _, tt := range tests {
		if got := safeText(t, adaxes.Config{}, tt.text); got != tt.want {
			t.Errorf("%q\n got %q\nwant %q", tt.text, got, tt.want)
		}
	}
}

// TestASentPasswordIsHiddenHoweverItIsSpelt: the vendor repeats the password of the request, in the
// ways that HTML, URLs and .NET's JSON spell it, one in the other. A word of letters only is hidden
// too, since what was sent is known.
func TestASentPasswordIsHiddenHoweverItIsSpelt(t *testing.T) {
	t.Parallel()
	for _, password := range []string{"allsmallletters", `Pa"ss<wörd>&'1`, "Zebra-Pass-😀"} {
		asHTML := html.EscapeString(password)
		for _, spelled := range []string{password, asHTML, strings.ReplaceAll(asHTML, "&#34;", "&quot;"), url.QueryEscape(password)} {
			quoted, err := json.Marshal("The password " + spelled + " is not allowed.")
			if err != nil {
				t.Fatal(err)
			}
			dotNet := strings.NewReplacer("ö", `\u00F6`, "😀", `\uD83D\uDE00`, "'", `\u0027`).Replace(string(quoted))
			for _, text := range []string{string(quoted), dotNet} {
				object := pageObjects[2].object
				object.Properties = append(slices.Clone(object.Properties), adaxes.NewProperty("unicodePwd", adaxes.String, password))
				body := `{"resultType": 1, "exception": {"message": ` + text + `}}`
				_, err := answering(t, 200, []byte(body)).CreateObject(t.Context(), object)
				if got, want := failure.Of(err).Text, "the vendor refuses the operation: The password [redacted] is not allowed."; got != want {
					t.Errorf("%s\n got %q\nwant %q", text, got, want)
				}
			}
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
