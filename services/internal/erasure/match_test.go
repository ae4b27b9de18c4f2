package erasure_test

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/services/internal/erasure"
)

func TestMatcher(t *testing.T) {
	t.Parallel()
	m := erasure.NewMatcher([]string{"Alex@contoso.com", "a.user"})
	for text, want := range map[string]bool{
		"alex@contoso.com": true, "SMTP:ALEX@CONTOSO.COM": true, "<alex@contoso.com>, dana": true, "mail to alex@contoso.com.": true,
		"malex@contoso.com": false, "x.alex@contoso.com": false, "alex@contoso.com.au": false, "alex@contoso.community": false, "alex@contoso.com-x": false,
		"alex%40contoso%2Ecom": true, "malex%40contoso%2Ecom": false, "100% alex@contoso.com": true,
		"malex@contoso.com alex@contoso.com": true, "a.user": true, "CN=a.user,OU=x": true, "a.users": false, "": false, "%": false,
	} {
		if got := m.Text(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	for body, want := range map[string]bool{
		`{"a":[{"b":"alex\u0040contoso.com"}]}`: true, `{"alex@contoso.com":1}`: true, `{"a":"x"}`: false, `"alex@contoso.com`: true, "": false,
	} {
		if got := m.Message("mailwright.cmd.contoso.mailbox.0.k", nats.Header{"ce-id": {"1"}}, []byte(body)); got != want {
			t.Errorf("%s: %v", body, got)
		}
	}
	if !m.Message("mailwright.cmd.contoso.mailbox.0.alex%40contoso%2Ecom", nil, nil) || !m.Message("s", nats.Header{"ce-subject": {"alex%40contoso.com"}}, nil) {
		t.Error("a subject or a header is not found")
	}
}
