package sealed_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/mailwright/mailwright/pkg/sealed"
)

const operation = "dledhykyrcmjfv2k2c4hadmox7"

func identities(t testing.TB, n int) sealed.Identities {
	t.Helper()
	var text strings.Builder
	for range n {
		key, err := sealed.GenerateIdentity()
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(key)
	}
	list, err := sealed.ParseIdentities(text.String())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func seal(t testing.TB, secret, operationID string, to ...sealed.Recipient) string {
	t.Helper()
	text, err := sealed.Seal(secret, operationID, to...)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// encrypt makes an age file as any program of age does.
func encrypt(t testing.TB, armored bool, plain string, to ...age.Recipient) string {
	t.Helper()
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, to...)
	if !armored {
		out.Reset()
		w, err = age.Encrypt(&out, to...)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write([]byte(plain))
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	if armored {
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func recipient(t testing.TB, r sealed.Recipient) age.Recipient {
	t.Helper()
	key, err := age.ParseX25519Recipient(r.String())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestOpen(t *testing.T) {
	t.Parallel()
	keys, others := identities(t, 2), identities(t, 4)
	first, second := keys.Recipients()[0], keys.Recipients()[1]
	good := seal(t, "Zebra-Pass-1", operation, first)
	changed := func(at int) string { // one letter of the armor is another
		b := []byte(good)
		b[at] = map[bool]byte{true: 'B', false: 'A'}[b[at] == 'A']
		return string(b)
	}
	many := append(others.Recipients(), first)
	var fiveRecipients []age.Recipient
	for _, r := range many {
		fiveRecipients = append(fiveRecipients, recipient(t, r))
	}
	passphrase, err := age.NewScryptRecipient("Zebra-Pass-1")
	if err != nil {
		t.Fatal(err)
	}
	passphrase.SetWorkFactor(10)
	for name, c := range map[string]struct {
		text string
		want string
		err  error
	}{
		"bound to the operation":      {good, "Zebra-Pass-1", nil},
		"to the second identity":      {seal(t, "Zebra-Pass-1", operation, second), "Zebra-Pass-1", nil},
		"to several recipients":       {seal(t, "Zebra-Pass-1", operation, others.Recipients()[0], second, first), "Zebra-Pass-1", nil},
		"bound to none":               {seal(t, "Zebra-Pass-1", "", first), "Zebra-Pass-1", nil},
		"of age itself":               {encrypt(t, true, "Zebra-Pass-1", recipient(t, first)), "Zebra-Pass-1", nil},
		"bound by hand":               {encrypt(t, true, "mailwright-operation "+operation+"\nZebra-Pass-1", recipient(t, first)), "Zebra-Pass-1", nil},
		"without the last line end":   {strings.TrimSpace(good), "Zebra-Pass-1", nil},
		"with Windows' line ends":     {strings.ReplaceAll(good, "\n", "\r\n"), "Zebra-Pass-1", nil},
		"of several lines":            {seal(t, "Zebra\nPass\n", operation, first), "Zebra\nPass\n", nil},
		"of another script":           {seal(t, "Zébra-密码-🔑", operation, first), "Zébra-密码-🔑", nil},
		"for another operation":       {seal(t, "Zebra-Pass-1", "other", first), "", sealed.ErrOtherOperation},
		"bound without a secret":      {seal(t, "", operation, first), "", sealed.ErrEmpty},
		"bound without a line end":    {encrypt(t, true, "mailwright-operation "+operation, recipient(t, first)), "", sealed.ErrEmpty},
		"empty":                       {seal(t, "", "", first), "", sealed.ErrEmpty},
		"not UTF-8":                   {seal(t, "\xff\xfe", "", first), "", sealed.ErrNoText},
		"to others":                   {seal(t, "Zebra-Pass-1", operation, others.Recipients()...), "", sealed.ErrOtherKey},
		"to a passphrase":             {encrypt(t, true, "Zebra-Pass-1", passphrase), "", sealed.ErrOtherKey},
		"to five":                     {encrypt(t, true, "Zebra-Pass-1", fiveRecipients...), "", sealed.ErrTooMany},
		"without armor":               {encrypt(t, false, "Zebra-Pass-1", recipient(t, first)), "", sealed.ErrMalformed},
		"plain":                       {"Zebra-Pass-1", "", sealed.ErrMalformed},
		"changed in the header":       {changed(len(good) * 1 / 3), "", nil},
		"changed in what is sealed":   {changed(len(good) - 45), "", nil},
		"cut":                         {good[:len(good)/2], "", sealed.ErrMalformed},
		"the first line alone":        {armor.Header, "", sealed.ErrMalformed},
		"twice":                       {good + good, "", sealed.ErrMalformed},
		"with something behind it":    {good + "Zebra", "", sealed.ErrMalformed},
		"longer than may be":          {good + strings.Repeat("\n", sealed.MaxText), "", sealed.ErrTooLong},
		"with nothing but whitespace": {armor.Header + "\n\n\n", "", sealed.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := keys.Open(c.text, operation)
			if c.want == "" && c.err == nil { // some error, which depends on the letter that was changed
				if err == nil || got != "" {
					t.Errorf("opened as %q", got)
				}
				return
			}
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("got %q, %v; want %q, %v", got, err, c.want, c.err)
			}
			if err != nil && strings.Contains(err.Error(), "Zebra") {
				t.Errorf("the error quotes the secret: %v", err)
			}
		})
	}
}

func TestWithoutIdentitiesNothingOpens(t *testing.T) {
	t.Parallel()
	var none sealed.Identities
	if got, err := none.Open(seal(t, "Zebra-Pass-1", "", identities(t, 1).Recipients()...), operation); got != "" || !errors.Is(err, sealed.ErrOtherKey) {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestTheLongestValuesThatFit: what Seal gives, Open takes.
func TestTheLongestValuesThatFit(t *testing.T) {
	t.Parallel()
	keys := identities(t, sealed.MaxRecipients)
	longest := 0
	for size := 1; ; size++ {
		secret := strings.Repeat("x", size)
		text, err := sealed.Seal(secret, operation, keys.Recipients()...)
		if err != nil {
			break
		}
		longest = size
		if size%100 != 0 {
			continue
		}
		if got, err := keys.Open(text, operation); err != nil || got != secret {
			t.Fatalf("%d bytes do not come back: %v", size, err)
		}
	}
	if longest < 1024 {
		t.Errorf("a secret may have %d bytes alone", longest)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	key, err := sealed.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	list, err := sealed.ParseIdentities("\n# a comment\r\n  " + key)
	if err != nil {
		t.Fatal(err)
	}
	public := list.Recipients()[0].String()
	if back, err := sealed.ParseRecipients("# a comment\n\n" + public + "\n"); err != nil || len(back) != 1 || back[0].String() != public {
		t.Errorf("recipients: %v, %v", back, err)
	}
	private := strings.TrimSpace(key[strings.Index(key, "AGE-SECRET-KEY"):])
	for name, text := range map[string]string{
		"nothing": "", "a comment alone": "# x", "five": strings.Repeat(public+"\n", 5), "five keys": strings.Repeat(private+"\n", 5),
		"a private key with an error": private[:len(private)-1] + "x", "a public key": public, "a key of SSH": "ssh-ed25519 AAAA",
	} {
		if _, err := sealed.ParseIdentities(text); err == nil || strings.Contains(err.Error(), "AGE-SECRET-KEY-1"+private[16:24]) {
			t.Errorf("%s as identities: %v", name, err)
		}
		if _, err := sealed.ParseRecipients(text); name != "a public key" && err == nil {
			t.Errorf("%s as recipients: no error", name)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if text := fmt.Sprintf(verb, list); strings.Contains(text, "AGE-SECRET-KEY") || !strings.Contains(text, public) {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

// FuzzOpen: no text makes the decoder panic, and what is opened was sealed to the key.
func FuzzOpen(f *testing.F) {
	keys := identities(f, 2)
	public := keys.Recipients()[1]
	good := seal(f, "Zebra-Pass-1", operation, public)
	f.Add(good)
	f.Add(good[:len(good)-20])
	f.Add(armor.Header + "\n" + armor.Footer)
	f.Add(armor.Header + "\nYWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSAK\n" + armor.Footer)
	f.Add(encrypt(f, true, "mailwright-operation \n", recipient(f, public)))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := keys.Open(text, operation)
		if err != nil && got != "" {
			t.Errorf("%q is opened, and there is an error", got)
		}
		if err == nil && got != "Zebra-Pass-1" {
			t.Errorf("%q was never sealed", got)
		}
	})
}
