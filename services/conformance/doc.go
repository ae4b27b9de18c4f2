// Package conformance holds one suite a vendor: what its pages document, as facts that our client
// and the sandbox both have to hold.
//
// Without further settings the suites run against the sandbox, which they start. With
//
//	MAILWRIGHT_CONFORMANCE_CONFIG=mailwright.yaml MAILWRIGHT_CONFORMANCE_TENANT=contoso
//
// they run the part that only reads against that tenant's real vendors. `make conformance` prints
// the table.
package conformance
