package adaxes_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
)

const john = "CN=John Smith,CN=Users,DC=example,DC=com"

// TestCreateMailboxPageExamples sends the two examples of the page "Create Exchange mailbox".
func TestCreateMailboxPageExamples(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name                  string
		mailbox               adaxes.Mailbox
		nickname, mail, store string
	}{
		{
			"create-mailbox-1", adaxes.Mailbox{DirectoryObject: john, AliasTemplate: "%username%"},
			"jsmith", "jsmith@example.com", "Mailbox Database 3",
		},
		{"create-mailbox-2", adaxes.Mailbox{
			DirectoryObject: john, Alias: "john.smith",
			Storage: "CN=Mailbox Database 3,CN=Databases,CN=Exchange Administrative Group,CN=Administrative Groups,CN=Microsoft Exchange,CN=Services,CN=Configuration,DC=example,DC=com",
		}, "john.smith", "john.smith@example.com", "Mailbox Database 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := newVendor(t, says(200, testdata(t, tt.name+".response.json")))
			result, err := newClient(t, v.URL).CreateMailbox(t.Context(), tt.mailbox)
			if err != nil {
				t.Fatal(err)
			}
			if result.ObjectDN != john || result.MailNickname != tt.nickname || result.Mail != tt.mail || result.HomeMDB != tt.store {
				t.Errorf("result %+v", result)
			}
			seen := v.requests()
			if len(seen) != 1 || seen[0].Method != http.MethodPost || seen[0].URI != "/restApi/api/directoryObjects/exchange/mailbox" {
				t.Fatalf("requests %v", seen)
			}
			wantJSON(t, seen[0].Body, testdata(t, tt.name+".request.json"))
		})
	}
}

func TestCreateMailboxRefusesBeforeSending(t *testing.T) {
	t.Parallel()
	v := newVendor(t, says(500, ""))
	c := newClient(t, v.URL)
	for want, m := range map[string]adaxes.Mailbox{
		"directoryObject": {DirectoryObject: "jsmith@example.com", Alias: "a"},
		"alias":           {DirectoryObject: "7a4267ce-d354-44e7-8bd6-c681f1284a41"},
		"mailboxStorage":  {DirectoryObject: "S-1-5-21-3635565734-1729062999-1822655016-1627", Alias: "a", Storage: "Mailbox Database 3"},
	} {
		if _, err := c.CreateMailbox(t.Context(), m); !failure.Is(err, failure.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if n := len(v.requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}
