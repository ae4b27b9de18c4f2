package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/guarantees/internal/check"
)

// hostileAnswers are answers of a vendor that try to lead the service to another host, or to make
// it read without end. Keys are the tenants that a request asks for.
var hostileAnswers = map[string]func(here, elsewhere string, w http.ResponseWriter, r *http.Request){
	"elsewhere": func(_, elsewhere string, w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"mailboxes":[{"id":"1"}],"totalCount":2,"nextLink":%q}`, elsewhere+"/smp/exchange/mailboxes?page=2")
	},
	"redirect": func(_, elsewhere string, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere+"/smp/exchange/mailboxes", http.StatusTemporaryRedirect)
	},
	"loop": func(here, _ string, w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"mailboxes":[],"totalCount":2,"nextLink":%q}`, here+"/smp/exchange/mailboxes?tenant=loop")
	},
	"endless": func(here, _ string, w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		next := here + "/smp/exchange/mailboxes?tenant=endless&n=" + strconv.Itoa(n+1)
		_, _ = fmt.Fprintf(w, `{"mailboxes":[],"totalCount":2,"nextLink":%q}`, next)
	},
	"huge": func(_, _ string, w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"mailboxes":[`))
		row := []byte(strings.Repeat(`{"id":"`+strings.Repeat("x", 1000)+`"},`, 1000))
		for range 200 { // 200 MB, for a reader without a limit
			if _, err := w.Write(row); err != nil {
				return
			}
		}
	},
}

// hostileTenant is the configured tenant of the hostile vendor.
const hostileTenant = "hostile"

// maxServiceMemory bounds the resident memory of a service, whatever a vendor answers.
const maxServiceMemory = 512 << 20

// RunHostileVendor runs an inventory-svc against a vendor with hostile answers, and reports where
// its requests went and how much memory it took.
func (s *Scenario) RunHostileVendor(ctx context.Context) (check.HostileVendor, error) {
	result := check.HostileVendor{LimitBytes: maxServiceMemory}
	var elsewhere atomic.Int64
	other, err := serve(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	if err != nil {
		return result, err
	}
	defer other.stop()
	var vendor *listener
	if vendor, err = serve(func(w http.ResponseWriter, r *http.Request) { answer(vendor.url, other.url, w, r) }); err != nil {
		return result, err
	}
	defer vendor.stop()
	if slices.Contains(s.Unsafe, NaiveClient) {
		followBlindly(ctx, vendor.url)
	}
	svc, err := s.inventoryAgainst(ctx, vendor.url)
	if err != nil {
		return result, err
	}
	for kind := range hostileAnswers {
		result.Tried = append(result.Tried, kind)
		s.countFault("hostile answer")
		data := fmt.Sprintf(`{"tenant":%q}`, kind)
		m := messageOf(hostileTenant, event.DomainInventory, kind, "hostile-"+kind, event.TypeInventorySync, data)
		if _, err := s.store(ctx, m); err != nil {
			return result, err
		}
	}
	err = until(ctx, time.Minute, func(ctx context.Context) (string, error) {
		const failed = `SELECT command_id FROM mailwright.operations WHERE domain = 'inventory' AND failure_text <> ''`
		answered, err := column[string](ctx, s.db, failed)
		if err == nil && len(answered) < len(hostileAnswers) {
			return fmt.Sprintf("only %v have a failure text", answered), nil
		}
		return "", err
	})
	if err != nil {
		result.Unanswered = []string{err.Error()}
	}
	result.PeakBytes = peakMemory(svc.Process.Pid)
	_ = svc.Process.Signal(syscall.SIGTERM)
	_ = svc.Wait()
	result.Elsewhere = int(elsewhere.Load())
	return result, nil
}

// NaiveClient is a name for Plan.Unsafe: a client that follows every link sends requests, too.
const NaiveClient = "client"

// followBlindly follows every redirect and nextLink with its credentials, once.
func followBlindly(ctx context.Context, url string) {
	for kind := range hostileAnswers {
		next := url + "/smp/exchange/mailboxes?tenant=" + kind
		for range 2 {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, next, nil)
			if err != nil {
				return
			}
			req.Header.Set("Authorization", "Bearer hostile")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				return
			}
			var page struct{ NextLink string }
			_ = json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&page) // what it can read
			_ = res.Body.Close()
			if next = page.NextLink; next == "" {
				break
			}
		}
	}
}

func answer(here, elsewhere string, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/token" {
		_, _ = w.Write([]byte(`{"access_token":"hostile","token_type":"Bearer","expires_in":3600}`))
		return
	}
	if h, ok := hostileAnswers[r.URL.Query().Get("tenant")]; ok {
		h(here, elsewhere, w, r)
		return
	}
	w.WriteHeader(http.StatusBadRequest)
}

// inventoryAgainst starts an inventory-svc whose only tenant is that of the given vendor.
func (s *Scenario) inventoryAgainst(ctx context.Context, url string) (*exec.Cmd, error) {
	config := filepath.Join(s.dir, "hostile.yaml")
	text := fmt.Sprintf(`tenants:
  %s:
    policy: {enpower: {tenants: ["*"]}}
    enpower: {url: %q, tokenUrl: %q, clientId: hostile, clientSecret: {file: secrets/enpower-client-secret}}
`, hostileTenant, url, url+"/token")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "logs", "hostile.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.CommandContext(ctx, filepath.Join(s.Bin, "inventory-svc"), "--config", config)
	cmd.Env = append(slices.Concat(os.Environ(), s.environment(), s.stack.IdentityEnv("inventory-svc")),
		"MAILWRIGHT_VENDOR_TIMEOUT=10s", "MAILWRIGHT_NATS_URL="+s.stack.Endpoints.NATS)
	cmd.Stdout = log
	cmd.Stderr = log
	return cmd, cmd.Start()
}

// peakMemory is a process's largest resident set in bytes, from Linux's /proc; 0 on other systems.
func peakMemory(pid int) int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10
		}
	}
	return 0
}
