package conformance

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
	"github.com/mailwright/mailwright/services/internal/vendors/dn"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// adaxes is our client, changed as a fact asks.
func (b *env) adaxes(changes ...func(*adaxes.Config)) *adaxes.Client {
	b.Helper()
	cfg := adaxes.Config{BaseURL: b.url + "/adaxes/restApi", Token: secret.New("adaxes-sandbox-token"), HTTP: b.http()}
	if b.real != nil {
		cfg = b.real.Adaxes.Client(b.http())
	}
	for _, change := range changes {
		change(&cfg)
	}
	c, err := adaxes.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// legacy signs in with name and password, as 2025.1 and older want it.
func legacy(username, password string) func(*adaxes.Config) {
	return func(c *adaxes.Config) {
		c.Token, c.Username, c.Password = secret.String{}, username, secret.New(password)
	}
}

// rest asks the REST API without our client.
func (b *env) rest(method, path, body string, header ...string) (answer, error) {
	return b.send(method, "/adaxes/restApi/api/"+path, body, append([]string{"Adm-Authorization", "adaxes-sandbox-token", "Content-Type", "application/json"}, header...)...)
}

func text(name, value string) adaxes.Property { return adaxes.NewProperty(name, adaxes.String, value) }

// user is a user of that name.
func user(cn string, further ...adaxes.Property) adaxes.Object {
	account := strings.ToLower(strings.Map(func(r rune) rune {
		if r < 'A' || r > 'z' {
			return -1
		}
		return r
	}, cn))
	return adaxes.Object{CreateIn: unit, ObjectType: "user", Properties: append([]adaxes.Property{
		text("cn", cn), text("sAMAccountName", account), text("userPrincipalName", account),
	}, further...)}
}

func rawUser(cn, further string) string {
	account := strings.ToLower(strings.ReplaceAll(cn, " ", ""))
	return fmt.Sprintf(`{"createIn":%q,"objectType":"user","properties":[{"propertyName":"cn","propertyType":"String","values":[%q]},
		{"propertyName":"sAMAccountName","propertyType":"String","values":[%q]},{"propertyName":"userPrincipalName","propertyType":"String","values":[%q]}%s]}`, unit, cn, account, account, further)
}

const michael = "CN=Michael Smith," + unit

func TestAdaxes(t *testing.T) {
	t.Parallel()
	create := func(b *env) error { _, err := b.adaxes().CreateObject(b.Context(), user("Struck")); return err }
	list := append(slices.Concat(adaxesFacts, adaxesEdges), faults("adaxes", "REST_Errors; notes 7.11",
		"create-object", create, func(b *env) (bool, error) { return b.exists("objects", "CN=Struck"), nil },
		"get-object", func(b *env) error { _, err := b.adaxes().GetObject(b.Context(), michael); return err })...)
	list = append(list, echoes("REST_Errors (message, code); guarantee G6", []string{"adaxes"}, func(b *env, bounds transport.Config) error {
		_, err := b.adaxes(func(c *adaxes.Config) { c.HTTP = bounds }).GetObject(b.Context(), michael)
		return err
	}))
	run(t, "adaxes", list)
}

var adaxesFacts = []fact{
	{
		name: "an unknown object is 404, and not found", source: "REST_Errors; REST_GetDirectoryObject", reads: true,
		client: func(b *env) error {
			_, err := b.adaxes().GetObject(b.Context(), "CN=mailwright-conformance-nobody,DC=example,DC=com")
			return wants(err, failure.NotFound)
		},
		vendor: func(b *env) error {
			a, err := b.rest(http.MethodGet, "directoryObjects?directoryObject=CN%3DNobody,DC%3Dexample,DC%3Dcom", "")
			return answers(a, err, http.StatusNotFound, `"message"`, `"code"`)
		},
	},
	{
		name: "a search that finds nothing is no error", source: "REST_SearchDirectory", reads: true,
		client: func(b *env) error {
			found, err := b.adaxes().Search(b.Context(), adaxes.Query{Property: "sAMAccountName", Value: "mailwright-conformance-nobody"})
			return all(err, same("found", len(found), 0))
		},
	},
	{
		name: "the token travels in Adm-Authorization, bare", source: "REST_Authentication; Create directory object, request headers",
		client: func(b *env) error { _, err := b.adaxes().GetObject(b.Context(), michael); return err },
		vendor: func(b *env) error {
			a, err := b.send(http.MethodGet, "/adaxes/restApi/api/directoryObjects?directoryObject=x", "", "Authorization", "Bearer adaxes-sandbox-token")
			return answers(a, err, http.StatusUnauthorized)
		},
	},
	{
		name: "an expired account token is 401; nothing was done, and a person can renew it", source: "New-AdmAccountToken (ExpiresAt); REST_Errors",
		client: func(b *env) error {
			_, err := b.adaxes(func(c *adaxes.Config) { c.Token = secret.New("adaxes-expired-token") }).CreateObject(b.Context(), user("Expired"))
			return all(wants(err, failure.Unavailable), that(!b.exists("objects", "CN=Expired"), "an object was created"))
		},
		vendor: func(b *env) error {
			a, err := b.rest(http.MethodGet, "directoryObjects?directoryObject=x", "", "Adm-Authorization", "adaxes-expired-token")
			return answers(a, err, http.StatusUnauthorized)
		},
	},
	{
		name: "legacy: a session gives a token, for user@domain and DOMAIN\\user", source: "REST_Authentication_Legacy",
		client: func(b *env) error {
			_, first := b.adaxes(legacy("svc-mailwright@example.com", "adaxes-sandbox-password")).GetObject(b.Context(), michael)
			_, second := b.adaxes(legacy(`EXAMPLE\svc-mailwright`, "adaxes-sandbox-password")).GetObject(b.Context(), michael)
			return all(first, second)
		},
		vendor: func(b *env) error {
			a, err := b.send(http.MethodPost, "/adaxes/restApi/api/authSessions/create", `{"username":"svc-mailwright@example.com","password":"adaxes-sandbox-password"}`, "Content-Type", "application/json")
			return answers(a, err, http.StatusOK, `"sessionId"`, `"expiresAtUtc"`)
		},
	},
	{
		name: "legacy: a wrong password is 403, not 401", source: "REST_Errors (innerError)",
		client: func(b *env) error {
			_, err := b.adaxes(legacy("svc-mailwright@example.com", "wrong")).GetObject(b.Context(), michael)
			return refusedAs(err, failure.Unavailable, "invalidCredentials")
		},
		vendor: func(b *env) error {
			a, err := b.send(http.MethodPost, "/adaxes/restApi/api/authSessions/create", `{"username":"svc-mailwright@example.com","password":"wrong"}`, "Content-Type", "application/json")
			return answers(a, err, http.StatusForbidden, `"innerError"`, `"invalidCredentials"`)
		},
	},
	{
		name: "legacy: a token lives 30 minutes, and the client signs in anew", source: "REST_AuthLifeTime",
		client: func(b *env) error {
			c := b.adaxes(legacy("svc-mailwright@example.com", "adaxes-sandbox-password"))
			_, before := c.GetObject(b.Context(), michael)
			b.advance("31m")
			_, after := c.GetObject(b.Context(), michael)
			return all(before, after)
		},
	},
	{
		name: "all eight object types are created", source: "Create directory object, objectType",
		client: func(b *env) error {
			var errs []error
			for i, objectType := range []string{"organizationalUnit", "container", "user", "contact", "group", "computer", "printQueue", "volume"} {
				name := fmt.Sprintf("Type %d", i)
				o := adaxes.Object{CreateIn: unit, ObjectType: objectType, Properties: []adaxes.Property{text("cn", name)}}
				switch objectType {
				case "organizationalUnit":
					o.Properties = []adaxes.Property{text("ou", name)}
				case "user":
					o = user(name)
				case "group":
					o.Properties = append(o.Properties, text("sAMAccountName", name), adaxes.NewProperty("groupType", adaxes.Integer, int64(-2147483640)))
				case "computer":
					o.Properties = append(o.Properties, text("sAMAccountName", fmt.Sprintf("TYPE%d$", i)))
				case "printQueue":
					o.Properties = append(o.Properties, text("uNCName", `\\print\q`), text("printerName", name), text("serverName", "print"))
				case "volume":
					o.Properties = append(o.Properties, text("uNCName", `\\files\v`))
				}
				if _, err := b.adaxes().CreateObject(b.Context(), o); err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", objectType, err))
				}
			}
			return all(errs...)
		},
	},
	{
		name: "a property's type may be a name or a number, its values are native JSON", source: "Create directory object, properties.propertyType",
		vendor: func(b *env) error {
			byNumber, err := b.rest(http.MethodPost, "directoryObjects", rawUser("By Number", `,{"propertyName":"userAccountControl","propertyType":7,"values":[512]}`))
			asText, err2 := b.rest(http.MethodPost, "directoryObjects", rawUser("As Text", `,{"propertyName":"userAccountControl","propertyType":"Integer","values":["512"]}`))
			return all(answers(byNumber, err, http.StatusOK, `"resultType":0`), answers(asText, err2, http.StatusBadRequest, `"modelState"`))
		},
		client: func(b *env) error {
			_, err := b.adaxes().CreateObject(b.Context(), user("Native", adaxes.NewProperty("userAccountControl", adaxes.Integer, int64(-2147483136)),
				adaxes.NewProperty("adm-CustomAttributeBoolean1", adaxes.Boolean, true), adaxes.NewProperty("accountExpires", adaxes.Timestamp, "2030-12-15T18:00:00+03:00")))
			return err
		},
	},
	{
		name: "names are escaped in a DN", source: "REST_OperationResult (actualObjectDN); RFC 4514",
		client: func(b *env) error {
			const name = `Smith, "J" + <x>;=#`
			o := user(name)
			result, err := b.adaxes().CreateObject(b.Context(), o)
			if err != nil {
				return err
			}
			intended := dn.Child("CN", name, unit)
			found, err := b.adaxes().GetObject(b.Context(), intended)
			return all(err, that(dn.Equal(result.ObjectDN, intended) && dn.Equal(found.DN, intended), "created %s, found %s", result.ObjectDN, found.DN))
		},
	},
	{
		name: "an object is named by DN, GUID or SID", source: "REST_GetDirectoryObject, directoryObject",
		client: func(b *env) error {
			byDN, err := b.adaxes().GetObject(b.Context(), michael, "objectSid")
			if err != nil {
				return err
			}
			byOtherDN, err := b.adaxes().GetObject(b.Context(), "cn=michael smith, ou=My Organizational Unit,dc=EXAMPLE,dc=com")
			byGUID, err2 := b.adaxes().GetObject(b.Context(), byDN.GUID)
			bySID, err3 := b.adaxes().GetObject(b.Context(), byDN.Value("objectSid"))
			parent, err4 := b.adaxes().GetObject(b.Context(), unit)
			_, byAccount := b.adaxes().GetObject(b.Context(), "msmith")
			return all(err, err2, err3, err4, wants(byAccount, failure.Invalid), same("by DN", byDN.DN, michael), same("by DN in other spelling", byOtherDN.GUID, byDN.GUID), same("by GUID", byGUID.DN, michael),
				same("by SID", bySID.DN, michael), that(len(byDN.GUID) == 36 && parent.GUID != byDN.GUID && parent.DN == unit, "the unit is %+v, the user %+v", parent, byDN))
		},
		vendor: func(b *env) error {
			a, err := b.rest(http.MethodGet, "directoryObjects?directoryObject=msmith", "")
			return answers(a, err, http.StatusNotFound)
		},
	},
	{
		name: "a create returns no GUID; it is read back by DN", source: "Create directory object, response",
		client: func(b *env) error {
			result, err := b.adaxes().CreateObject(b.Context(), user("Read Back"))
			if err != nil {
				return err
			}
			found, err := b.adaxes().GetObject(b.Context(), result.ObjectDN)
			return all(err, that(len(found.GUID) == 36, "the GUID is %q", found.GUID))
		},
		vendor: func(b *env) error {
			a, err := b.rest(http.MethodPost, "directoryObjects", rawUser("No Guid", ""))
			return all(answers(a, err, http.StatusOK, `"actualObjectDN":"CN=No Guid,`, `"extraInfo":{}`), that(!strings.Contains(a.body, "guid"), "%s", a.body))
		},
	},
	{
		name: "a user without cn gets it by pattern", source: "Create directory object, example 2; tutorial on property patterns",
		client: func(b *env) error {
			result, err := b.adaxes().CreateObject(b.Context(), adaxes.Object{CreateIn: unit, ObjectType: "user", Properties: []adaxes.Property{text("givenName", "Jane"), text("sn", "Doe")}})
			return all(err, same("the DN", result.ObjectDN, "CN=Jane Doe,"+unit))
		},
	},
	{
		name: "a name that is taken is refused", source: "REST_OperationResult (resultType 1)",
		client: func(b *env) error {
			_, err := b.adaxes().CreateObject(b.Context(), user("Michael Smith"))
			b.set("adaxes.refusals", "http")
			_, again := b.adaxes().CreateObject(b.Context(), user("Michael Smith"))
			return all(wants(err, failure.Refused), wants(again, failure.Refused))
		},
		vendor: func(b *env) error {
			a, err := b.rest(http.MethodPost, "directoryObjects", rawUser("Michael Smith", ""))
			return answers(a, err, http.StatusOK, `"resultType":1`, `"exception":{`)
		},
	},
	{
		name: "resultType 0 may hold warnings: the account exists, its password was not set", source: "REST_OperationResult (succeeded with warnings)",
		client: func(b *env) error {
			result, err := b.adaxes().CreateObject(b.Context(), user("Weak", text("unicodePwd", "weak")))
			return all(err, that(len(result.Warnings) > 0, "no warning"), that(b.exists("objects", "CN=Weak"), "the account is not there"))
		},
		vendor: func(b *env) error {
			a, err := b.rest(http.MethodPost, "directoryObjects", rawUser("Weak", `,{"propertyName":"unicodePwd","propertyType":"String","values":["weak"]}`))
			return answers(a, err, http.StatusOK, `"resultType":0`, `"messageType":1`)
		},
	},
	{
		name: "resultType 2 waits for approval; nothing is there until it is granted", source: "REST_OperationResult (suspended)", faults: "suspended",
		client: func(b *env) error {
			_, err := b.adaxes().CreateObject(b.Context(), user("Patient"))
			_, before := b.adaxes().GetObject(b.Context(), "CN=Patient,"+unit)
			b.control(http.MethodPost, "approvals/all", map[string]string{"decision": "approve"}, nil)
			_, after := b.adaxes().GetObject(b.Context(), "CN=Patient,"+unit)
			return all(wants(err, failure.Suspended), wants(before, failure.NotFound), after)
		},
		vendor: func(b *env) error {
			a, err := b.rest(http.MethodPost, "directoryObjects", rawUser("Patient", ""))
			return answers(a, err, http.StatusOK, `"resultType":2`, `"messageType":4`, "Request submitted for approval.")
		},
	},
	{
		name: "a denied request leaves nothing", source: "ManagingApprovalRequests (Denied)", faults: "suspended",
		client: func(b *env) error {
			_, err := b.adaxes().CreateObject(b.Context(), user("Denied"))
			b.control(http.MethodPost, "approvals/all", map[string]string{"decision": "deny"}, nil)
			_, after := b.adaxes().GetObject(b.Context(), "CN=Denied,"+unit)
			return all(wants(err, failure.Suspended), wants(after, failure.NotFound))
		},
	},
	{
		name: "a create by half is told as warnings", source: "notes 7.11 (partial)", faults: "partial",
		client: func(b *env) error {
			result, err := b.adaxes().CreateObject(b.Context(), user("Half", text("unicodePwd", "MyPassword1!")))
			return all(err, that(len(result.Warnings) > 0, "no warning"))
		},
	},
	{
		name: "a mailbox may wait for approval as well, and is there once it is granted", source: "REST_OperationResult (suspended); Create Exchange mailbox", faults: "suspended",
		client: func(b *env) error {
			_, err := b.adaxes().CreateMailbox(b.Context(), adaxes.Mailbox{DirectoryObject: michael, Alias: "mike"})
			before, err2 := b.adaxes().GetObject(b.Context(), michael, "mailNickname")
			b.control(http.MethodPost, "approvals/all", map[string]string{"decision": "approve"}, nil)
			after, err3 := b.adaxes().GetObject(b.Context(), michael, "mailNickname")
			return all(wants(err, failure.Suspended), err2, err3, same("the alias before", before.Value("mailNickname"), ""), same("the alias after", after.Value("mailNickname"), "mike"))
		},
		vendor: func(b *env) error {
			a, err := b.rest(http.MethodPost, "directoryObjects/exchange/mailbox", fmt.Sprintf(`{"directoryObject":%q,"mailboxParameters":{"alias":"mike"}}`, michael))
			b.control(http.MethodPost, "approvals/all", map[string]string{"decision": "deny"}, nil)
			return all(answers(a, err, http.StatusOK, `"resultType":2`, `"messageType":4`), that(!b.exists("mailboxes", "mike@example.com"), "a denied mailbox is there"))
		},
	},
	{
		name: "a mailbox by half is told as warnings", source: "notes 7.11 (partial); REST_OperationResult (succeeded with warnings)", faults: "partial",
		client: func(b *env) error {
			result, err := b.adaxes().CreateMailbox(b.Context(), adaxes.Mailbox{DirectoryObject: michael, Alias: "mike"})
			return all(err, that(len(result.Warnings) > 0, "no warning"), same("the alias", result.MailNickname, "mike"))
		},
	},
	{
		name: "the temporary Microsoft 365 password does not leave the client", source: "Create directory object, example 2 (response)",
		client: func(b *env) error {
			o := user("Cloud")
			o.Microsoft365 = &adaxes.Microsoft365{LocationName: "US", LicenseModifications: []adaxes.LicenseModification{{SKUPartNumber: "O365_BUSINESS", Assigned: true}}}
			result, err := b.adaxes().CreateObject(b.Context(), o)
			shown := fmt.Sprintf("%+v", result)
			return all(err, that(strings.Contains(shown, "temporary password"), "there is no message about it"), that(!temporaryPassword.MatchString(shown), "it shows: %s", shown))
		},
		vendor: func(b *env) error {
			a, err := b.rest(http.MethodPost, "directoryObjects", strings.TrimSuffix(rawUser("Cloud", ""), "}")+`,"o365":{"locationName":"US","licenseModifications":[{"skuPartNumber":"O365_BUSINESS","assigned":true}]}}`)
			return all(answers(a, err, http.StatusOK, `"messageType":2`), that(temporaryPassword.MatchString(a.body), "no temporary password in %s", a.body))
		},
	},
	{
		name: "the licence block is o365, or m365 in newer versions", source: "Create directory object, o365; Update directory object, m365",
		client: func(b *env) error {
			b.set("adaxes.m365-field", "m365")
			o := user("Newer")
			o.Microsoft365 = &adaxes.Microsoft365{LocationName: "US"}
			_, err := b.adaxes(func(c *adaxes.Config) { c.Microsoft365Field = "m365" }).CreateObject(b.Context(), o)
			_, old := b.adaxes().CreateObject(b.Context(), func() adaxes.Object {
				o := user("Older")
				o.Microsoft365 = &adaxes.Microsoft365{LocationName: "US"}
				return o
			}())
			return all(err, wants(old, failure.Invalid))
		},
	},
	{
		name: "a mailbox: alias wins over template, the database is reported by name", source: "Create Exchange mailbox, mailboxParameters, extraInfo",
		client: func(b *env) error {
			result, err := b.adaxes().CreateMailbox(b.Context(), adaxes.Mailbox{DirectoryObject: michael, Alias: "mike", AliasTemplate: "%username%"})
			return all(err, same("the alias", result.MailNickname, "mike"), same("the address", result.Mail, "mike@example.com"), same("the database", result.HomeMDB, "Mailbox Database 3"))
		},
	},
	{
		name: "a template is resolved on the user's properties", source: "Create Exchange mailbox, aliasTemplate; ValueReferences",
		client: func(b *env) error {
			result, err := b.adaxes().CreateMailbox(b.Context(), adaxes.Mailbox{DirectoryObject: michael, AliasTemplate: "%firstname:lower,1%.%lastname:lower%"})
			return all(err, same("the alias", result.MailNickname, "m.smith"))
		},
	},
	{
		name: "a second mailbox for a user is refused", source: "notes 7.7 (inferred)",
		client: func(b *env) error {
			_, first := b.adaxes().CreateMailbox(b.Context(), adaxes.Mailbox{DirectoryObject: michael, Alias: "mike"})
			_, second := b.adaxes().CreateMailbox(b.Context(), adaxes.Mailbox{DirectoryObject: michael, Alias: "mike2"})
			return all(first, wants(second, failure.Refused))
		},
	},
	{
		name: "neither alias nor template is not sent", source: "Create Exchange mailbox (not stated)",
		client: func(b *env) error {
			_, err := b.adaxes().CreateMailbox(b.Context(), adaxes.Mailbox{DirectoryObject: michael})
			received, _ := b.calls("create-mailbox")
			return all(wants(err, failure.Invalid), same("calls", received, 0))
		},
	},
	{
		name: "a read may go to an instance that does not know the object yet", source: "RESTApi overview, load balancing (inferred)", faults: "replication-lag",
		client: func(b *env) error {
			result, err := b.adaxes().CreateObject(b.Context(), user("Lagging"))
			_, soon := b.adaxes().GetObject(b.Context(), result.ObjectDN)
			b.advance("61s")
			_, later := b.adaxes().GetObject(b.Context(), result.ObjectDN)
			return all(err, wants(soon, failure.NotFound), later)
		},
	},
	{
		name: "property names may come back in lower case", source: "REST_DirectoryObject, sample (managedby)",
		client: func(b *env) error {
			b.set("adaxes.lower-case-property-names", true)
			found, err := b.adaxes().GetObject(b.Context(), michael, "sAMAccountName")
			return all(err, same("the account", found.Value("sAMAccountName"), "msmith"))
		},
	},
	{
		name: "a search's envelope may have any of five forms", source: "REST_SearchDirectory (response not stored)",
		client: func(b *env) error {
			var errs []error
			for _, form := range []string{"objects", "value", "items", "results", "array"} {
				b.set("adaxes.search-envelope", form)
				found, err := b.adaxes().Search(b.Context(), adaxes.Query{Property: "sAMAccountName", Value: "msmith"})
				errs = append(errs, err, same(form, len(found), 1))
			}
			return all(errs...)
		},
	},
	{
		name: "a full page of a search is not taken for everything", source: "REST_SearchDirectory2021, sizeLimit",
		client: func(b *env) error {
			_, err := b.adaxes().Search(b.Context(), adaxes.Query{Property: "sAMAccountName", Value: "msmith", Limit: 1})
			return wants(err, failure.Internal)
		},
	},
	{
		name: "paths and query names have no case", source: "Create Exchange mailbox, samples (/restapi); REST_DeleteDirectoryObject",
		vendor: func(b *env) error {
			a, err := b.send(http.MethodGet, "/adaxes/RESTAPI/api/DirectoryObjects?directoryobject="+strings.ReplaceAll(michael, " ", "%20"), "", "Adm-Authorization", "adaxes-sandbox-token")
			return answers(a, err, http.StatusOK, `"displayName":"Michael Smith"`)
		},
	},
	{
		name: "a redirect is refused, and no credential follows it", source: "third-party observation; guarantee G8",
		client: func(b *env) error {
			front, followed := b.redirector()
			_, err := b.adaxes(func(c *adaxes.Config) { c.BaseURL = front }).CreateObject(b.Context(), user("Redirected"))
			return all(wants(err, failure.Refused), same("requests elsewhere", followed.Load(), 0))
		},
		vendor: func(b *env) error {
			a, err := b.send(http.MethodGet, "/adaxes/restApi/directoryObjects?directoryObject=x", "", "Adm-Authorization", "adaxes-sandbox-token")
			return all(err, same("the status's class", a.status/100, 3))
		},
	},
	{
		name: "validation names each field", source: "REST_Errors (modelState)",
		client: func(b *env) error {
			_, field := b.adaxes().CreateObject(b.Context(), adaxes.Object{CreateIn: unit, ObjectType: "robot", Properties: []adaxes.Property{text("cn", "Robot")}})
			_, property := b.adaxes().CreateObject(b.Context(), user("Odd", text("noSuchAttribute", "x")))
			return all(wants(field, failure.Invalid), wants(property, failure.Refused), that(strings.Contains(fmt.Sprint(field), "objectType: "), "the field is not named: %v", field),
				that(strings.Contains(fmt.Sprint(property), "noSuchAttribute"), "the property is not named: %v", property))
		},
		vendor: func(b *env) error {
			a, err := b.rest(http.MethodPost, "directoryObjects", `{"objectType":"user","properties":[]}`)
			several, err2 := b.rest(http.MethodPost, "directoryObjects", `{"createIn":5,"objectType":"user","properties":[{"propertyName":"cn","propertyType":"Text","values":["x"]}],"colour":"red"}`)
			return all(answers(a, err, http.StatusBadRequest, `"modelState":{"createIn"`), answers(several, err2, http.StatusBadRequest, `"createIn"`, `"properties[0].propertyType"`, `"colour"`))
		},
	},
}

var temporaryPassword = regexp.MustCompile(`(?i)temporary password is [^\[\s]`)
