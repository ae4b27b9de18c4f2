package directory

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// BinaryGUID gives the 16 bytes in which Active Directory stores a GUID: its first three parts are
// little-endian ([MS-DTYP], section 2.3.4.2). nil where the text is no GUID.
func BinaryGUID(guid string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(guid, "-", ""))
	if err != nil || len(b) != 16 {
		return nil
	}
	slices.Reverse(b[0:4])
	slices.Reverse(b[4:6])
	slices.Reverse(b[6:8])
	return b
}

// BinarySID gives the bytes of a security identifier ([MS-DTYP], section 2.4.2.2). nil where the
// text is none.
func BinarySID(sid string) []byte {
	parts := strings.Split(sid, "-")
	if len(parts) < 4 || parts[0] != "S" || len(parts) > 18 {
		return nil
	}
	authority, err := strconv.ParseUint(parts[2], 10, 48)
	if err != nil || parts[1] != "1" {
		return nil
	}
	b := binary.BigEndian.AppendUint64(nil, authority)
	b[0], b[1] = 1, byte(len(parts)-3)
	for _, part := range parts[3:] {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return nil
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return b
}
