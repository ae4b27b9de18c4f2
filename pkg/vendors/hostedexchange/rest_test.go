package hostedexchange_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailwright/mailwright/pkg/failure"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/pkg/vendors/hostedexchange"
	"github.com/mailwright/mailwright/pkg/vendors/transport"
)

// TestRefusedCredentialsRest: Windows locks an account after a few wrong passwords. It runs on a clock of its own.
func TestRefusedCredentialsRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		c := newClient(t, hostedexchange.Config{URL: "http://vendor.test/mpf", Username: "u", Password: secret.New("wrong!W0rd"), HTTP: transport.Config{
			RoundTripper: roundTripper(func(*http.Request) (*http.Response, error) {
				sent++
				w := httptest.NewRecorder()
				w.WriteHeader(http.StatusUnauthorized)
				return w.Result(), nil
			}),
		}})
		for range 5 {
			_, err := c.CreateBusinessUser(t.Context(), bob())
			if f := failure.Of(err); f.Kind != failure.Unavailable || f.Code != "HTTP 401" {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if sent != 1 {
			t.Errorf("sent %d times", sent)
		}
		_, err := c.CreateBusinessUser(t.Context(), bob())
		if f := failure.Of(err); f.RetryAfter != 5*time.Minute {
			t.Errorf("to be tried again after %v", f.RetryAfter)
		}
		time.Sleep(5*time.Minute + time.Second)
		_, _ = c.CreateBusinessUser(t.Context(), bob())
		if sent != 2 {
			t.Errorf("sent %d times: the password may have been corrected at the vendor", sent)
		}
	})
}
