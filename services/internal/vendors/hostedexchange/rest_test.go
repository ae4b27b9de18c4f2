package hostedexchange_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/hostedexchange"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// TestRefusedCredentialsRest: Windows locks an account after a few wrong passwords, and the
// password may be corrected at any time. After each rest one call tries. It runs on a clock of its
// own.
func TestRefusedCredentialsRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int64
		status := http.StatusUnauthorized
		c := newClient(t, hostedexchange.Config{URL: "http://vendor.test/mpf", Username: "u", Password: secret.New("wrong!W0rd"), HTTP: transport.Config{
			RoundTripper: roundTripper(func(*http.Request) (*http.Response, error) {
				sent.Add(1)
				time.Sleep(time.Second)
				w := httptest.NewRecorder()
				w.WriteHeader(status)
				_, _ = w.WriteString(`<response><data><user path="LDAP://CN=a"/></data></response>`)
				return w.Result(), nil
			}),
		}})
		create := func() error { _, err := c.CreateBusinessUser(t.Context(), bob()); return err }
		if f := failure.Of(create()); f.Kind != failure.Unavailable || f.Code != "HTTP 401" || f.RetryAfter != 5*time.Second {
			t.Fatalf("%v, after %v", f, f.RetryAfter)
		}
		for asked, rest := range []time.Duration{5 * time.Second, 20 * time.Second, 80 * time.Second, 5 * time.Minute, 5 * time.Minute} {
			time.Sleep(rest - time.Second)
			if f := failure.Of(create()); f.Kind != failure.Unavailable || f.RetryAfter != time.Second {
				t.Errorf("%v, after %v", f, f.RetryAfter)
			}
			time.Sleep(time.Second)
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					if err := create(); !failure.Is(err, failure.Unavailable) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := sent.Load(); n != int64(asked)+2 {
				t.Errorf("sent %d times, want %d", n, asked+2)
			}
		}
		time.Sleep(5 * time.Minute)
		status = http.StatusOK
		for range 2 {
			if err := create(); err != nil {
				t.Errorf("the password was corrected: %v", err)
			}
		}
	})
}
