package hostedexchange_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/vendors/hostedexchange"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

const password = "Pass1Word"

// request is what the vendor saw.
type request struct {
	method, uri string
	header      http.Header
	body        []byte
}

// newVendor returns the URL of a server that answers every request alike, and a channel with what
// it saw.
func newVendor(t *testing.T, status int, answer string) (url string, seen <-chan request) {
	t.Helper()
	requests := make(chan request, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- request{r.Method, r.RequestURI, r.Header, body}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/mpf/soapisapi.dll", requests
}

func newClient(t testing.TB, cfg hostedexchange.Config) *hostedexchange.Client {
	t.Helper()
	c, err := hostedexchange.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answering returns a client whose every call gets one answer, without a network.
func answering(t testing.TB, status int, body []byte) *hostedexchange.Client {
	t.Helper()
	return newClient(t, hostedexchange.Config{URL: "http://vendor.test/", HTTP: transport.Config{
		RoundTripper: roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, nil
		}),
	}})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func testdata(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// node is XML by meaning: no comments, no white space around elements, attributes in order,
// namespaces resolved.
type node struct {
	Name     xml.Name
	Attrs    []xml.Attr
	Text     string
	Children []*node
}

func parse(t *testing.T, document string) *node {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(document))
	root := &node{}
	open := []*node{root}
	for {
		token, err := d.Token()
		if err == io.EOF {
			return root.Children[0]
		}
		if err != nil {
			t.Fatalf("%v in %s", err, document)
		}
		top := open[len(open)-1]
		switch token := token.(type) {
		case xml.StartElement:
			n := &node{Name: token.Name, Attrs: slices.Clone(token.Attr)}
			slices.SortFunc(n.Attrs, func(a, b xml.Attr) int { return strings.Compare(fmt.Sprint(a.Name), fmt.Sprint(b.Name)) })
			top.Children = append(top.Children, n)
			open = append(open, n)
		case xml.EndElement:
			if len(top.Children) > 0 {
				top.Text = strings.TrimSpace(top.Text)
			}
			open = open[:len(open)-1]
		case xml.CharData:
			top.Text += string(token)
		}
	}
}

// wantXML compares two documents by meaning, the order of elements included.
func wantXML(t *testing.T, got []byte, want string) {
	t.Helper()
	if diff := cmp.Diff(parse(t, want), parse(t, string(got))); diff != "" {
		t.Errorf("request (-page +ours):\n%s", diff)
	}
}

// wantHidden fails if any way of printing the values shows one of the secrets.
func wantHidden(t *testing.T, secrets []string, values ...any) {
	t.Helper()
	for _, v := range values {
		j, _ := json.Marshal(v)
		x, _ := xml.Marshal(v)
		printed := fmt.Sprintf("%v %+v %#v %s %q %s %s", v, v, v, v, v, j, x)
		for _, s := range secrets {
			if strings.Contains(printed, s) {
				t.Errorf("%T shows the secret %q: %+v", v, s, v)
			}
		}
	}
}

// bob is the user of the page's first sample.
func bob() hostedexchange.BusinessUser {
	return hostedexchange.BusinessUser{
		Container:                 "LDAP://OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=Com",
		UserPrincipalName:         "admin@alpineskihouse.com",
		PreferredDomainController: "AD01.fabrikam.com",
		IsAdmin:                   true,
		PlanName:                  "BaseMail",
		NewPassword:               secret.New(password),
		DisplayName:               "Bob Smith",
		GivenName:                 "Bob",
		MiddleName:                "John",
		SN:                        "Smith",
		Initials:                  "bjs",
		Description:               "user",
		Properties: []hostedexchange.Property{
			{Name: "otherHomePhone", Values: []string{"2065551212", "2065551213"}},
			{Name: "street", Values: []string{"1703 NE 91st"}},
		},
	}
}
