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
	"unicode/utf8"

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
	const odd = "a\"b\\c+d/e&f'é g😀"
	asJSON, _ := json.Marshal(odd)
	for text, want := range map[string]string{
		"hunter2 and hunter2, but abc": "[redacted] and [redacted], but abc",
		odd:                            "[redacted]",
		string(asJSON):                 `"[redacted]"`,
		`"a\u0022b\\c\u002Bd/e\u0026f\u0027\u00E9 g\uD83D\uDE00"`:           `"[redacted]"`, // System.Text.Json
		`"a\u0022b\u005cc\u002bd\/e\u0026f\u0027\u00e9\u0020g\ud83d\ude00"`: `"[redacted]"`,
		"<p>" + html.EscapeString(odd):                                      "<p>[redacted]",
		"a&quot;b\\c+d/e&amp;f&#39;&#233; g&#128512;!":                      "[redacted]!", // HttpUtility.HtmlEncode
		"a&#x22;b\\c+d/e&amp;f&apos;&eacute;&#32;g&#x1F600;":                "[redacted]",
		"?password=" + url.QueryEscape(odd) + "&next=1":                     "?password=[redacted]&next=1",
		"/" + url.PathEscape(odd):                                           "/[redacted]",
		"a%22b%5cc%2bd%2fe%26f%27%c3%a9+g%f0%9f%98%80":                      "[redacted]",
		"a&quot;b\\\\c%2Bd/e&f'\u00e9 g😀":                                   "[redacted]", // spellings mixed
		"a&quot;b":                                                          "a&quot;b",
		"a\"b\\c+d/e&f'é gX":                                                "a\"b\\c+d/e&f'é gX",
	} {
		if got := secret.Hide(text, secret.New("hunter2"), secret.New("abc"), secret.New(odd), secret.String{}); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

// TestHideIsFastOnHostileTexts: backslashes may be one character or two. To try every way of
// reading them would not end.
func TestHideIsFastOnHostileTexts(t *testing.T) {
	t.Parallel()
	text := strings.Repeat(`\`, 5000) + "y"
	if got := secret.Hide(text, secret.New(strings.Repeat(`\`, 120)+"&%+x")); got != text {
		t.Error("the text was changed")
	}
	if got := secret.Hide(strings.Repeat(`\`, 90)+"x", secret.New(strings.Repeat(`\`, 60)+"x")); !strings.HasSuffix(got, secret.Redacted) {
		t.Errorf("got %s", got)
	}
}

// FuzzHide: no standard encoder's spelling of a secret stays readable.
func FuzzHide(f *testing.F) {
	f.Add("Pa\"ss\\wörd😀 <1>", "before ", " after")
	f.Add("%25%25&amp;", "%", ";")
	f.Fuzz(func(t *testing.T, value, before, after string) {
		if len(value) < 6 || !utf8.ValidString(value) {
			t.Skip()
		}
		asJSON, _ := json.Marshal(value)
		for _, spelled := range []string{value, string(asJSON[1 : len(asJSON)-1]), html.EscapeString(value), url.QueryEscape(value), url.PathEscape(value)} {
			if got := secret.Hide(before+spelled+after, secret.New(value)); !strings.Contains(got, secret.Redacted) {
				t.Errorf("%q is readable in %q", spelled, got)
			}
		}
	})
}

func BenchmarkHideInAPage(b *testing.B) {
	page := []byte(strings.Repeat(`{"userPrincipalName":"alex.wilber@contoso.com","size":"1,024"},`, 50_000))
	token := secret.New(strings.Repeat("eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.", 40))
	b.SetBytes(int64(len(page)))
	for b.Loop() {
		secret.HideBytes(page, token)
	}
}
