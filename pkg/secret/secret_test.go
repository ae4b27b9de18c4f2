package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/secret"
)

func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	type holder struct {
		Exported   secret.String
		unexported secret.String
		nested     struct{ deep *secret.String }
	}
	s := secret.New("hunter2")
	h := holder{Exported: s, unexported: s}
	h.nested.deep = &s
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "holder", h, "pointer", &h)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "holder", h)
	raw, err := json.Marshal(map[string]any{"a": s, "b": h, "c": map[secret.String]int{s: 1}})
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{log.String(), string(raw), fmt.Errorf("wrapped: %w %v", fmt.Errorf("%s", s), h).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, s), fmt.Sprintf(verb, &s), fmt.Sprintf(verb, h), fmt.Sprintf(verb, &h))
	}
	for _, text := range texts {
		if strings.Contains(text, "hunter2") || strings.Contains(text, fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("printed: %s", text)
		}
	}
	if s.Reveal() != "hunter2" || s.IsZero() || !(secret.String{}).IsZero() {
		t.Error("the value itself is lost")
	}
}

func TestHide(t *testing.T) {
	t.Parallel()
	got := secret.Hide("hunter2 and hunter2, but abc", secret.New("hunter2"), secret.New("abc"), secret.String{})
	if got != "[redacted] and [redacted], but abc" {
		t.Error(got)
	}
}
