package ldapdirectory

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/dn"
)

// Object is what a directory tells of an object; what it does not tell is empty.
type Object struct {
	DN string
	// GUID has the form 7a4267ce-d354-44e7-8bd6-c681f1284a41.
	GUID string
	// SID has the form S-1-5-21-...; users, groups and computers have one.
	SID               string
	SAMAccountName    string
	UserPrincipalName string
	DisplayName       string
	Mail              string
	// MemberOf are DNs of groups.
	MemberOf []string
	// MailStore and MailServer name the store and the server of the mailbox; empty without one.
	MailStore, MailServer string
	// Created is whenCreated, by the clock of a domain controller.
	Created time.Time
}

// attributes are those that [Object] is made of ([MS-ADA1] to [MS-ADA3]; homeMDB and
// msExchHomeServerName: Exchange's schema).
var attributes = []string{
	"objectGUID", "objectSid", "sAMAccountName", "userPrincipalName", "displayName", "mail", "memberOf", "homeMDB", "msExchHomeServerName", "whenCreated",
}

// decode reads an entry.
func decode(e *ldap.Entry) (Object, error) {
	o := Object{
		DN: e.DN, SAMAccountName: e.GetEqualFoldAttributeValue("sAMAccountName"), UserPrincipalName: e.GetEqualFoldAttributeValue("userPrincipalName"),
		DisplayName: e.GetEqualFoldAttributeValue("displayName"), Mail: e.GetEqualFoldAttributeValue("mail"),
		MemberOf: e.GetEqualFoldAttributeValues("memberOf"), MailStore: dn.FirstValue(e.GetEqualFoldAttributeValue("homeMDB")),
		MailServer: lastName(e.GetEqualFoldAttributeValue("msExchHomeServerName")),
	}
	var err error
	if raw := e.GetEqualFoldRawAttributeValue("objectGUID"); len(raw) > 0 {
		if o.GUID, err = guid(raw); err != nil {
			return Object{}, unreadable(err)
		}
	}
	if raw := e.GetEqualFoldRawAttributeValue("objectSid"); len(raw) > 0 {
		if o.SID, err = sid(raw); err != nil {
			return Object{}, unreadable(err)
		}
	}
	if text := e.GetEqualFoldAttributeValue("whenCreated"); text != "" {
		if o.Created, err = time.Parse("20060102150405Z0700", text); err != nil {
			return Object{}, unreadable(err)
		}
	}
	return o, nil
}

// guid reads a GUID's 16 bytes, whose first three parts are little-endian ([MS-DTYP] 2.3.4.2).
func guid(b []byte) (string, error) {
	if len(b) != 16 {
		return "", fmt.Errorf("objectGUID has %d bytes", len(b))
	}
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:10], b[10:]), nil
}

// sid reads a security identifier ([MS-DTYP] 2.4.2.2).
func sid(b []byte) (string, error) {
	if len(b) < 8 || b[0] != 1 || b[1] > 15 || len(b) != 8+4*int(b[1]) {
		return "", fmt.Errorf("objectSid is malformed")
	}
	var authority [8]byte
	copy(authority[2:], b[2:8])
	text := fmt.Sprintf("S-1-%d", binary.BigEndian.Uint64(authority[:]))
	for ; len(b) > 8; b = b[4:] {
		text += fmt.Sprintf("-%d", binary.LittleEndian.Uint32(b[8:]))
	}
	return text, nil
}

// lastName gives the last part of a legacy Exchange name,
// "/o=fabrikam/ou=.../cn=Servers/cn=EXBE01".
func lastName(legacy string) string { return legacy[strings.LastIndexByte(legacy, '=')+1:] }

func unreadable(cause error) error {
	return &failure.Error{Kind: failure.Internal, Vendor: Vendor, Text: "the directory's answer cannot be understood", Cause: cause}
}

func notFound() error {
	return &failure.Error{Kind: failure.NotFound, Vendor: Vendor, Text: "the directory does not know the object"}
}
