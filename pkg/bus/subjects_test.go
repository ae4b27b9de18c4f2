package bus_test

import (
	"regexp"
	"testing"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
)

func TestToken(t *testing.T) {
	t.Parallel()
	for text, token := range map[string]string{
		"":                  "%",
		"abc-XYZ_09":        "abc-XYZ_09",
		"jo.doe@acme.test":  "jo%2Edoe%40acme%2Etest",
		"CN=Doe\\, Jo":      "CN%3DDoe%5C%2C%20Jo",
		"100%":              "100%25",
		"%41":               "%2541",
		"*":                 "%2A",
		">":                 "%3E",
		"Zoë":               "Zo%C3%AB",
		"a\x00b\r\nc\xffd ": "a%00b%0D%0Ac%FFd%20",
	} {
		if got := bus.Token(text); got != token {
			t.Errorf("Token(%q) = %q, want %q", text, got, token)
		}
		if got, err := bus.Untoken(token); err != nil || got != text {
			t.Errorf("Untoken(%q) = %q, %v, want %q", token, got, err, text)
		}
	}
}

func TestUntokenRefusesOtherForms(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"", "a.b", "a%2", "a%", "%%", "%2e", "%41", "%GG", "%+1", "ä", "a b"} {
		if got, err := bus.Untoken(token); err == nil {
			t.Errorf("Untoken(%q) = %q, want an error", token, got)
		}
	}
}

func FuzzToken(f *testing.F) {
	f.Add("", "jo.doe@acme.test")
	f.Add("%", "\xff")
	valid := regexp.MustCompile(`^[A-Za-z0-9_%-]+$`)
	f.Fuzz(func(t *testing.T, a, b string) {
		token := bus.Token(a)
		if !valid.MatchString(token) {
			t.Errorf("Token(%q) = %q", a, token)
		}
		if back, err := bus.Untoken(token); err != nil || back != a {
			t.Errorf("Untoken(Token(%q)) = %q, %v", a, back, err)
		}
		if a != b && token == bus.Token(b) {
			t.Errorf("%q and %q share the token %q", a, b, token)
		}
		if text, err := bus.Untoken(b); err == nil && bus.Token(text) != b {
			t.Errorf("Token(Untoken(%q)) = %q", b, bus.Token(text))
		}
	})
}

func TestSubjects(t *testing.T) {
	t.Parallel()
	address := bus.Address{Domain: event.Delegation, Partition: 5, Key: "jo%40acme"}
	for want, got := range map[string]string{
		"mailwright.cmd.mailbox.jo%40acme":         bus.CommandSubject(event.Mailbox, "jo@acme"),
		"mailwright.evt.directory.abc":             bus.EventSubject(event.Directory, "abc"),
		"mailwright.mailbox.acme%2Etest.jo%2Ed":    bus.MailboxSubject("acme.test", "jo.d"),
		"mailwright.dead.inventory.abc":            bus.DeadSubject(event.Inventory, "abc"),
		"mailwright.dead.inventory.-":              bus.DeadSubject(event.Inventory, ""),
		"mailwright.parked.delegation.jo%40acme":   bus.ParkedSubject(address),
		"mailwright.schedule.delegation.jo%40acme": bus.ScheduleSubject(address),
		"mailwright.wake.delegation.5.jo%40acme":   bus.WakeSubject(address),
		"mailwright.wake.mailbox.7.*":              bus.WakeTopic(event.Mailbox, 7),
		"mailwright.cmd.mailbox.7.*":               bus.CommandTopic(event.Mailbox, 7),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestParseCommandSubject(t *testing.T) {
	t.Parallel()
	got, ok := bus.ParseCommandSubject("mailwright.cmd.mailbox.31.jo%40acme")
	if want := (bus.Address{Domain: event.Mailbox, Partition: 31, Key: "jo%40acme"}); !ok || got != want {
		t.Errorf("got %+v, %v, want %+v", got, ok, want)
	}
	for _, subject := range []string{"", "mailwright.cmd.mailbox.jo", "mailwright.evt.mailbox.1.jo", "mailwright.cmd.mailbox.x.jo", "other.cmd.mailbox.1.jo", "mailwright.cmd.mailbox.1.jo.x", "mailwright.cmd.mailbox.1.*", "mailwright.cmd.mailbox.1.>"} {
		if got, ok := bus.ParseCommandSubject(subject); ok {
			t.Errorf("ParseCommandSubject(%q) = %+v", subject, got)
		}
	}
}
