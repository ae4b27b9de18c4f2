package ldapdirectory

import (
	"errors"
	"fmt"

	"github.com/go-ldap/ldap/v3"

	"github.com/mailwright/mailwright/services/internal/failure"
)

// codes is the one table of what the directory's result codes mean (RFC 4511, appendix A; those
// from 200 on are the library's own). A code that is not here is Refused: the directory has
// answered, and not with success.
var codes = map[uint16]struct {
	kind failure.Kind
	text string
}{
	ldap.LDAPResultOperationsError:             {failure.Refused, "the directory wants a successful bind first"},
	ldap.LDAPResultTimeLimitExceeded:           {failure.Unavailable, "the directory ran out of time"},
	ldap.LDAPResultSizeLimitExceeded:           {failure.Internal, "the directory has several objects of that name"},
	ldap.LDAPResultStrongAuthRequired:          {failure.Refused, "the directory wants an encrypted connection"},
	ldap.LDAPResultConfidentialityRequired:     {failure.Refused, "the directory wants an encrypted connection"},
	ldap.LDAPResultNoSuchObject:                {failure.NotFound, "the directory does not know the object"},
	ldap.LDAPResultInvalidDNSyntax:             {failure.Invalid, "the name is not a distinguished name"},
	ldap.LDAPResultInappropriateAuthentication: {failure.Refused, "the directory refuses the account"},
	ldap.LDAPResultInvalidCredentials:          {failure.Refused, "the directory refuses the account or its password"},
	ldap.LDAPResultInsufficientAccessRights:    {failure.Refused, "the account may not read here"},
	ldap.LDAPResultBusy:                        {failure.Throttled, "the directory is busy"},
	ldap.LDAPResultAdminLimitExceeded:          {failure.Throttled, "the directory asks for fewer requests"},
	ldap.LDAPResultUnavailable:                 {failure.Unavailable, "the directory is temporarily unavailable"},
	ldap.LDAPResultReferral:                    {failure.Refused, "the directory refers to another server; check the base DN"},
	ldap.ErrorNetwork:                          {failure.Unavailable, "the directory could not be reached, or its answer was lost"},
	ldap.ErrorUnexpectedMessage:                {failure.Internal, "the directory's answer cannot be understood"},
	ldap.ErrorUnexpectedResponse:               {failure.Internal, "the directory's answer cannot be understood"},
	ldap.LDAPResultConnectError:                {failure.Unavailable, "the directory could not be reached"},
	ldap.LDAPResultTimeout:                     {failure.Unavailable, "the directory did not answer in time"},
	ldap.LDAPResultServerDown:                  {failure.Unavailable, "the directory could not be reached"},
	ldap.ErrorEmptyPassword:                    {failure.Internal, "the directory account has no password"},
}

// failed is what an error of the library means. Its text is never passed on: it may name hosts.
func failed(err error) error {
	f := &failure.Error{Kind: failure.Unavailable, Vendor: Vendor, Text: "the directory could not be reached", Cause: err}
	if e, ok := errors.AsType[*ldap.Error](err); ok {
		f.Kind, f.Text = failure.Refused, "the directory refuses the request"
		if known, ok := codes[e.ResultCode]; ok {
			f.Kind, f.Text = known.kind, known.text
		}
		f.Code = fmt.Sprintf("LDAP %d", e.ResultCode)
	}
	return f
}
