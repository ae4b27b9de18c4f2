package transport_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

func TestEndpoint(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://outlook.office365.com":    "",
		"http://127.0.0.1:8080/base":       "",
		"":                                 "is missing",
		"outlook.office365.com":            "must be an absolute http or https URL",
		"ftp://example.com":                "must be an absolute http or https URL",
		"https://":                         "must be an absolute http or https URL",
		"https://:443":                     "must be an absolute http or https URL",
		"https://u:hunter2@example.com":    "must not hold a user, a query or a fragment",
		"https://example.com?key=hunter2":  "must not hold a user, a query or a fragment",
		"https://example.com#hunter2":      "must not hold a user, a query or a fragment",
		"https://u:hunter2@example.com:%z": "is not a URL",
	} {
		t.Run(raw, func(t *testing.T) {
			t.Parallel()
			u, err := transport.Endpoint(raw)
			if want == "" {
				if err != nil || u.String() != raw {
					t.Fatalf("Endpoint = %v, %v", u, err)
				}
				return
			}
			if err == nil || err.Error() != want {
				t.Fatalf("error = %v, want %q", err, want)
			}
		})
	}
}

func TestAnswerTooLargeIsNotRepeated(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.Repeat("x", 101)))
	}))
	t.Cleanup(server.Close)
	client := transport.New(transport.Config{Vendor: "enpower", MaxBody: 100})
	for effect, want := range map[transport.Effect]failure.Kind{transport.Read: failure.Internal, transport.Write: failure.Unknown} {
		req, err := http.NewRequest(http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Do(t.Context(), effect, req); !failure.Is(err, want) {
			t.Errorf("effect %v: %v, want %s", effect, err, want)
		}
	}
}
