package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// secrets are what must not be found: passwords of commands, and the services' own credentials.
var secrets = []string{
	"Zebra-Pass-1", "Zebra-Pass-2", "zebra-weak", "Zebra-Pass-4", "Zebra-Pass-5", "Zebra-Pass-6",
	"adaxes-sandbox-token", "entra-sandbox-secret", "hosted-sandbox-password", "hosted-reader-password", "enpower-sandbox-secret",
}

// TestNoSecretIsFoundAnywhere sends passwords down every path that a command can take, and then
// searches the logs, the streams but COMMANDS itself, and every table.
func TestNoSecretIsFoundAnywhere(t *testing.T) {
	t.Parallel()
	s := start(t)
	object := func(id, cn, password string) command {
		return command{id, event.TypeObjectCreate, id, fmt.Sprintf(`{"createIn":"OU=My Organizational Unit,DC=example,DC=com","objectType":"user","properties":[
			{"propertyName":"cn","propertyType":"String","values":[%q]},{"propertyName":"sAMAccountName","propertyType":"String","values":[%q]},{"propertyName":"userPrincipalName","propertyType":"String","values":[%q]},
			{"propertyName":"unicodePwd","propertyType":"String","values":[%q]}],"o365":{"locationName":"US","licenseModifications":[{"skuPartNumber":"O365_BUSINESS","assigned":true}]}}`, cn, id, id, password)}
	}
	hosted := func(id, upn, password string) command {
		return command{id, event.TypeBusinessUserCreate, id, fmt.Sprintf(`{"container":"LDAP://OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com","userPrincipalName":%q,"preferredDomainController":"AD01.fabrikam.com","isAdmin":false,"newPassword":%s}`, upn, password)}
	}
	outcomes := map[string]event.State{}
	for want, list := range map[event.State][]command{
		event.StateSucceeded: {object("plain", "Plain", "Zebra-Pass-1"), hosted("echoed", "echoed@alpineskihouse.com", `"Zebra-Pass-2"`), object("weak", "Weak", "zebra-weak")},
		event.StateFailed:    {hosted("nowhere", "x@not-ours.example", `"Zebra-Pass-4"`)},
		event.StateRejected:  {hosted("misplaced", "y@alpineskihouse.com", `["Zebra-Pass-5"]`)},
	} {
		for _, c := range list {
			s.mustPublish(c.message())
			outcomes[c.id] = want
		}
	}
	// The same source and id with other data, and the whole event as bytes that are nearly JSON.
	conflict := hosted("echoed", "other@alpineskihouse.com", `"Zebra-Pass-6"`)
	s.mustPublish(conflict.message())
	torn := conflict.message()
	torn.Header = nil
	torn.Data = []byte(`{"specversion":"1.0","newPassword":"Zebra-Pass-6"`)
	s.mustPublish(torn)

	for id, want := range outcomes {
		e := s.outcome(event.DomainDirectory, id)
		if got := stateOf(e); got != want && id != "nowhere" {
			t.Errorf("%s ended as %s: %s", id, got, e.Data())
		}
	}
	s.eventually(func(ctx context.Context) string {
		reasons, err := s.rows(ctx, `SELECT DISTINCT reason FROM mailwright.dead_letters ORDER BY 1`)
		if err != nil || len(reasons) != 2 {
			return fmt.Sprintf("dead letters: %v, %v", reasons, err)
		}
		return ""
	})
	s.searchStreams()
	s.searchTables()
	if err := s.Stop(); err != nil { // the logs are whole
		t.Error(err)
	}
	s.searchLogs()
}

// accessToken is what the sandbox's tokens look like.
var accessToken = regexp.MustCompile(`sbxtok_\S{0,8}`)

var temporaryPassword = regexp.MustCompile(`(?i)temporary password is [^\[\s]`)

// search reports every secret in a text.
func (s *env) search(where, text string) {
	s.Helper()
	for _, secret := range secrets {
		if i := strings.Index(text, secret); i >= 0 {
			s.Errorf("%s has %q: …%s…", where, secret, text[max(0, i-100):min(len(text), i+100)])
		}
	}
	if token := accessToken.FindString(text); token != "" {
		s.Errorf("%s has an access token: %s", where, token)
	}
	if temporaryPassword.MatchString(text) {
		s.Errorf("%s has a temporary password: %s", where, temporaryPassword.FindString(text))
	}
}

func (s *env) searchStreams() {
	s.Helper()
	for _, name := range []string{topology.StreamEvents, topology.StreamMailboxes, topology.StreamDrift, topology.StreamParked, topology.StreamDead} {
		stream, err := s.js.Stream(s.Context(), name)
		if err != nil {
			s.Fatal(err)
		}
		for sequence := max(1, stream.CachedInfo().State.FirstSeq); sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
			m, err := stream.GetMsg(s.Context(), sequence)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if err != nil {
				s.Fatal(err)
			}
			s.search(fmt.Sprintf("message %d of %s", sequence, name), fmt.Sprint(m.Header)+string(m.Data))
		}
	}
}

func (s *env) searchTables() {
	s.Helper()
	tables, err := s.rows(s.Context(), `SELECT table_name FROM information_schema.tables WHERE table_schema = 'mailwright' AND table_type = 'BASE TABLE'`)
	if err != nil || len(tables) < 8 {
		s.Fatalf("tables: %v, %v", tables, err)
	}
	for _, table := range tables {
		rows, err := s.rows(s.Context(), `SELECT t::text FROM mailwright.`+pgx.Identifier{table}.Sanitize()+` t`)
		if err != nil {
			s.Fatal(err)
		}
		s.search("table "+table, strings.Join(rows, "\n"))
	}
}

func (s *env) searchLogs() {
	s.Helper()
	logs, err := filepath.Glob(filepath.Join(s.dir, "logs", "*.log"))
	if err != nil || len(logs) < 6 {
		s.Fatalf("logs: %v, %v", logs, err)
	}
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			s.Fatal(err)
		}
		s.search(filepath.Base(log), string(text))
	}
}
