package directory_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/sealed"
)

// licensed is the command to create a user with a Microsoft 365 account, whose password the vendor
// makes up.
func licensed(account, sealTo string) string {
	return strings.TrimSuffix(user(true, account), "}") + `,"o365":{"locationName":"US","sealTo":"` + sealTo + `","licenseModifications":[{"skuPartNumber":"O365_BUSINESS","assigned":true}]}}`
}

func TestATemporaryPasswordIsSealedToWhoAsksForIt(t *testing.T) {
	t.Parallel()
	b := setup(t, false)
	text, err := sealed.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	key, err := sealed.ParseIdentities(text)
	if err != nil {
		t.Fatal(err)
	}
	created := func(data string) event.ObjectCreatedData {
		t.Helper()
		reply, err := b.perform(b.run(event.TypeObjectCreate, data, time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		return reply.Data.(event.ObjectCreatedData)
	}
	got := created(licensed("sealed", key.Recipients()[0].String()))
	password, err := key.Open(got.SealedSecret, "id")
	if err != nil || len(password) < 8 {
		t.Errorf("the sealed password opens as %q, %v", password, err)
	}
	for _, w := range got.Warnings {
		if strings.Contains(w.Text, "temporary") {
			t.Errorf("a password that is passed on is warned of: %s", w.Text)
		}
	}
	got = created(strings.Replace(licensed("dropped", ""), `"sealTo":"",`, "", 1))
	if got.SealedSecret != "" || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0].Text, "o365.sealTo names a key") {
		t.Errorf("without a key: %q, %v", got.SealedSecret, got.Warnings)
	}
}

func TestAKeyToSealToIsChecked(t *testing.T) {
	t.Parallel()
	b := setup(t, false)
	run := b.run(event.TypeObjectCreate, licensed("x", "age1"+strings.Repeat("q", 58)), time.Now())
	err := b.handlers[event.TypeObjectCreate].Check(run)
	if err == nil || err.Error() != "rejected: /o365/sealTo is no X25519 recipient of age (age1…)" {
		t.Errorf("got %v", err)
	}
}
