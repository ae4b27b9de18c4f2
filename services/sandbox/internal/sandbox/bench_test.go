package sandbox_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mailwright/mailwright/services/sandbox/internal/sandbox"
)

// BenchmarkCreate is creates through the whole handler with a state file, caller and server in
// one process.
func BenchmarkCreate(b *testing.B) {
	s, err := sandbox.Open(sandbox.Options{StateFile: filepath.Join(b.TempDir(), "state")})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	var n atomic.Int64
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			r, err := http.NewRequest("POST", server.URL+"/adaxes/restApi/api/directoryObjects",
				strings.NewReader(user(fmt.Sprintf("cn=User %d;givenName=U;sn=S;sAMAccountName=u%d", i, i), "")))
			if err != nil {
				b.Fatal(err)
			}
			r.Header.Set("Adm-Authorization", adaxesToken)
			r.Header.Set("Content-Type", jsonType)
			response, err := transport.RoundTrip(r)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// BenchmarkPage is pages of 1,000 mailboxes out of a million.
func BenchmarkPage(b *testing.B) {
	s, err := sandbox.Open(sandbox.Options{})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	caller := &env{t: &testing.T{}, server: server, sandbox: s}
	caller.control("POST", "enpower/population", `{"count":1000000}`)
	token := caller.powerToken()
	b.ResetTimer()
	for range b.N {
		if a := caller.send("GET", inventoryPath+"?top=1000", "", "Authorization", "Bearer "+token); a.status != http.StatusOK {
			b.Fatal(a.body)
		}
	}
}
