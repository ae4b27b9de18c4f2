package ldapdirectory_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/ldapdirectory"
)

func config(change func(*ldapdirectory.Config)) ldapdirectory.Config {
	cfg := ldapdirectory.Config{URL: "ldaps://dc1.example.com", BindDN: `EXAMPLE\reader`, Password: secret.New("hunter2"), BaseDN: "DC=example,DC=com"}
	change(&cfg)
	return cfg
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*ldapdirectory.Config)
		want   string
	}{
		"right":               {func(*ldapdirectory.Config) {}, ""},
		"another scheme":      {func(c *ldapdirectory.Config) { c.URL = "https://dc1.example.com" }, "URL must be"},
		"a user in the URL":   {func(c *ldapdirectory.Config) { c.URL = "ldap://reader:hunter2@dc1" }, "URL must be"},
		"no account":          {func(c *ldapdirectory.Config) { c.BindDN = "" }, "BindDN and Password"},
		"no password":         {func(c *ldapdirectory.Config) { c.Password = secret.String{} }, "BindDN and Password"},
		"no name of the base": {func(c *ldapdirectory.Config) { c.BaseDN = "example.com" }, "BaseDN must be"},
	} {
		client, err := ldapdirectory.New(config(c.change))
		if (err == nil) != (c.want == "") || (err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2"))) {
			t.Errorf("%s: %v", name, err)
		}
		if client != nil && strings.Contains(fmt.Sprintf("%+v %#v", client, client), "hunter2") {
			t.Errorf("%s: a printed client shows the password", name)
		}
	}
}

// unencrypted is a listener that refuses whatever is not TLS by closing, and counts bytes.
func TestNoPasswordGoesOverAnUnencryptedConnection(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan string, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		buffer := make([]byte, 4096)
		n, _ := c.Read(buffer)
		_ = c.Close()
		received <- string(buffer[:n])
	}()
	t.Cleanup(func() { _ = listener.Close() })
	client, err := ldapdirectory.New(config(func(c *ldapdirectory.Config) { c.URL, c.Timeout = "ldap://"+listener.Addr().String(), 5*time.Second }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Find(t.Context(), "CN=x,DC=example,DC=com"); !failure.Is(err, failure.Unavailable) {
		t.Errorf("%v, want unavailable", err)
	}
	if text := <-received; strings.Contains(text, "hunter2") || !strings.Contains(text, "1.3.6.1.4.1.1466.20037") {
		t.Errorf("%q, want a request for StartTLS alone", text)
	}
}

func TestTimeEnds(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	client, err := ldapdirectory.New(config(func(c *ldapdirectory.Config) {
		c.URL, c.Insecure, c.Timeout = "ldap://"+listener.Addr().String(), true, 50*time.Millisecond
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Check(t.Context()); !failure.Is(err, failure.Unavailable) {
		t.Errorf("%v, want unavailable", err)
	}
}
