package dead_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/deadletters"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/dead"
)

func TestReplayBringsBackWhatWasLost(t *testing.T) {
	t.Parallel()
	e := start(t)
	odd := command("3", change)
	odd.Subject = "mailwright.cmd.contoso.delegation.alex@contoso" // a key that is no token of ours
	e.ackExternally(acknowledged, command("1", change), command("2", change))
	e.ackExternally(terminated, odd)
	e.serve(recheckSoon)
	e.awaitLetters(3)
	out := e.run(0, "", "replay", "--since", "1h", "--dry-run")
	if strings.Count(out, "would be replayed") != 3 || e.lettersLeft() != 3 {
		t.Fatalf("%s", out)
	}
	e.run(0, "3 dead letters done", "replay", "--dead-reason", "acked-without-outcome", "--rate", "1000", "--yes")
	for _, id := range []string{"1", "2", "3"} {
		e.awaitOutcome(id)
	}
	stored, err := e.stream(topology.StreamCommands).GetMsg(t.Context(), 6)
	if err != nil {
		t.Fatal(err)
	}
	original, err := e.stream(topology.StreamCommands).GetMsg(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if stored.Subject != original.Subject || string(stored.Data) != string(original.Data) || stored.Header.Get("Mailwright-Replay") != "1" || stored.Header.Get("ce-id") != "3" {
		t.Errorf("%s %v %s", stored.Subject, stored.Header, stored.Data)
	}
	if stored.Header.Get(nats.MsgIdHdr) == original.Header.Get(nats.MsgIdHdr) {
		t.Error("the original's Nats-Msg-Id would have it dropped")
	}
	e.publishLetter(3, ackedWithoutOutcome)
	out = e.run(app.ExitFailure, "1 dead letter of 1 refused", "replay", "--dead-reason", "acked-without-outcome", "--yes")
	if !strings.Contains(out, `has an outcome by now, "succeeded"`) || e.lettersLeft() != 1 {
		t.Errorf("%s", out)
	}
}

func TestReplayRefusesWhatItCanNotCure(t *testing.T) {
	t.Parallel()
	e := startWithFiveLetters(t)
	r := e.call(apptest.Call{Args: []string{"replay", "2", "3", "4", "5"}})
	if r.Code != app.ExitFailure || e.lettersLeft() != 5 {
		t.Errorf("%+v", r)
	}
	apptest.Golden(t, "refused.txt", r.Out+r.Err)
	e.run(app.ExitFailure, "1 dead letter of 1 refused", "replay", "3", "--force", "--reason", "CHG-1")
	e.run(0, "1 dead letter done", "replay", "2", "--force", "--reason", "CHG-1")
	e.awaitLetters(6)
	if out := e.run(0, "", "ls", "--dead-reason", "idempotency-conflict"); !strings.Contains(out, "\n6 ") {
		t.Errorf("it conflicts again:\n%s", out)
	}
}

func TestReplayEndsALoop(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.publishWithLetter(command("x", change), ackedWithoutOutcome)
	for range 3 {
		e.run(0, "1 dead letter done", "replay", "--dead-reason", "acked-without-outcome", "--yes")
		last, err := e.stream(topology.StreamCommands).GetMsg(t.Context(), e.stream(topology.StreamCommands).CachedInfo().State.LastSeq)
		if err != nil {
			t.Fatal(err)
		}
		e.publishLetter(last.Sequence, ackedWithoutOutcome)
	}
	if out := e.run(app.ExitFailure, "1 dead letter of 1 refused", "replay", "4"); !strings.Contains(out, "it was replayed 3 times before; --force replays it again") || e.lettersLeft() != 1 {
		t.Errorf("%s", out)
	}
	out := e.run(0, "", "replay", "4", "--force", "--reason", "CHG-1", "--json")
	var d deadletters.Done
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(deadletters.Done{Letter: 4, Action: "replayed", Detail: "acked-without-outcome delegation.change /hr x", Subject: "mailwright.cmd.contoso.delegation.alex", Command: 5, Replay: 4}, d); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// ackedWithoutOutcome makes a letter one of a command that a replay brings back.
func ackedWithoutOutcome(l *event.DeadLetter) { l.Reason = operation.AckedWithoutOutcome }

// TestReplayPublishesOnlyWhatTheLetterIsAbout: after a restore of COMMANDS another message has the
// sequence.
func TestReplayPublishesOnlyWhatTheLetterIsAbout(t *testing.T) {
	t.Parallel()
	id := event.OperationID("contoso", source, "1")
	for name, c := range map[string]struct {
		change  func(*event.DeadLetter)
		differs string // "": nothing
	}{
		"the same": {func(l *event.DeadLetter) {
			l.Source, l.ID, l.OperationID, l.Subject, l.Size = source, "1", id, "mailwright.cmd.contoso.delegation.alex", len(change)
		}, ""},
		"nothing is known": {func(*event.DeadLetter) {}, ""},
		"source":           {func(l *event.DeadLetter) { l.Source = "/itsm" }, "source"},
		"id":               {func(l *event.DeadLetter) { l.Source, l.ID = source, "2" }, "id"},
		"operation":        {func(l *event.DeadLetter) { l.OperationID = event.PlanID("contoso", source, "1") }, "operation"},
		"subject":          {func(l *event.DeadLetter) { l.Subject = "mailwright.cmd.contoso.delegation.dana" }, "subject"},
		"size":             {func(l *event.DeadLetter) { l.Size = 5 }, "size"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := start(t)
			e.publishWithLetter(command("1", change), ackedWithoutOutcome, c.change)
			if c.differs == "" {
				e.run(0, "1 dead letter done", "replay", "1")
				return
			}
			out := e.run(app.ExitFailure, "1 dead letter of 1 refused", "replay", "1", "--force", "--reason", "CHG-1")
			if !strings.Contains(out, "is another one than the dead letter is about, since its "+c.differs+" differs") || e.lettersLeft() != 1 {
				t.Errorf("%s", out)
			}
			if stored := e.stream(topology.StreamCommands).CachedInfo().State.Msgs; stored != 1 {
				t.Errorf("%d commands", stored)
			}
		})
	}
}

// TestReplayRefusesWhatIsUnreadable: as long as it is.
func TestReplayRefusesWhatIsUnreadable(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.publishWithLetter(withHeader(command("1", change), "ce-id", ""))
	e.publishWithLetter(withHeader(command("2", change), "ce-time", "noon")) // to a service of now readable, and rejected
	out := e.run(app.ExitFailure, "1 dead letter of 2 refused", "replay", "1", "2", "--force", "--reason", "CHG-1")
	if !strings.Contains(out, "it is unreadable, and would be again: id is missing; it is required. Its publisher has to correct that") || e.lettersLeft() != 1 {
		t.Errorf("%s", out)
	}
}

// TestReplayRefusesWhoseRecordCanNotBeRead: its service would refuse it again.
func TestReplayRefusesWhoseRecordCanNotBeRead(t *testing.T) {
	t.Parallel()
	e := start(t)
	if _, err := e.JS.Publish(t.Context(), topology.EventSubject("contoso", event.DomainDelegation, event.OperationID("contoso", source, "1")), []byte("?")); err != nil {
		t.Fatal(err)
	}
	e.publishWithLetter(command("1", change), ackedWithoutOutcome)
	if out := e.run(app.ExitFailure, "1 dead letter of 1 refused", "replay", "1"); !strings.Contains(out, "the record of its operation cannot be read: message 1 of EVENTS") {
		t.Errorf("%s", out)
	}
}

func TestReplayKeepsItsRate(t *testing.T) {
	t.Parallel()
	e := start(t)
	for range 3 {
		e.publishWithLetter(command("x", change), ackedWithoutOutcome)
	}
	began := time.Now()
	e.run(0, "3 dead letters done", "replay", "3", "1", "2", "3", "--rate", "5")
	if took := time.Since(began); took < 400*time.Millisecond || e.lettersLeft() != 0 {
		t.Errorf("three in %v, %d letters left", took, e.lettersLeft())
	}
}

func TestConsent(t *testing.T) {
	t.Parallel()
	e := startWithFiveLetters(t)
	for _, words := range []string{"replay --dead-reason acked-without-outcome", "discard --reason CHG-1 --dead-reason acked-without-outcome", "discard --reason CHG-1 --all"} {
		e.run(app.ExitUsage, "nobody is at the terminal to be asked: add --yes", strings.Fields(words)...)
	}
	for _, words := range []string{"replay 1", "discard --reason CHG-1 --dead-reason acked-without-outcome"} {
		r := e.call(apptest.Call{Args: strings.Fields(words), Answer: "no\n"})
		if r.Code != app.ExitFailure || !strings.Contains(r.Err, "nothing was done") || e.lettersLeft() != 5 {
			t.Errorf("%s: %+v", words, r)
		}
	}
	r := e.call(apptest.Call{Args: []string{"discard", "--reason", "CHG-1", "--dead-reason", "unreadable,acked-without-outcome"}, Answer: "y\n"})
	if r.Code != 0 || e.lettersLeft() != 3 {
		t.Errorf("%+v", r)
	}
	apptest.Golden(t, "discard.txt", "# standard output\n"+r.Out+"# standard error\n"+r.Err)
	e.run(0, "no such dead letters", "discard", "--reason", "CHG-1", "--dead-reason", "acked-without-outcome", "--yes")
}

func TestDryRunDoesNothing(t *testing.T) {
	t.Parallel()
	e := startWithFiveLetters(t)
	r := e.call(apptest.Call{Args: []string{"replay", "--all", "--dry-run"}})
	if r.Code != app.ExitFailure {
		t.Errorf("%+v", r)
	}
	apptest.Golden(t, "replay-dry-run.txt", r.Out+r.Err)
	apptest.Golden(t, "discard-dry-run.txt", e.run(0, "", "discard", "--all", "--dry-run"))
	e.run(0, "", "discard", "--all", "--dry-run", "--json")
	if commands := e.stream(topology.StreamCommands).CachedInfo().State.Msgs; e.lettersLeft() != 5 || commands != 4 {
		t.Errorf("%d letters, %d commands", e.lettersLeft(), commands)
	}
}

func TestUsageAndServersThatAreNotThere(t *testing.T) {
	t.Parallel()
	e := startWithFiveLetters(t)
	for words, want := range map[string]string{
		"ls --since yesterday": "--since yesterday: want a duration",
		"ls --limit=-1":        "--limit -1",
		"ls --dead-reason sad": "--dead-reason must be one of",
		"ls --domain post":     "--domain must be one of",
		"show":                 "expected \"<letter>\"",
		"show x":               "<letter>",
		"replay":               "which dead letters?",
		"discard":              "which dead letters?",
		"replay 1 --dead-reason acked-without-outcome":   "either by number or by a filter",
		"discard --all --limit 3":                        "--all leaves nothing to the filter",
		"replay 1 17":                                    "there is no dead letter 17; nothing was done",
		"replay 1 --rate 0":                              "--rate 0",
		"discard 1":                                      "dead discard needs a --reason",
		"replay 1 --force":                               "--force needs a --reason",
		"replay --all --yes":                             "--all needs a --reason",
		"replay --tenant contoso --yes --reason expired": "--dead-reason selects dead letters",
		"replay 1 --reason a@b":                          "--reason: the reason must not hold an address",
	} {
		t.Run(words, func(t *testing.T) {
			t.Parallel()
			(&env{t, e.Env}).run(app.ExitUsage, want, strings.Fields(words)...)
		})
	}
	bare := &env{t, apptest.StartNATS(t)} // without streams
	bare.run(app.ExitFailure, "'mailwright dev'", "ls")
	if r := apptest.Run(t.Context(), t, apptest.Call{Name: "dead", Command: &dead.Command{}, Args: []string{"ls", "--nats-url", "nats://127.0.0.1:1"}}); r.Code != app.ExitFailure || !strings.Contains(r.Err, "NATS does not answer") {
		t.Errorf("%+v", r)
	}
}

// TestSecretsLeaveWithTheirLetters: a command that waits in DEAD for a replay leaves COMMANDS when
// it is replayed, and the replayed one after its outcome; so does one that is discarded. After
// that, show and replay say what is to be done.
func TestSecretsLeaveWithTheirLetters(t *testing.T) {
	t.Parallel()
	for _, act := range []string{"replay", "discard"} {
		t.Run(act, func(t *testing.T) {
			t.Parallel()
			e := start(t)
			secret := command("1", `{"mailbox":7,"newPassword":"Zebra-Pass-1"}`)
			e.ackExternally(acknowledged, secret)
			e.publishWithLetter(command("2", change), ackedWithoutOutcome) // holds none
			e.publishLetter(1, ackedWithoutOutcome)
			e.publishLetter(1, func(l *event.DeadLetter) { l.Reason = operation.Conflict })
			e.run(0, "1 dead letter done", act, "2", "--yes", "--reason", "T-1")
			want := uint64(2) // the other, and the replayed one
			if act == "discard" {
				want = 1
			}
			if n := e.stream(topology.StreamCommands).CachedInfo().State.Msgs; n != want {
				t.Errorf("%d commands are stored, want %d", n, want)
			}
			if out := e.run(0, "", "show", "3"); !strings.Contains(out, "since it is too old or may have held a secret") {
				t.Errorf("%s", out)
			}
			if out := e.run(app.ExitFailure, "1 dead letter of 1 refused", "replay", "3", "--force", "--reason", "T-1"); !strings.Contains(out, "has to send it again") {
				t.Errorf("%s", out)
			}
			e.serve(recheckSoon)
			if act == "replay" {
				e.until("the replayed one has left", func() bool { return e.stream(topology.StreamCommands).CachedInfo().State.Msgs == 1 })
			}
			e.run(0, "1 dead letter done", "discard", "1", "--yes", "--reason", "T-1")
			if n := e.stream(topology.StreamCommands).CachedInfo().State.Msgs; n != 1 {
				t.Errorf("%d commands are stored: the one without a secret stays", n)
			}
		})
	}
}
