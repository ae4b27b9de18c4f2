package exchangeonline_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
)

// TestExamples sends the four examples of the vendor's page and understands the answers.
func TestExamples(t *testing.T) {
	t.Parallel()
	list := func(ctx context.Context, c *exchangeonline.Client) error {
		return c.ListMailboxes(ctx, exchangeonline.ListOptions{PageSize: 10}, func([]exchangeonline.Mailbox) error { return nil })
	}
	get := func(ctx context.Context, c *exchangeonline.Client) error {
		m, err := c.GetMailbox(ctx, "alex@contoso.com", exchangeonline.GetOptions{WithDisplayNames: true})
		if err == nil && len(m.Delegates) != 2 {
			err = fmt.Errorf("%d delegates", len(m.Delegates))
		}
		return err
	}
	set := func(ctx context.Context, c *exchangeonline.Client) error {
		return c.SetSendOnBehalf(ctx, "alex@contoso.com", []string{"delegate1@contoso.com", "delegate2@contoso.com"})
	}
	add := func(ctx context.Context, c *exchangeonline.Client) error {
		return c.ChangeSendOnBehalf(ctx, "alex@contoso.com", []string{"delegate3@contoso.com", "delegate4@contoso.com"}, nil)
	}
	for name, tc := range map[string]struct {
		call   func(context.Context, *exchangeonline.Client) error
		anchor string
		answer string
	}{
		"example1": {list, orgAnchor, file(t, page)},
		"example2": {get, "AAD-UPN:alex@contoso.com", file(t, page)},
		"example3": {set, "AAD-UPN:alex@contoso.com", ""},
		"example4": {add, "AAD-UPN:alex@contoso.com", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVendor(t, reply{status: 200, body: tc.answer})
			if err := tc.call(t.Context(), v.client(t)); err != nil {
				t.Fatal(err)
			}
			got := v.requests()
			if len(got) != 1 {
				t.Fatalf("%d requests", len(got))
			}
			jsonEqual(t, file(t, "testdata/"+name+".json"), got[0].Body)
			got[0].Body = ""
			want := exchange{Method: "POST", Path: path, Anchor: tc.anchor, ContentType: "application/json", Authorization: "Bearer hush-token"}
			if d := cmp.Diff(want, got[0]); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestChangeSendsBothLists(t *testing.T) {
	t.Parallel()
	v := newVendor(t, reply{status: 200})
	if err := v.client(t).ChangeSendOnBehalf(t.Context(), "alex", []string{"a@contoso.com"}, []string{"b@contoso.com"}); err != nil {
		t.Fatal(err)
	}
	got := v.requests()[0]
	jsonEqual(t, `{"CmdletInput":{"CmdletName":"Set-Mailbox","Parameters":{"Identity":"alex",
		"GrantSendOnBehalfTo":{"add":["a@contoso.com"],"remove":["b@contoso.com"],"@odata.type":"#Exchange.GenericHashTable"}}}}`, got.Body)
	if got.Anchor != orgAnchor {
		t.Errorf("anchor %q for an alias", got.Anchor)
	}
}

func TestOneDelegateStaysAList(t *testing.T) {
	t.Parallel()
	v := newVendor(t, reply{status: 200})
	if err := v.client(t).SetSendOnBehalf(t.Context(), "alex@contoso.com", []string{"a@contoso.com"}); err != nil {
		t.Fatal(err)
	}
	jsonEqual(t, `{"CmdletInput":{"CmdletName":"Set-Mailbox","Parameters":{"Identity":"alex@contoso.com",
		"GrantSendOnBehalfTo@odata.type":"#Collection(String)","GrantSendOnBehalfTo":["a@contoso.com"]}}}`, v.requests()[0].Body)
}

func TestListWithoutOptionsSendsNoParameter(t *testing.T) {
	t.Parallel()
	v := newVendor(t, reply{status: 200, body: `{"value":[]}`})
	if err := v.client(t).ListMailboxes(t.Context(), exchangeonline.ListOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	jsonEqual(t, `{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{}}}`, v.requests()[0].Body)
}

func TestSelectAsksForTheCoreToo(t *testing.T) {
	t.Parallel()
	v := newVendor(t, reply{status: 200, body: file(t, page)})
	opts := exchangeonline.GetOptions{Select: []string{"ProhibitSendQuota", "alias"}}
	m, err := v.client(t).GetMailbox(t.Context(), "alex@contoso.com", opts)
	if err != nil {
		t.Fatal(err)
	}
	const want = "$select=Identity,Id,Name,DisplayName,UserPrincipalName,Alias,ExternalDirectoryObjectId,RecipientType,RecipientTypeDetails," +
		"EmailAddresses,PrimarySmtpAddress,MaxSendSize,GrantSendOnBehalfTo,ProhibitSendQuota"
	if got := v.requests()[0].Query; got != want {
		t.Errorf("query %q, want %q", got, want)
	}
	if len(m.Selected) != 1 || string(m.Selected["ProhibitSendQuota"]) != `"99 GB (106,300,440,576 bytes)"` {
		t.Errorf("Selected = %s", m.Selected)
	}
}

func TestWrongCommandsAreNotSent(t *testing.T) {
	t.Parallel()
	v := newVendor(t, reply{status: 200})
	c := v.client(t)
	ctx := t.Context()
	get := func(identity string, selected ...string) error {
		_, err := c.GetMailbox(ctx, identity, exchangeonline.GetOptions{Select: selected})
		return err
	}
	for name, err := range map[string]error{
		"get nothing":       get(""),
		"get blank":         get(" "),
		"wildcard":          get("al*"),
		"header injection":  get("alex@contoso.com\r\nX-Evil: 1"),
		"invalid UTF-8":     get("alex\xff"),
		"too long":          get(strings.Repeat("a", 2000)),
		"query injection":   get("alex", "Alias&$filter=1"),
		"empty property":    get("alex", ""),
		"negative page":     c.ListMailboxes(ctx, exchangeonline.ListOptions{PageSize: -1}, nil),
		"set without a box": c.SetSendOnBehalf(ctx, "", []string{"a@contoso.com"}),
		"set nobody":        c.SetSendOnBehalf(ctx, "alex@contoso.com", nil),
		"set a name":        c.SetSendOnBehalf(ctx, "alex@contoso.com", []string{"Bob"}),
		"set twice":         c.SetSendOnBehalf(ctx, "alex@contoso.com", []string{"a@contoso.com", "A@contoso.com"}),
		"change nothing":    c.ChangeSendOnBehalf(ctx, "alex@contoso.com", nil, []string{}),
		"add and remove":    c.ChangeSendOnBehalf(ctx, "alex@contoso.com", []string{"a@contoso.com"}, []string{"a@contoso.com"}),
		"remove a blank":    c.ChangeSendOnBehalf(ctx, "alex@contoso.com", nil, []string{""}),
	} {
		if !failure.Is(err, failure.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := v.requests(); len(got) != 0 {
		t.Errorf("sent all the same: %+v", got)
	}
}

func TestGetMailboxNotFoundAndAmbiguous(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body string
		kind failure.Kind
	}{
		"no row":    {`{"value":[]}`, failure.NotFound},
		"no body":   {``, failure.NotFound},
		"two rows":  {`{"value":[{"Id":"a"},{"Id":"b"}]}`, failure.Invalid},
		"not JSON":  {`<html>`, failure.Internal},
		"cut short": {`{"value":[{"Id":"a"}`, failure.Internal},
		"a number":  {`7`, failure.Internal},
		"bad value": {`{"value":"x"}`, failure.Internal},
		"bad row":   {`{"value":[7]}`, failure.Internal},
		"null row":  {`{"value":[null]}`, failure.Internal},
		"bad field": {`{"value":[{"Alias":{}}]}`, failure.Internal},
		"bad link":  {`{"value":[{"Id":"a"}],"@odata.nextLink":{}}`, failure.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newVendor(t, reply{status: 200, body: tc.body}).client(t).GetMailbox(t.Context(), "alex", exchangeonline.GetOptions{})
			if !failure.Is(err, tc.kind) {
				t.Fatalf("%v, want %s", err, tc.kind)
			}
		})
	}
}

func TestNewNamesTheFields(t *testing.T) {
	t.Parallel()
	_, err := exchangeonline.New(exchangeonline.Config{
		BaseURL: "outlook", TenantID: "contoso.com", TokenURL: "x", Anchor: "a\nb", MaxPages: -1, ClientSecret: secret.New(hush),
	})
	for _, field := range []string{"BaseURL", "TenantID", "TokenURL", "ClientID", "Anchor", "MaxPages"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
	if _, err := exchangeonline.New(exchangeonline.Config{TenantID: tenant, ClientID: "app", ClientSecret: secret.New(hush)}); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

func TestNothingPrintsSecretOrToken(t *testing.T) {
	t.Parallel()
	v := newVendor(t, reply{status: 403, body: `{"error":{"code":"hush-token!","message":"Bearer hush-token"}}`})
	c := v.client(t)
	_, err := c.GetMailbox(t.Context(), "alex", exchangeonline.GetOptions{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, x := range []any{c, *c, v.config(), err, failure.Of(err).Cause, struct{ c *exchangeonline.Client }{c}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			if got := fmt.Sprintf(verb, x); strings.Contains(got, hush) {
				t.Errorf("%s of %T: %s", verb, x, got)
			}
		}
	}
}
