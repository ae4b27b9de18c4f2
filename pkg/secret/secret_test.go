package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"log/slog"
	"net/url"
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
	const odd = `a"b\c+d/e&f'é`
	asJSON, _ := json.Marshal(odd)
	for text, want := range map[string]string{
		"hunter2 and hunter2, but abc": "[redacted] and [redacted], but abc",
		odd:                            "[redacted]",
		string(asJSON):                 `"[redacted]"`,
		`"a\u0022b\\c\u002Bd/e\u0026f\u0027\u00E9"`:     `"[redacted]"`,
		"<p>" + html.EscapeString(odd):                  "<p>[redacted]",
		"?password=" + url.QueryEscape(odd) + "&next=1": "?password=[redacted]&next=1",
		"/" + url.PathEscape(odd):                       "/[redacted]",
	} {
		if got := secret.Hide(text, secret.New("hunter2"), secret.New("abc"), secret.New(odd), secret.String{}); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}
