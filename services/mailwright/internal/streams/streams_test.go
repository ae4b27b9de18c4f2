package streams_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/streams"
)

func TestApplyMakesWhatPlanShows(t *testing.T) {
	t.Parallel()
	s := apptest.StartNATS(t)
	run := func(args ...string) apptest.Result {
		return apptest.Run(t.Context(), t, apptest.Call{Name: "streams", Command: &streams.Command{}, Args: append(args, "--partitions", "2", "--nats-url", s.URL)})
	}
	if r := run("plan"); r.Code != app.ExitDifferent || !strings.Contains(r.Out, "missing  stream COMMANDS") || !strings.Contains(r.Out, "0 as they must be, 28 missing, 0 made, 0 differ") {
		t.Errorf("plan at first: code %d\n%s%s", r.Code, r.Out, r.Err)
	}
	if _, err := s.JS.Stream(t.Context(), "COMMANDS"); err == nil {
		t.Error("a plan has made a stream")
	}
	if r := run("apply"); r.Code != 0 || !strings.Contains(r.Out, "made     consumer PARKED/mailbox-1") || !strings.Contains(r.Out, "0 as they must be, 0 missing, 28 made, 0 differ") {
		t.Errorf("apply: code %d\n%s%s", r.Code, r.Out, r.Err)
	}
	if r := run("plan"); r.Code != 0 || r.Out != "28 as they must be, 0 missing, 0 made, 0 differ\n" {
		t.Errorf("plan at last: code %d\n%s%s", r.Code, r.Out, r.Err)
	}
}

func TestApplyLeavesWhatDiffersAsItIs(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	stream, err := s.JS.Stream(t.Context(), "DRIFT")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgsPerSubject = 7
	if _, err := s.JS.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	r := apptest.Run(t.Context(), t, apptest.Call{Name: "streams", Command: &streams.Command{}, Args: []string{"apply", "--partitions", "2", "--nats-url", s.URL, "--json"}})
	if r.Code != app.ExitDifferent || !strings.Contains(r.Out, `"state":"differs","detail":"stream DRIFT differs`) {
		t.Errorf("code %d\n%s%s", r.Code, r.Out, r.Err)
	}
	for line := range strings.Lines(r.Out) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
	stream, err = s.JS.Stream(t.Context(), "DRIFT")
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().Config.MaxMsgsPerSubject; got != 7 {
		t.Errorf("max_msgs_per_subject became %d", got)
	}
	if _, err := s.JS.Consumer(t.Context(), "COMMANDS", "directory-recheck"); err != nil {
		t.Error(err)
	}
}
