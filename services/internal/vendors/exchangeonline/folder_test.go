package exchangeonline_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

var (
	calendar   = exchangeonline.Folder{Mailbox: "alex@contoso.com", Path: "Calendar"}
	noEntry    = reply{status: 400, body: exception("Microsoft.Exchange.Management.StoreTasks.UserNotFoundInPermissionEntryException")}
	entryThere = reply{status: 400, body: exception("Microsoft.Exchange.Management.StoreTasks.UserAlreadyExistsInPermissionEntryException")}
)

func exception(dotNet string) string {
	return `{"error":{"code":"BadRequest","message":"Invalid Operation","innererror":{"internalexception":{"message":"x","type":"` + dotNet + `"}}}}`
}

func TestFolderRequests(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		call func(context.Context, *exchangeonline.Client) error
		want string
	}{
		"add": {func(ctx context.Context, c *exchangeonline.Client) error {
			return c.AddFolderPermission(ctx, calendar, "delegate1@contoso.com", []string{"Editor"}, []string{"Delegate"})
		}, `{"CmdletName":"Add-MailboxFolderPermission","Parameters":{"Identity":"alex@contoso.com:\\Calendar","User":"delegate1@contoso.com","AccessRights":["Editor"],"SharingPermissionFlags":["Delegate"]}}`},
		"set": {func(ctx context.Context, c *exchangeonline.Client) error {
			return c.SetFolderPermission(ctx, exchangeonline.Folder{Mailbox: "alex", Path: `Inbox\Projects`}, "delegate1@contoso.com", []string{"ReadItems", "FolderVisible"}, nil)
		}, `{"CmdletName":"Set-MailboxFolderPermission","Parameters":{"Identity":"alex:\\Inbox\\Projects","User":"delegate1@contoso.com","AccessRights":["ReadItems","FolderVisible"]}}`},
		"remove": {func(ctx context.Context, c *exchangeonline.Client) error {
			return c.RemoveFolderPermission(ctx, calendar, "delegate1@contoso.com")
		}, `{"CmdletName":"Remove-MailboxFolderPermission","Parameters":{"Identity":"alex@contoso.com:\\Calendar","User":"delegate1@contoso.com"}}`},
		"get all": {func(ctx context.Context, c *exchangeonline.Client) error {
			_, err := c.FolderPermissions(ctx, calendar)
			return err
		}, `{"CmdletName":"Get-MailboxFolderPermission","Parameters":{"Identity":"alex@contoso.com:\\Calendar"}}`},
		"get one": {func(ctx context.Context, c *exchangeonline.Client) error {
			_, _, err := c.FolderPermission(ctx, calendar, "delegate1@contoso.com")
			return err
		}, `{"CmdletName":"Get-MailboxFolderPermission","Parameters":{"Identity":"alex@contoso.com:\\Calendar","User":"delegate1@contoso.com"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVendor(t, reply{status: 200})
			if err := tc.call(t.Context(), v.client(t)); err != nil {
				t.Fatal(err)
			}
			got := v.requests()
			if len(got) != 1 || got[0].Path != strings.Replace(path, "/Mailbox", "/MailboxFolderPermission", 1) {
				t.Fatalf("%+v", got)
			}
			jsonEqual(t, `{"CmdletInput":`+tc.want+`}`, got[0].Body)
		})
	}
}

func TestFolderPermission(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reply reply
		want  exchangeonline.FolderPermission
		found bool
		kind  failure.Kind
	}{
		"lists":          {reply: reply{status: 200, body: `{"value":[{"User":"Delegate 1","AccessRights":["Editor"],"SharingPermissionFlags":["Delegate","CanViewPrivateItems"]}]}`}, want: exchangeonline.FolderPermission{User: "Delegate 1", AccessRights: []string{"Editor"}, SharingPermissionFlags: []string{"Delegate", "CanViewPrivateItems"}}, found: true},
		"texts":          {reply: reply{status: 200, body: `{"User":{"DisplayName":"Delegate 1"},"AccessRights":"ReadItems, FolderVisible","SharingPermissionFlags":null}`}, want: exchangeonline.FolderPermission{User: "Delegate 1", AccessRights: []string{"ReadItems", "FolderVisible"}, SharingPermissionFlags: []string{}}, found: true},
		"no entry":       {reply: noEntry},
		"an empty list":  {reply: reply{status: 200, body: `{"value":[]}`}},
		"no such folder": {reply: reply{status: 404, body: exception("Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException")}, kind: failure.NotFound},
		"nonsense":       {reply: reply{status: 200, body: `{"value":["Editor"]}`}, kind: failure.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, found, err := newVendor(t, tc.reply).client(t).FolderPermission(t.Context(), calendar, "delegate1@contoso.com")
			if found != tc.found || (tc.kind == "") != (err == nil) || (err != nil && !failure.Is(err, tc.kind)) {
				t.Fatalf("found %v, %v", found, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFolderErrorsTell(t *testing.T) {
	t.Parallel()
	add := newVendor(t, entryThere).client(t).AddFolderPermission(t.Context(), calendar, "delegate1@contoso.com", []string{"Editor"}, nil)
	remove := newVendor(t, noEntry).client(t).RemoveFolderPermission(t.Context(), calendar, "delegate1@contoso.com")
	if !exchangeonline.IsEntry(add) || exchangeonline.IsNoEntry(add) || !exchangeonline.IsNoEntry(remove) || exchangeonline.IsEntry(remove) {
		t.Errorf("%v, %v", add, remove)
	}
	for name, f := range map[string]exchangeonline.Folder{
		"no folder": {Mailbox: "alex"}, "a leading backslash": {Mailbox: "alex", Path: `\Calendar`}, "a wildcard": {Mailbox: "alex", Path: "Cal*"},
		"no mailbox": {Path: "Calendar"}, "a path in the mailbox": {Mailbox: `alex:\Inbox`, Path: "Calendar"},
	} {
		v := newVendor(t, reply{status: 200})
		if err := v.client(t).RemoveFolderPermission(t.Context(), f, "delegate1@contoso.com"); !failure.Is(err, failure.Invalid) || len(v.requests()) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOrganization(t *testing.T) {
	t.Parallel()
	domains, err := newVendor(t, reply{status: 200, body: `{"value":[{"DomainName":"contoso.com","DomainType":"Authoritative","Default":true},{"DomainName":"contoso.net"}]}`}).client(t).AcceptedDomains(t.Context())
	want := []exchangeonline.AcceptedDomain{{DomainName: "contoso.com", DomainType: "Authoritative", Default: true}, {DomainName: "contoso.net"}}
	if diff := cmp.Diff(want, domains); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	settings, err := newVendor(t, reply{status: 200, body: `{"MailTipsAllTipsEnabled":true}`}).client(t).OrganizationConfig(t.Context())
	if err != nil || string(settings["MailTipsAllTipsEnabled"]) != "true" {
		t.Errorf("%v %s", err, settings)
	}
	var members []string
	cutOff := newVendor(t, rows(raise, "a"), rows(raise, "a", "b"))
	err = cutOff.client(t).GroupMembers(t.Context(), "management", false, func(page []exchangeonline.Mailbox) error {
		for _, m := range page {
			members = append(members, m.ID)
		}
		return nil
	})
	if !failure.Is(err, failure.Internal) || strings.Join(members, "") != "ab" {
		t.Errorf("a list that stays cut off: %v %v", members, err)
	}
}

// FuzzFolder throws answers at the sister endpoints' clients: they must end, without a panic, in an
// answer or a failure.
func FuzzFolder(f *testing.F) {
	for _, s := range []string{
		"", "[]", `{"value":[{"User":"x","AccessRights":["Editor"]}]}`, `{"User":{"Name":"x"},"AccessRights":"a,b"}`, `{"value":[{"DomainName":"x","Default":"True"}]}`,
		`{"value":[null]}`, `{"AccessRights":{}}`, exception("x.UserNotFoundInPermissionEntryException"),
	} {
		f.Add(200, []byte(s))
		f.Add(400, []byte(s))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			t.Skip()
		}
		c, err := exchangeonline.New(exchangeonline.Config{
			TenantID: tenant, TokenURL: "https://login.example.com/token", ClientID: "app", ClientSecret: secret.New("s"), MaxPages: 3,
			HTTP: transport.Config{RoundTripper: inMemory{status, body}},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, found, err := c.FolderPermission(t.Context(), calendar, "a@contoso.com")
		if found && (err != nil || status != 200 && status != 204) {
			t.Fatalf("HTTP %d: an entry, and %v", status, err)
		}
		_, _ = c.FolderPermissions(t.Context(), calendar)
		if domains, err := c.AcceptedDomains(t.Context()); err == nil {
			for _, d := range domains {
				if d.DomainName == "" {
					t.Fatalf("a domain without a name in %q", body)
				}
			}
		}
		if settings, err := c.OrganizationConfig(t.Context()); err == nil && settings == nil {
			t.Fatalf("no configuration, and no error, of %q", body)
		}
	})
}

func TestOneDefaultDomain(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"value":[{"DomainName":"contoso.net"},{"DomainName":"contoso.com","Default":true}]}`:                  "contoso.com",
		`{"value":[{"DomainName":"contoso.net"}]}`:                                                              "",
		`{"value":[{"DomainName":"contoso.net","Default":"True"},{"DomainName":"contoso.com","Default":true}]}`: "",
	} {
		d, err := newVendor(t, reply{status: 200, body: body}).client(t).DefaultDomain(t.Context())
		if d.DomainName != want || want == "" && !failure.Is(err, failure.Internal) {
			t.Errorf("%s: %+v, %v", body, d, err)
		}
	}
}

func TestSelectionsAreNamesOfProperties(t *testing.T) {
	t.Parallel()
	v := newVendor(t, reply{status: 200, body: `{"value":[{"DomainName":"contoso.com","Default":true,"DomainType":"Authoritative","name":"x"}]}`})
	d, err := v.client(t).AcceptedDomain(t.Context(), "contoso.com", "domaintype", "Name")
	if err != nil || len(d.Selected) != 2 || string(d.Selected["name"]) != `"x"` {
		t.Errorf("%+v, %v", d, err)
	}
	if got := v.requests(); len(got) != 1 || got[0].Query != "$select=DomainName,Default,domaintype,Name" || !strings.Contains(got[0].Body, `"Identity":"contoso.com"`) {
		t.Errorf("%+v", got)
	}
	if _, err := v.client(t).AcceptedDomains(t.Context(), "Name&x=y"); !failure.Is(err, failure.Invalid) {
		t.Errorf("%v", err)
	}
}

// TestTwinsInAFolderAreTwo: two users may share a display name and all rights. A listing that has
// to start once more tells each once.
func TestTwinsInAFolderAreTwo(t *testing.T) {
	t.Parallel()
	const twins = `{"User":"Andrew Smith","AccessRights":["Editor"]},{"User":"Andrew Smith","AccessRights":["Editor"]}`
	whole := reply{status: 200, body: `{"value":[` + twins + `]}`}
	cut := reply{status: 200, body: `{"@odata.nextLink":"{{base}}/next","value":[` + twins + `]}`}
	for name, replies := range map[string][]reply{"at once": {whole}, "started once more": {cut, {status: 400}, whole}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := newVendor(t, replies...).client(t).FolderPermissions(t.Context(), calendar)
			if err != nil || len(got) != 2 {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
