package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
)

// natsPub is a call of the nats command line, over as many lines as end with a backslash.
var natsPub = regexp.MustCompile(`(?m)^nats pub (?:.*\\\n)*.*$`)

// TestDocumentedNATSCommandLines sends by nats.go what each `nats pub` of the documentation says,
// and awaits its success. The shell takes the words apart; the nats command line itself is not
// needed.
func TestDocumentedNATSCommandLines(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	for _, page := range append(pages, "../../README.md") {
		raw, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, natsPub.FindAllString(string(raw), -1)...)
	}
	if len(calls) == 0 {
		t.Fatal("no nats pub is documented")
	}
	s := acquire(t)
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	for _, call := range calls {
		words, err := exec.CommandContext(ctx, "sh", "-c", `nats() { printf '%s\0' "$@"; }; `+call).Output()
		if err != nil {
			t.Fatalf("%s: %v", call, err)
		}
		m, err := natsMessage(strings.Split(strings.TrimSuffix(string(words), "\x00"), "\x00"))
		if err != nil {
			t.Fatalf("%s: %v", call, err)
		}
		if err := s.publish(ctx, m); err != nil {
			t.Fatalf("%s: %v", call, err)
		}
		id := event.OperationID("contoso", m.Header.Get("ce-source"), m.Header.Get("ce-id"))
		if outcome, err := client.Await(ctx, s.js, client.Receipt{Tenant: "contoso", OperationID: id}); err != nil || outcome.State != event.StateSucceeded {
			t.Errorf("%s\n%v, %v", call, outcome, err)
		}
	}
}

// natsMessage is what `nats pub [--jetstream] SUBJECT BODY -H NAME:VALUE …` publishes, by natscli's
// cli/pub_command.go.
func natsMessage(words []string) (*nats.Msg, error) {
	m := &nats.Msg{Header: nats.Header{}}
	var rest []string
	for i := 0; i < len(words); i++ {
		switch {
		case words[i] == "-H" && i+1 < len(words):
			i++
			name, value, _ := strings.Cut(words[i], ":")
			m.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		case words[i] != "--jetstream":
			rest = append(rest, words[i])
		}
	}
	if len(rest) != 3 || rest[0] != "pub" {
		return nil, fmt.Errorf("want pub, a subject and a body: %q", rest)
	}
	m.Subject, m.Data = rest[1], []byte(rest[2])
	return m, nil
}
