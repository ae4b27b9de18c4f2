package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
)

func newServer(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(newVendor(0))
	t.Cleanup(server.Close)
	return server.URL
}

// checkCalls compares the number of calls that the vendor has answered.
func checkCalls(t *testing.T, url, want string) {
	t.Helper()
	res, err := http.Get(url + "/calls")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("calls: %s, want %s", got, want)
	}
}

func TestExchangeOnlineClientTakesTheAnswers(t *testing.T) {
	t.Parallel()
	url := newServer(t)
	client, err := exchangeonline.New(exchangeonline.Config{
		BaseURL: url + "/exchange", TokenURL: url + "/token", TenantID: "3f2c8a10-7d54-4c1b-9e0a-5b6d7c8e9f01",
		ClientID: "bench", ClientSecret: secret.New("bench-secret"),
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := client.GetMailbox(t.Context(), "m1@contoso.com", exchangeonline.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Delegates == nil || len(m.Delegates) > 0 {
		t.Errorf("delegates: %v, want a list that is known to be empty", m.Delegates)
	}
	if err := client.SetSendOnBehalf(t.Context(), "m1@contoso.com", []string{"delegate1@contoso.com"}); err != nil {
		t.Error(err)
	}
	checkCalls(t, url, `{"reads":1,"writes":1}`)
}

func TestAdaxesClientTakesTheAnswers(t *testing.T) {
	t.Parallel()
	url := newServer(t)
	client, err := adaxes.New(adaxes.Config{BaseURL: url + "/adaxes", Token: secret.New("bench-token")})
	if err != nil {
		t.Fatal(err)
	}
	const dn = "CN=Bench 1,OU=People,DC=contoso,DC=com"
	user, err := client.GetObject(t.Context(), dn, "mailNickname", "homeMDB", "msExchMailboxGuid")
	if err != nil {
		t.Fatal(err)
	}
	if user.DN != dn || user.Value("homeMDB") != "" {
		t.Errorf("%+v, want the user without a mailbox", user)
	}
	made, err := client.CreateMailbox(t.Context(), adaxes.Mailbox{DirectoryObject: dn, Alias: "bench1"})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{made.ObjectDN, made.MailNickname, made.Mail, made.HomeMDB}
	if diff := cmp.Diff([]string{dn, "bench1", "bench1@contoso.com", "Mailbox Database 1"}, got); diff != "" {
		t.Error(diff)
	}
	checkCalls(t, url, `{"reads":1,"writes":1}`)
}
