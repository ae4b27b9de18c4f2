package topology_test

import (
	"regexp"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
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
		if got := event.Token(text); got != token {
			t.Errorf("Token(%q) = %q, want %q", text, got, token)
		}
		if got, err := event.Untoken(token); err != nil || got != text {
			t.Errorf("Untoken(%q) = %q, %v, want %q", token, got, err, text)
		}
	}
}

func TestUntokenRefusesOtherForms(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"", "a.b", "a%2", "a%", "%%", "%2e", "%41", "%GG", "%+1", "ä", "a b"} {
		if got, err := event.Untoken(token); err == nil {
			t.Errorf("Untoken(%q) = %q, want an error", token, got)
		}
	}
}

func FuzzToken(f *testing.F) {
	f.Add("", "jo.doe@acme.test")
	f.Add("%", "\xff")
	valid := regexp.MustCompile(`^[A-Za-z0-9_%-]+$`)
	f.Fuzz(func(t *testing.T, a, b string) {
		token := event.Token(a)
		if !valid.MatchString(token) {
			t.Errorf("Token(%q) = %q", a, token)
		}
		if back, err := event.Untoken(token); err != nil || back != a {
			t.Errorf("Untoken(Token(%q)) = %q, %v", a, back, err)
		}
		if a != b && token == event.Token(b) {
			t.Errorf("%q and %q share the token %q", a, b, token)
		}
		if text, err := event.Untoken(b); err == nil && event.Token(text) != b {
			t.Errorf("Token(Untoken(%q)) = %q", b, event.Token(text))
		}
	})
}

func TestSubjects(t *testing.T) {
	t.Parallel()
	address := topology.Address{Tenant: "acme", Domain: event.DomainDelegation, Partition: 5, Key: "jo%40acme"}
	for want, got := range map[string]string{
		"mailwright.cmd.acme.mailbox.jo%40acme":         topology.CommandSubject("acme", event.DomainMailbox, "jo@acme"),
		"mailwright.cmd.acme.delegation.jo%40acme":      topology.PublishedSubject(address),
		"mailwright.evt.acme.directory.abc":             topology.EventSubject("acme", event.DomainDirectory, "abc"),
		"mailwright.mailbox.acme.jo%2Ed":                topology.MailboxSubject("acme", "jo.d"),
		"mailwright.drift.acme.delegation.jo%2Ed":       topology.DriftSubject("acme", "jo.d"),
		"mailwright.dead.acme.inventory.abc":            topology.DeadSubject("acme", event.DomainInventory, "abc"),
		"mailwright.dead.acme.inventory.-":              topology.DeadSubject("acme", event.DomainInventory, ""),
		"mailwright.dead.-.inventory.-":                 topology.DeadSubject("", event.DomainInventory, ""),
		"mailwright.parked.acme.delegation.jo%40acme":   topology.ParkedSubject(address),
		"mailwright.schedule.acme.delegation.jo%40acme": topology.ScheduleSubject(address),
		"mailwright.wake.acme.delegation.7.jo%40acme":   topology.WakeSubject(address),
		"mailwright.wake.*.mailbox.7.*":                 topology.WakeFilter(event.DomainMailbox, 7),
		"mailwright.cmd.*.mailbox.7.*":                  topology.CommandFilter(event.DomainMailbox, 0, 7),
		"mailwright.cmd.*.mailbox.2.7.*":                topology.CommandFilter(event.DomainMailbox, 2, 7),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestParseCommandSubject(t *testing.T) {
	t.Parallel()
	got, ok := topology.ParseCommandSubject("mailwright.cmd.acme.mailbox.31.jo%40acme")
	if want := (topology.Address{Tenant: "acme", Domain: event.DomainMailbox, Partition: 31, Key: "jo%40acme"}); !ok || got != want {
		t.Errorf("got %+v, %v, want %+v", got, ok, want)
	}
	for _, subject := range []string{
		"", "mailwright.cmd.acme.mailbox.jo", "mailwright.evt.acme.mailbox.1.jo", "mailwright.cmd.acme.mailbox.x.jo",
		"other.cmd.acme.mailbox.1.jo", "mailwright.cmd.acme.mailbox.1.jo.x", "mailwright.cmd.acme.mailbox.1.2.3.jo", "mailwright.cmd.acme.mailbox.1.*",
		"mailwright.cmd.acme.mailbox.1.>", "mailwright.cmd.*.mailbox.1.jo",
	} {
		if got, ok := topology.ParseCommandSubject(subject); ok {
			t.Errorf("ParseCommandSubject(%q) = %+v", subject, got)
		}
	}
}

func TestParsePublishedSubject(t *testing.T) {
	t.Parallel()
	got, ok := topology.ParsePublishedSubject("mailwright.cmd.acme.mailbox.jo%40acme")
	if want := (topology.Address{Tenant: "acme", Domain: event.DomainMailbox, Key: "jo%40acme"}); !ok || got != want {
		t.Errorf("got %+v, %v, want %+v", got, ok, want)
	}
	for _, subject := range []string{"", "mailwright.cmd.acme.mailbox.1.jo", "mailwright.cmd.*.mailbox.jo", "mailwright.cmd.acme.mailbox.>"} {
		if got, ok := topology.ParsePublishedSubject(subject); ok {
			t.Errorf("ParsePublishedSubject(%q) = %+v", subject, got)
		}
	}
}

// TestNoCommandHasAReservedKey: what waits on the key of an overflow refers to many commands.
func TestNoCommandHasAReservedKey(t *testing.T) {
	t.Parallel()
	for key, valid := range map[string]bool{topology.OverflowKey(3): false, "~": false, "a~": true, event.Token("~overflow-3"): true} {
		a := topology.Address{Tenant: "contoso", Domain: event.DomainDelegation, Partition: 3, Key: key}
		if err := a.Check(); (err == nil) != valid {
			t.Errorf("key %s: %v", key, err)
		}
		if a.IsOverflow() != (key == topology.OverflowKey(3)) {
			t.Errorf("key %s is taken for an overflow, or not", key)
		}
	}
}
