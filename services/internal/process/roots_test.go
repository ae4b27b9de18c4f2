package process_test

import (
	"crypto/x509"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// TestProgramsTrustMozillasAuthoritiesWhereTheMachineHasNone runs itself as on a machine without
// certificates: a process reads the system's only once.
func TestProgramsTrustMozillasAuthoritiesWhereTheMachineHasNone(t *testing.T) {
	t.Parallel()
	const child = "MAILWRIGHT_TEST_NO_ROOTS"
	if os.Getenv(child) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), child+"=1", "SSL_CERT_FILE="+os.DevNull, "SSL_CERT_DIR="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	for root := range bundle.Roots() {
		certificate, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		if root.Constraint != nil { // trusted for some certificates alone
			continue
		}
		if _, err := certificate.Verify(x509.VerifyOptions{CurrentTime: certificate.NotAfter, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			t.Errorf("%s is not trusted: %v", certificate.Subject, err)
		}
	}
}
