package hostedexchange_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/hostedexchange"
)

// pageUser is the page's sample response as we read it.
var pageUser = hostedexchange.CreatedUser{
	Path:           "LDAP://cn=user11@alpineskihouse.com,OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=Com",
	Name:           "user11@alpineskihouse.com",
	MemberOf:       []string{"LDAP://cn=AllUsers@alpineskihouse,cn=_Private,OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com"},
	PlanName:       "GoldMail",
	Mail:           &hostedexchange.MailSettings{SizeKB: new(int64(20000))},
	ProxyAddresses: []string{"user11@alpineskihouse.com"},
	Properties: map[string][]string{
		"otherHomePhone":           {"2065551212", "2065551213"},
		"street":                   {"1703 NE 91st"},
		"msExchQueryBaseDN":        {"OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com"},
		"mail":                     {"user11@alpineskihouse.com"},
		"msExchMailboxFolderSet":   {"108303"},
		"showInAddressBook":        {"CN=Default Global Address List,CN=All Global Address Lists,CN=Address Lists Container,CN=fabrikam,CN=Microsoft Exchange,CN=Services,CN=Configuration,DC=fabrikam,DC=com"},
		"msExchUserAccountControl": {"0"},
	},
}

func TestAnswerPageExample(t *testing.T) {
	t.Parallel()
	page := testdata(t, "create-business-user.response.xml")
	for name, body := range map[string]string{
		"bare":     page,
		"declared": "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + page,
		"soap":     strings.Replace(testdata(t, "envelope.xml"), "<!-- request data -->", page, 1),
		"default namespace": `<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>` +
			strings.Replace(page, "<response>", `<response xmlns="">`, 1) + `</Body></Envelope>`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(body, password) {
				t.Fatal("the sample should echo the password")
			}
			got, err := answering(t, 200, []byte(body)).CreateBusinessUser(t.Context(), bob())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(pageUser, got); diff != "" {
				t.Error(diff)
			}
			wantHidden(t, []string{password}, got, &got)
		})
	}
}

// TestAnswerIsReadTolerantly: repeats, other spellings of a value, missing and unknown parts.
func TestAnswerIsReadTolerantly(t *testing.T) {
	t.Parallel()
	body := `<response><data>
		<planName>Asked</planName><planName><value>Given</value></planName>
		<properties><property name="a">1</property><property name="b" mode="replace"><value>1</value><value>2</value></property></properties>
		<properties mode="merge"><property name="a" mode="append"><value>1</value><value>2</value></property><property name="none"/></properties>
		<proxyAddresses><value>a@x</value></proxyAddresses><proxyAddresses><value>a@x</value><value>b@x</value></proxyAddresses>
		<mail><disablePOP>1</disablePOP><size><value>500</value></size><disableIMAP>TRUE</disableIMAP><disableHTTP/></mail>
		<user/><user path=" LDAP://CN=a,DC=x " name="a"><memberOfGroup name="g1"/><memberOfGroup name="g2"/><other/></user>
		<user path="LDAP://CN=a,DC=x" name="a"><memberOfGroup name="g1"/></user>
		<newpassword>Pass1Word</newpassword><OldPassword><errorContext code="0x1"/></OldPassword><hint do-not-log="1">Pass1Word</hint>
		<properties><property name="unicodePwd"><value>Pass1Word</value></property><property name="c" do-not-log="true">Pass1Word</property><property name="d" do-not-log="1">Pass1Word</property></properties>
		</data></response>`
	got, err := answering(t, 200, []byte(body)).CreateBusinessUser(t.Context(), bob())
	if err != nil {
		t.Fatal(err)
	}
	want := hostedexchange.CreatedUser{
		Path: "LDAP://CN=a,DC=x", Name: "a", MemberOf: []string{"g1", "g2"}, PlanName: "Given",
		Mail:           &hostedexchange.MailSettings{SizeKB: new(int64(500)), DisablePOP: true, DisableIMAP: true},
		ProxyAddresses: []string{"a@x", "b@x"},
		Properties:     map[string][]string{"a": {"1", "2"}, "b": {"1", "2"}, "none": nil},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	wantHidden(t, []string{password}, got)
	got, err = answering(t, 200, []byte(`<response><data><user path="LDAP://CN=a"/></data></response>`)).CreateBusinessUser(t.Context(), bob())
	if err != nil || got.Mail != nil || got.PlanName != "" {
		t.Errorf("a user without a mailbox: %+v, %v", got, err)
	}
}

// TestASizeIsReadExactlyOrNotAtAll: none is clipped, and what cannot be read is named.
func TestASizeIsReadExactlyOrNotAtAll(t *testing.T) {
	t.Parallel()
	unread := hostedexchange.MailSettings{Unread: []string{"size"}}
	for size, want := range map[string]hostedexchange.MailSettings{
		"<size>20000.0</size>":              {SizeKB: new(int64(20000))},
		"<size>9223372036854775807</size>":  {SizeKB: new(int64(9223372036854775807))},
		"<size>99999999999999999999</size>": unread,
		"<size>1.5</size>":                  unread,
		"<size>unlimited</size>":            unread,
		"<size/>":                           {},
		"<size><value>0</value></size>":     {SizeKB: new(int64(0))},
		"<disablePOP>0</disablePOP>":        {},
	} {
		body := `<response><data><user path="LDAP://CN=a"/><mail>` + size + `</mail></data></response>`
		got, err := answering(t, 200, []byte(body)).CreateBusinessUser(t.Context(), bob())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got.Mail); diff != "" {
			t.Errorf("%s: %s", size, diff)
		}
	}
}

// FuzzDecodeAnswer: whatever the vendor answers, a create ends in a user with a path or in a
// failure with a decision.
func FuzzDecodeAnswer(f *testing.F) {
	page := testdata(f, "create-business-user.response.xml")
	for _, seed := range []string{
		page, strings.Replace(testdata(f, "envelope.xml"), "<!-- request data -->", page, 1), exists, fault,
		`<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`, "<a>", "", "\xff\xfe<",
	} {
		f.Add(200, []byte(seed))
		f.Add(500, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		user, err := answering(t, 200+max(0, status)%400, body).CreateBusinessUser(t.Context(), bob())
		if err == nil {
			if user.Path == "" {
				t.Fatal("success without a user")
			}
			return
		}
		e := failure.Of(err)
		if e.Text == "" || e.Vendor != hostedexchange.Vendor || e.Kind == failure.Internal {
			t.Fatalf("%v is no decision", err)
		}
		if user.Path != "" {
			t.Fatal("a user beside an error")
		}
	})
}
