package conformance

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
)

const (
	marker      = "adm-CustomAttributeText20"
	azureGroups = "OU=Groups,DC=example,DC=onmicrosoft,DC=com"
)

// adaxesEdges are the edge cases and client's duties that the pages give.
var adaxesEdges = []fact{
	{
		name: "every type of property is taken, with several values where the schema has several", source: "Create directory object, properties (propertyType, values)",
		client: func(b *env) error {
			hours := []byte(strings.Repeat("\xff", 21))
			o := user("Typed", adaxes.NewProperty("manager", adaxes.DN, michael), adaxes.NewProperty("otherTelephone", adaxes.String, "1", "2"), text("streetAddress", "Line 1\r\nLine 2"),
				adaxes.NewProperty("adm-CustomAttributeBoolean1", adaxes.Boolean, true), adaxes.NewProperty("userAccountControl", adaxes.Integer, 66048), adaxes.NewProperty("logonHours", adaxes.Binary, hours),
				adaxes.NewProperty("adm-CustomAttributeDate1", adaxes.DateTime, time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)), adaxes.NewProperty("pwdLastSet", adaxes.LargeInteger, int64(-1)),
				adaxes.NewProperty("accountExpires", adaxes.Timestamp, "2030-12-15T18:00:00+03:00"))
			if _, err := b.adaxes().CreateObject(b.Context(), o); err != nil {
				return err
			}
			found, err := b.adaxes().GetObject(b.Context(), "CN=Typed,"+unit, "manager", "otherTelephone", "streetAddress", "logonHours", "accountExpires")
			return all(err, same("manager", found.Value("manager"), michael), same("otherTelephone", len(found.Values("otherTelephone")), 2), same("streetAddress", found.Value("streetAddress"), "Line 1\r\nLine 2"),
				same("logonHours", found.Value("logonHours"), base64.StdEncoding.EncodeToString(hours)), same("accountExpires", strings.HasPrefix(found.Value("accountExpires"), "2030-12-15T15:00:00"), true))
		},
	},
	{
		name: "a photo is for users and contacts, isPreWindows2000Computer for computers, licences for users", source: "Create directory object, photo, isPreWindows2000Computer, o365",
		client: func(b *env) error {
			group := adaxes.Object{CreateIn: unit, ObjectType: "group", Photo: []byte{0xff, 0xd8}, Properties: []adaxes.Property{text("cn", "Pictured")}}
			_, wrong := b.adaxes().CreateObject(b.Context(), group)
			withPhoto := user("Pictured")
			withPhoto.Photo = []byte{0xff, 0xd8, 0xff}
			_, err := b.adaxes().CreateObject(b.Context(), withPhoto)
			old := true
			_, err2 := b.adaxes().CreateObject(b.Context(), adaxes.Object{CreateIn: unit, ObjectType: "computer", IsPreWindows2000Computer: &old, Properties: []adaxes.Property{text("cn", "OLD1"), text("sAMAccountName", "OLD1$")}})
			return all(err, err2, wants(wrong, failure.Invalid))
		},
	},
	{
		name: "a bare logon name gets the domain's suffix", source: "Create directory object, example 1 (userPrincipalName jsmith)",
		client: func(b *env) error {
			_, err := b.adaxes().CreateObject(b.Context(), user("Bare"))
			found, err2 := b.adaxes().GetObject(b.Context(), "CN=Bare,"+unit, "userPrincipalName")
			return all(err, err2, same("the UPN", found.Value("userPrincipalName"), "bare@example.com"))
		},
	},
	{
		name: "account name and UPN are unique; the container has to be there", source: "notes 7.2 (Active Directory)",
		client: func(b *env) error {
			twin := func(property, value string) adaxes.Object {
				o := user("Twin " + property)
				for i, p := range o.Properties {
					if p.Name == property {
						o.Properties[i] = text(property, value)
					}
				}
				return o
			}
			_, account := b.adaxes().CreateObject(b.Context(), twin("sAMAccountName", "msmith"))
			_, upn := b.adaxes().CreateObject(b.Context(), twin("userPrincipalName", "msmith@example.com"))
			lost := user("Lost")
			lost.CreateIn = "OU=Nowhere,DC=example,DC=com"
			_, nowhere := b.adaxes().CreateObject(b.Context(), lost)
			return all(wants(account, failure.Refused), wants(upn, failure.Refused), wants(nowhere, failure.Refused))
		},
	},
	{
		name: "in Azure AD the DN holds the object's id behind an escaped line feed", source: "Create directory object, example 4 (actualObjectDN)",
		client: func(b *env) error {
			result, err := b.adaxes().CreateObject(b.Context(), adaxes.Object{CreateIn: azureGroups, ObjectType: "group", Properties: []adaxes.Property{
				text("cn", "New Group"), text("mailNickName", "newgroup"), adaxes.NewProperty("groupType", adaxes.Integer, 1),
			}})
			if err != nil {
				return err
			}
			found, err := b.adaxes().GetObject(b.Context(), result.ObjectDN)
			return all(err, that(strings.HasPrefix(result.ObjectDN, `CN=New Group\0AUID:`), "the DN is %s", result.ObjectDN), that(len(found.GUID) == 36, "the GUID is %q", found.GUID))
		},
	},
	{
		name: "a licence that can not be assigned leaves the user, with a warning", source: "notes 7.5 (inferred)",
		client: func(b *env) error {
			o := user("Unlicensed")
			o.Microsoft365 = &adaxes.Microsoft365{LocationName: "US", LicenseModifications: []adaxes.LicenseModification{{SKUPartNumber: "VISIOCLIENT", Assigned: true}}}
			result, err := b.adaxes().CreateObject(b.Context(), o)
			return all(err, that(len(result.Warnings) > 0, "no warning"), that(b.exists("objects", "CN=Unlicensed"), "no user"))
		},
	},
	{
		name: "a licence has the services that are enabled, or all but the disabled; one that is revoked is gone", source: "Microsoft 365 account properties (enabledServices, disabledServices, assigned); REST_GetMicrosoft365Properties",
		client: func(b *env) error {
			licensed := func(name string, changes ...adaxes.LicenseModification) (string, error) {
				o := user(name)
				o.Microsoft365 = &adaxes.Microsoft365{LocationName: "US", LicenseModifications: changes}
				result, err := b.adaxes().CreateObject(b.Context(), o)
				if err != nil {
					return "", err
				}
				a, err := b.rest(http.MethodGet, "directoryObjects/o365Account/properties?directoryObject="+strings.ReplaceAll(result.ObjectDN, " ", "%20"), "")
				return a.body, answers(a, err, http.StatusOK, `"locationName":"US"`)
			}
			const sku = "ENTERPRISEPACK"
			services := func(exchange, sharePoint, teams bool) string {
				return fmt.Sprintf(`{"skuPartNumber":"ENTERPRISEPACK","services":[{"serviceName":"EXCHANGE_S_ENTERPRISE","enabled":%v},{"serviceName":"SHAREPOINTENTERPRISE","enabled":%v},{"serviceName":"TEAMS1","enabled":%v}]}`, exchange, sharePoint, teams)
			}
			var errs []error
			for name, tt := range map[string]struct {
				changes []adaxes.LicenseModification
				want    string
				mailbox bool
			}{
				"Whole":    {[]adaxes.LicenseModification{{SKUPartNumber: sku, Assigned: true}}, services(true, true, true), true},
				"Enabled":  {[]adaxes.LicenseModification{{SKUPartNumber: sku, Assigned: true, EnabledServices: []string{"TEAMS1"}, DisabledServices: []string{"TEAMS1"}}}, services(false, false, true), false},
				"Disabled": {[]adaxes.LicenseModification{{SKUPartNumber: sku, Assigned: true, DisabledServices: []string{"TEAMS1"}}}, services(true, true, false), true},
				"Changed":  {[]adaxes.LicenseModification{{SKUPartNumber: sku, Assigned: true, DisabledServices: []string{"TEAMS1"}}, {SKUPartNumber: sku, Assigned: true, EnabledServices: []string{"TEAMS1"}, DisabledServices: []string{"SHAREPOINTENTERPRISE"}}}, services(true, false, true), true},
				"Revoked":  {[]adaxes.LicenseModification{{SKUPartNumber: sku, Assigned: true}, {SKUPartNumber: "O365_BUSINESS", Assigned: true}, {SKUPartNumber: sku}}, services(false, false, false), false},
			} {
				got, err := licensed(name, tt.changes...)
				errs = append(errs, err, that(strings.Contains(got, tt.want), "%s: %s", name, got), same(name+"'s mailbox", b.exists("mailboxes", strings.ToLower(name)+"@"), tt.mailbox))
			}
			return all(errs...)
		},
	},
	{
		name: "business rules rename and move: the result tells the DN that came of it", source: "REST_OperationResult (Business Rules); Create directory object, actualObjectDN",
		client: func(b *env) error {
			var errs []error
			for rule, want := range map[string]string{"rename": "CN=By rename (renamed)," + unit, "move": "CN=By move,DC=example,DC=com"} {
				b.set("adaxes.business-rule", rule)
				result, err := b.adaxes().CreateObject(b.Context(), user("By "+rule))
				found, err2 := b.adaxes().Search(b.Context(), adaxes.Query{Property: "sAMAccountName", Value: "by" + rule})
				_, intended := b.adaxes().GetObject(b.Context(), "CN=By "+rule+","+unit)
				errs = append(errs, err, err2, wants(intended, failure.NotFound), same("the DN", result.ObjectDN, want), that(len(found) == 1 && found[0].DN == want, "%+v", found))
			}
			return all(errs...)
		},
	},
	{
		name: "a search by a property that the schema lacks is refused, and the property named", source: "Criteria JSON (property); Active Directory schema",
		client: func(b *env) error {
			_, err := b.adaxes().Search(b.Context(), adaxes.Query{Property: "noSuchAttribute", Value: "x"})
			return all(wants(err, failure.Invalid), that(strings.Contains(fmt.Sprint(err), "noSuchAttribute"), "%v", err))
		},
	},
	{
		name: "business rules add messages inside messages, or send the create for approval", source: "REST_OperationResult (innerMessages, Business Rules)",
		client: func(b *env) error {
			b.set("adaxes.business-rule", "message")
			result, err := b.adaxes().CreateObject(b.Context(), user("Ruled"))
			nested := false
			for _, m := range result.Messages {
				nested = nested || len(m.Messages) > 0
			}
			b.set("adaxes.business-rule", "suspend")
			_, suspended := b.adaxes().CreateObject(b.Context(), user("Held"))
			return all(err, that(nested, "no nested message: %+v", result.Messages), wants(suspended, failure.Suspended))
		},
	},
	{
		name: "value references: case, count and padding", source: "ValueReferences",
		client: func(b *env) error {
			var errs []error
			for _, tt := range []struct{ name, template, want string }{
				{"Alias A", "%lastname:lower%", "smith"}, {"Alias B", "%firstname,3%", "Mic"}, {"Alias C", "%username,8,0%", "aliasc00"}, {"Alias D", "%sn:upper,2%", "SM"},
			} {
				if _, err := b.adaxes().CreateObject(b.Context(), user(tt.name, text("givenName", "Michael"), text("sn", "Smith"))); err != nil {
					return err
				}
				got, err := b.adaxes().CreateMailbox(b.Context(), adaxes.Mailbox{DirectoryObject: "CN=" + tt.name + "," + unit, AliasTemplate: tt.template})
				errs = append(errs, err, same(tt.template, got.MailNickname, tt.want))
			}
			return all(errs...)
		},
	},
	{
		name: "an alias that is taken is refused; a database is chosen by DN or GUID", source: "Create Exchange mailbox, mailboxStorage; notes 7.7",
		client: func(b *env) error {
			for _, name := range []string{"First", "Second"} {
				if _, err := b.adaxes().CreateObject(b.Context(), user(name)); err != nil {
					return err
				}
			}
			first, err := b.adaxes().CreateMailbox(b.Context(), adaxes.Mailbox{DirectoryObject: "CN=First," + unit, Alias: "taken", Storage: "6c1d0a52-3b7e-4c41-9f0d-2a8e5b7c9d11"})
			_, second := b.adaxes().CreateMailbox(b.Context(), adaxes.Mailbox{DirectoryObject: "CN=Second," + unit, Alias: "taken"})
			return all(err, same("the database", first.HomeMDB, "Mailbox Database 1"), wants(second, failure.Refused))
		},
	},
	{
		name: "HAZARD: after a lost answer the object is found by its DN and by its marker, before any second create", source: "notes 8 (no idempotency key)",
		client: func(b *env) error {
			b.apply("timeout-after", "adaxes", "create-object")
			_, err := b.adaxes().CreateObject(b.Context(), user("Marked", text(marker, "operation-1")))
			byDN, err2 := b.adaxes().GetObject(b.Context(), "CN=Marked,"+unit)
			byMarker, err3 := b.adaxes().Search(b.Context(), adaxes.Query{Property: marker, Value: "operation-1"})
			another, err4 := b.adaxes().Search(b.Context(), adaxes.Query{Property: marker, Value: "operation-2"})
			sent, _ := b.calls("create-object")
			_, repeated := b.adaxes().CreateObject(b.Context(), user("Marked", text(marker, "operation-1")))
			_, committed := b.calls("create-object")
			return all(wants(err, failure.Unknown), err2, err3, err4, that(len(byMarker) == 1 && byMarker[0].GUID == byDN.GUID && byDN.DN == "CN=Marked,"+unit, "%v", byMarker), same("others", len(another), 0),
				that(adaxes.MayExist(repeated), "the second create: %v", repeated), same("calls", sent, 1), same("creates", committed, 1))
		},
	},
	{
		name: "HAZARD: after a lost answer a mailbox is seen in the user's properties", source: "notes 8 (mailNickname, mail, homeMDB, msExchMailboxGuid)",
		client: func(b *env) error {
			none, _ := b.adaxes().GetObject(b.Context(), michael, "mailNickname")
			b.apply("timeout-after", "adaxes", "create-mailbox")
			_, err := b.adaxes().CreateMailbox(b.Context(), adaxes.Mailbox{DirectoryObject: michael, Alias: "mike"})
			found, err2 := b.adaxes().GetObject(b.Context(), michael, "mailNickname", "mail", "homeMDB", "msExchMailboxGuid")
			_, repeated := b.adaxes().CreateMailbox(b.Context(), adaxes.Mailbox{DirectoryObject: michael, Alias: "mike"})
			_, committed := b.calls("create-mailbox")
			return all(wants(err, failure.Unknown), err2, same("the alias before", none.Value("mailNickname"), ""), that(adaxes.MayExist(repeated), "the second create: %v", repeated), same("creates", committed, 1), same("the alias", found.Value("mailNickname"), "mike"), that(found.Value("msExchMailboxGuid") != "" && found.Value("homeMDB") != "", "%+v", found.Properties))
		},
	},
	{
		name: "refused credentials are not tried again and again: the vendor locks accounts", source: "RESTApi overview (brute-force protection)",
		client: func(b *env) error {
			c := b.adaxes(legacy("svc-mailwright@example.com", "wrong"))
			_, first := c.GetObject(b.Context(), michael)
			_, second := c.GetObject(b.Context(), michael)
			asked, _ := b.calls("sign-in")
			return all(wants(first, failure.Unavailable), wants(second, failure.Unavailable), same("sign-ins", asked, 1))
		},
	},
	{
		name: "whatever else fails at the sign-in says nothing of the command; the vendor is asked again within seconds", source: "REST_Authentication_Legacy; REST_Errors (400, 403, 404, 405); IIS, proxies (409, HTML, redirects)",
		client: func(b *env) error {
			var errs []error
			var clients []*adaxes.Client
			const object = `{"message":"m","code":"someCode"}`
			for _, params := range []map[string]any{
				{"status": 400, "body": object}, {"status": 403, "body": object}, {"status": 404, "body": object}, {"status": 405, "body": object},
				{"status": 409, "body": object}, {"status": 403, "body": "<html>"}, {"status": 302}, {"status": 200, "body": "<html>"},
			} {
				b.control(http.MethodPost, "faults", map[string]any{"vendor": "adaxes", "call": "sign-in", "kind": "status", "count": 1, "params": params}, nil)
				c := b.adaxes(legacy("svc-mailwright@example.com", "adaxes-sandbox-password"))
				_, err := c.CreateObject(b.Context(), user("Later"))
				errs, clients = append(errs, wants(err, failure.Unavailable)), append(clients, c)
			}
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for tries := 0; len(clients) > 0 && tries < 100; tries++ {
				if _, err := clients[0].GetObject(b.Context(), michael); err == nil {
					clients = clients[1:]
					continue
				}
				<-tick.C
			}
			return all(append(errs, same("clients that never asked again", len(clients), 0))...)
		},
	},
	{
		name: "an object's age is told in ISO 8601, with a zone or without, as generalized time or as a date", source: "REST_DirectoryObject (times); RFC 4517 section 3.3.13; .NET's unspecified kind of time (inferred)",
		client: func(b *env) error {
			var errs []error
			created := func(form string) adaxes.Span {
				b.set("adaxes.time-form", form)
				found, err := b.adaxes().GetObject(b.Context(), michael, "whenCreated")
				span, err2 := adaxes.ParseTime(found.Value("whenCreated"))
				errs = append(errs, err, err2)
				return span
			}
			exact := created("offset")
			for form, spread := range map[string]time.Duration{"offset": 0, "generalized": 0, "no-zone": 28 * time.Hour, "date": 52 * time.Hour} {
				s := created(form)
				errs = append(errs, same(form, s.Latest.Sub(s.Earliest), spread), that(s.Earliest.Before(exact.Latest.Add(time.Second)) && s.Latest.After(exact.Earliest.Add(-time.Second)), "%s: %v, not %v", form, s, exact))
			}
			return all(errs...)
		},
		vendor: func(b *env) error {
			b.set("adaxes.time-form", "generalized")
			a, err := b.rest(http.MethodGet, "directoryObjects?directoryObject="+strings.ReplaceAll(michael, " ", "%20")+"&properties=whenCreated", "")
			return answers(a, err, http.StatusOK, `.0Z"]`)
		},
	},
	{
		name: "HAZARD: in Azure AD a name may be taken twice in one container, which an object's directoryType tells", source: "Create directory object, example 4 (AUID in the DN); REST_DirectoryObject (directoryType)",
		client: func(b *env) error {
			onPremises, err := b.adaxes().GetObject(b.Context(), unit)
			cloud, err2 := b.adaxes().GetObject(b.Context(), azureGroups)
			return all(err, err2, same("on premises", onPremises.DirectoryType, 1), that(cloud.DirectoryType > 1, "in Azure AD: %d", cloud.DirectoryType))
		},
		vendor: func(b *env) error {
			twice := `{"createIn":"` + azureGroups + `","objectType":"group","properties":[{"propertyName":"cn","propertyType":"String","values":["Twice"]},{"propertyName":"groupType","propertyType":"Integer","values":[-2147483640]}]}`
			first, err := b.rest(http.MethodPost, "directoryObjects", twice)
			second, err2 := b.rest(http.MethodPost, "directoryObjects", twice)
			return all(answers(first, err, http.StatusOK, `"resultType":0`), answers(second, err2, http.StatusOK, `"resultType":0`))
		},
	},
	{
		name: "a warning keeps its words: of a password only the password is hidden", source: "REST_OperationResult (succeeded with warnings)",
		client: func(b *env) error {
			result, err := b.adaxes().CreateObject(b.Context(), user("Worded", text("unicodePwd", "weak")))
			var told []string
			for _, w := range result.Warnings {
				told = append(told, w.SafeText)
			}
			shown := strings.Join(told, " ")
			return all(err, that(strings.Contains(shown, "because the password is not set."), "told: %s", shown), that(!strings.Contains(shown, secret.Redacted), "told: %s", shown))
		},
	},
	{
		name: "legacy: an account that is disabled is told so", source: "REST_Errors (innerError: accountIsDisabled)",
		client: func(b *env) error {
			_, err := b.adaxes(legacy("svc-disabled@example.com", "adaxes-sandbox-password")).GetObject(b.Context(), michael)
			return refusedAs(err, failure.Unavailable, "accountIsDisabled")
		},
	},
	{
		name: "a token that the vendor forgets is replaced, and the call made again", source: "REST_Authentication_Legacy (token); REST_Errors (401)",
		client: func(b *env) error {
			c := b.adaxes(legacy("svc-mailwright@example.com", "adaxes-sandbox-password"))
			_, before := c.GetObject(b.Context(), michael)
			b.control(http.MethodDelete, "tokens", nil, nil)
			_, after := c.CreateObject(b.Context(), user("After"))
			return all(before, after)
		},
	},
	{
		name: "a 404 that is not the API's own says nothing of the object", source: "REST_Errors (the body is always an Error object); notes 5 (IIS, proxies)",
		client: func(b *env) error {
			b.control(http.MethodPost, "faults", map[string]any{"vendor": "adaxes", "kind": "nonjson", "count": 1, "params": map[string]any{"status": 404}}, nil)
			_, err := b.adaxes().GetObject(b.Context(), michael)
			return wants(err, failure.Unavailable)
		},
	},
	{
		name: "an update changes single properties; a delete returns an operation result, and a protected object stays", source: "REST_ModifyDirectoryObject; REST_DeleteDirectoryObject; adm-ProtectedFromDeletion",
		vendor: func(b *env) error {
			update, err := b.rest(http.MethodPatch, "directoryObjects", fmt.Sprintf(`{"directoryObject":%q,"properties":[{"propertyName":"description","propertyType":"String","operation":2,"values":["new"]},
				{"propertyName":"adm-ProtectedFromDeletion","propertyType":"Boolean","operation":2,"values":[true]}]}`, michael))
			path := "directoryObjects?directoryObject=" + strings.ReplaceAll(michael, " ", "%20")
			protected, err2 := b.rest(http.MethodDelete, path, "")
			nobody, err3 := b.rest(http.MethodDelete, "directoryObjects?directoryObject=CN%3DNobody,DC%3Dexample,DC%3Dcom", "")
			return all(answers(update, err, http.StatusOK, `"resultType":0`), answers(protected, err2, http.StatusOK, `"resultType":1`), err3,
				that(nobody.status == http.StatusNotFound || strings.Contains(nobody.body, `"resultType":1`), "%d %s", nobody.status, nobody.body))
		},
	},
}
