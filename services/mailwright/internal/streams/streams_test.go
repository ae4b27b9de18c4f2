package streams_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/streams"
)

func run(t *testing.T, args ...string) apptest.Result {
	t.Helper()
	return apptest.Run(t.Context(), t, apptest.Call{Name: "streams", Command: &streams.Command{}, Args: args})
}

func TestHelp(t *testing.T) {
	t.Parallel()
	apptest.Golden(t, "help-plan.txt", apptest.Help(t, "streams", &streams.Command{}, "plan"))
	apptest.Golden(t, "help-apply.txt", apptest.Help(t, "streams", &streams.Command{}, "apply"))
}

func TestApplyMakesWhatPlanShows(t *testing.T) {
	t.Parallel()
	s := apptest.StartNATS(t)
	run := func(args ...string) apptest.Result {
		return run(t, append(args, "--partitions", "2", "--nats-url", s.URL)...)
	}
	if r := run("plan"); r.Code != app.ExitDifferent || !strings.Contains(r.Out, "missing  stream COMMANDS") || !strings.Contains(r.Out, "0 as they must be, 52 missing, 0 made, 0 changed, 0 differ") {
		t.Errorf("plan at first: code %d\n%s%s", r.Code, r.Out, r.Err)
	}
	if _, err := s.JS.Stream(t.Context(), "COMMANDS"); err == nil {
		t.Error("a plan has made a stream")
	}
	if r := run("apply"); r.Code != 0 || !strings.Contains(r.Out, "made     consumer PARKED/mailbox-7") || !strings.Contains(r.Out, "0 as they must be, 0 missing, 52 made, 0 changed, 0 differ") {
		t.Errorf("apply: code %d\n%s%s", r.Code, r.Out, r.Err)
	}
	if r := run("plan"); r.Code != 0 || r.Out != "52 as they must be, 0 missing, 0 made, 0 changed, 0 differ\n" {
		t.Errorf("plan at last: code %d\n%s%s", r.Code, r.Out, r.Err)
	}
}

// edit changes a stream as `nats stream edit` does.
func edit(ctx context.Context, t *testing.T, js jetstream.JetStream, name string, change func(*jetstream.StreamConfig)) {
	t.Helper()
	c := read(ctx, t, js, name)
	change(&c)
	if _, err := js.UpdateStream(ctx, c); err != nil {
		t.Fatal(err)
	}
}

func read(ctx context.Context, t *testing.T, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	stream, err := js.Stream(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().Config
}

// TestApplyChangesWhatDiffers: a field that we decide becomes what it must be, one that an operator
// decides stays unless the file says otherwise, and what no server changes is named.
func TestApplyChangesWhatDiffers(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	ctx := t.Context()
	edit(ctx, t, s.JS, "DRIFT", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 7 })
	edit(ctx, t, s.JS, "EVENTS", func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 30 })
	edit(ctx, t, s.JS, "DEAD", func(c *jetstream.StreamConfig) { c.MaxAge, c.DenyDelete = time.Hour, true })
	file := filepath.Join(t.TempDir(), "mailwright.yaml")
	if err := os.WriteFile(file, []byte("streams:\n  COMMANDS: {maxAge: 336h, maxBytes: 2GiB}\ntenants: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) apptest.Result {
		return run(t, append(args, "--config", file, "--nats-url", s.URL)...)
	}
	r := run("plan")
	for _, want := range []string{
		"differs  stream COMMANDS: max_age: 720h0m0s becomes 336h0m0s; max_bytes: -1 becomes 2147483648",
		"differs  stream DRIFT: max_msgs_per_subject: 7 becomes 1",
		"stays    stream DEAD: deny_delete cannot be changed in a stream that exists",
	} {
		if r.Code != app.ExitDifferent || !strings.Contains(r.Out, want) {
			t.Errorf("plan: code %d, no %q\n%s%s", r.Code, want, r.Out, r.Err)
		}
	}
	if strings.Contains(r.Out, "EVENTS") {
		t.Errorf("the plan tells of what an operator decides:\n%s", r.Out)
	}
	r = run("apply", "--json")
	if r.Code != app.ExitDifferent || !strings.Contains(r.Out, `"state":"changed","detail":"max_msgs_per_subject: 7 becomes 1"`) {
		t.Errorf("apply: code %d\n%s%s", r.Code, r.Out, r.Err)
	}
	for line := range strings.Lines(r.Out) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
	if c := read(ctx, t, s.JS, "COMMANDS"); c.MaxAge != 336*time.Hour || c.MaxBytes != 2<<30 {
		t.Errorf("COMMANDS: %v, %d", c.MaxAge, c.MaxBytes)
	}
	if c := read(ctx, t, s.JS, "DRIFT"); c.MaxMsgsPerSubject != 1 {
		t.Errorf("DRIFT: %d", c.MaxMsgsPerSubject)
	}
	if c := read(ctx, t, s.JS, "EVENTS"); c.MaxBytes != 1<<30 {
		t.Errorf("EVENTS: %d", c.MaxBytes)
	}
	if c := read(ctx, t, s.JS, "DEAD"); c.MaxAge != 0 || !c.DenyDelete {
		t.Errorf("DEAD: %v, an age below its bound stays", c.MaxAge)
	}
}

func TestSettingsOutOfBoundsAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	s := apptest.StartNATS(t)
	for text, want := range map[string]string{
		"COMMANDS: {maxAge: 1h}":                                 "at least 192h0m0s, not 1h0m0s: a command is tried again for up to 7 days",
		"PARKED: {maxAge: 720h}":                                 "must be for ever, not 720h0m0s: it holds what waits",
		"EVENTS: {maxBytes: 1MiB}":                               "at least 16777216 bytes, not 1048576",
		"HISTORY: {maxAge: forever}":                             "there is no stream HISTORY",
		"COMMANDS: {maxage: 720h}":                               "line 2: maxage: there is no such member",
		"COMMANDS: {maxBytes: large}":                            `maxBytes: "large" is no size`,
		"COMMANDS: {maxAge: forever}\n  EVENTS: {maxAge: 2160h}": "EVENTS must keep them for at least as long as COMMANDS",
	} {
		file := filepath.Join(t.TempDir(), "mailwright.yaml")
		if err := os.WriteFile(file, []byte("streams:\n  "+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := run(t, "apply", "--config", file, "--nats-url", s.URL); r.Code != app.ExitUsage || !strings.Contains(r.Err, want) {
			t.Errorf("%s: code %d, no %q\n%s%s", text, r.Code, want, r.Out, r.Err)
		}
	}
	for _, args := range [][]string{{"--partitions", "65"}, {"--stream-replicas", "2"}, {"--stream-max-bytes", "1000"}} {
		if r := run(t, append(args, "plan", "--nats-url", s.URL)...); r.Code != app.ExitUsage {
			t.Errorf("%v: code %d\n%s%s", args, r.Code, r.Out, r.Err)
		}
	}
	if _, err := s.JS.Stream(t.Context(), topology.StreamCommands); err == nil {
		t.Error("a stream was made")
	}
}

// TestPartitions: the plan names the change, and what is left of it.
func TestPartitions(t *testing.T) {
	t.Parallel()
	s := apptest.StartNATS(t)
	run := func(args ...string) apptest.Result { return run(t, append(args, "--nats-url", s.URL)...) }
	if r := run("apply"); r.Code != 0 {
		t.Fatal(r.Out, r.Err)
	}
	if r := run("plan", "--partitions", "16"); r.Code != app.ExitDifferent || !strings.Contains(r.Out, "differs  partitions 8 partitions of generation 0: 8 partitions become 16") {
		t.Errorf("plan: code %d\n%s%s", r.Code, r.Out, r.Err)
	}
	if r := run("apply", "--partitions", "16"); r.Code != 0 || !strings.Contains(r.Out, "changed  partitions 16 partitions of generation 1: 8 partitions become 16, as soon as") {
		t.Errorf("apply: code %d\n%s%s", r.Code, r.Out, r.Err)
	}
	if r := run("plan"); r.Code != app.ExitDifferent || !strings.Contains(r.Out, "the former 8 partitions of generation 0 are worked off") {
		t.Errorf("plan at last: code %d\n%s%s", r.Code, r.Out, r.Err)
	}
	if r := run("apply"); r.Code != 0 || !strings.Contains(r.Out, "consumer COMMANDS/mailbox-7: it belonged to former partitions, and is deleted") {
		t.Errorf("apply at last: code %d\n%s%s", r.Code, r.Out, r.Err)
	}
	if r := run("plan"); r.Code != 0 {
		t.Errorf("code %d\n%s%s", r.Code, r.Out, r.Err)
	}
}
