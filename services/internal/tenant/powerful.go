package tenant

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
)

// powerful maps each property that a command may not set by default to what it can do. Such a
// property gives the new object, or the publisher of the command, power that the right to create an
// object does not imply.
//
// member is not among them: it adds members to a new group, which has no rights yet.
var powerful = map[string]string{ //nolint:gosec // names of attributes, and what they do
	"memberOf":                 "joins groups, with all their rights",
	"primaryGroupID":           "joins a group, with all its rights, that memberOf does not show",
	"sIDHistory":               "takes over the rights of another account",
	"adminCount":               "passes for an account that the directory protects",
	"nTSecurityDescriptor":     "decides who may change the object",
	"servicePrincipalName":     "receives what is meant for a service",
	"msDS-AllowedToDelegateTo": "may act for others at services",
	"msDS-AllowedToActOnBehalfOfOtherIdentity":   "lets others act for everybody at the object",
	"msDS-KeyCredentialLink":                     "adds a key that signs in without the password",
	"altSecurityIdentities":                      "adds a certificate or name that signs in without the password",
	"userCertificate":                            "adds a certificate that may sign in",
	"msDS-GroupMSAMembership":                    "decides who may read the account's password",
	"scriptPath":                                 "runs a program when the user signs in",
	"msTSInitialProgram":                         "runs a program when the user signs in",
	"userParameters":                             "holds a program that runs when the user signs in",
	"gPLink":                                     "applies policies, and so programs, to all in the unit",
	"adm-userOrGroupThatCanJoinComputerToDomain": "gives an account rights over the computer",
}

// powerfulNames has the keys of powerful in lower case.
var powerfulNames = func() map[string]string {
	names := make(map[string]string, len(powerful))
	for name, power := range powerful {
		names[strings.ToLower(name)] = power
	}
	return names
}()

// virtual is the prefix of the names of Adaxes' virtual properties. Only those in harmless are
// known to do nothing but what their names say.
const virtual = "adm-"

var harmless = []string{"adm-customattribute", "adm-protectedfromdeletion"}

// refusedByDefault says why a property may not be set unless a tenant allows it; "" where it may.
func refusedByDefault(name string) string {
	lower := strings.ToLower(name)
	const remedy = "; the tenant's policy.properties.allow can allow it"
	if power, known := powerfulNames[lower]; known {
		return "is refused, since it " + power + remedy
	}
	if !schemaName.MatchString(name) {
		return "must be a property's name in the directory's schema: letters, digits and hyphens"
	}
	if strings.HasPrefix(lower, virtual) && !isHarmless(lower) {
		return "is refused, since it is a virtual property of Adaxes that is not known to be harmless" + remedy
	}
	return ""
}

func isHarmless(lower string) bool {
	for _, name := range harmless {
		if strings.HasPrefix(lower, name) {
			return true
		}
	}
	return false
}

// accountControl is userAccountControl in lower case, whose bits are judged one by one.
const accountControl = "useraccountcontrol"

// powerfulBits are the bits of userAccountControl ([MS-ADTS] 2.2.16) that a command may not set by
// default.
var powerfulBits = []struct {
	bit  uint32
	name string
}{
	{0x800, "INTERDOMAIN_TRUST_ACCOUNT"},          // another domain signs in with it
	{0x2000, "SERVER_TRUST_ACCOUNT"},              // a domain controller
	{0x80000, "TRUSTED_FOR_DELEGATION"},           // keeps the tickets of those who sign in to it
	{0x400000, "DONT_REQ_PREAUTH"},                // anybody may ask for what its password can be guessed from
	{0x1000000, "TRUSTED_TO_AUTH_FOR_DELEGATION"}, // acts for others without their password
	{0x4000000, "PARTIAL_SECRETS_ACCOUNT"},        // a read-only domain controller
}

// accountControlFaults names the values of userAccountControl that set a powerful bit, or of which
// it cannot be told which bits they set.
func accountControlFaults(p property) (faults []event.Fault) {
	for i, raw := range p.values {
		field := fmt.Sprintf("%s/%d", p.valuesAt, i)
		value, err := accountControlValue(raw)
		if err != nil {
			faults = append(faults, event.Fault{Field: field, Problem: err.Error()})
			continue
		}
		var names []string
		for _, b := range powerfulBits {
			if value&b.bit != 0 {
				names = append(names, b.name)
			}
		}
		if names != nil {
			faults = append(faults, event.Fault{
				Field: field, Problem: "must not have the bits " + strings.Join(names, ", ") + "; the tenant's policy.properties.allow can allow userAccountControl whole",
			})
		}
	}
	return faults
}

// accountControlValue reads a value as the directory does, whatever type the command calls it: a
// number, or a text of digits.
func accountControlValue(raw json.RawMessage) (uint32, error) {
	number := json.Number(raw)
	var text string
	if json.Unmarshal(raw, &text) == nil {
		number = json.Number(text)
	}
	n, err := event.Integer(number)
	if err != nil {
		return 0, err
	}
	if n < math.MinInt32 || n > math.MaxInt32 {
		return 0, errors.New("must fit into 32 bits: from -2147483648 to 2147483647")
	}
	return uint32(int32(n)), nil
}
