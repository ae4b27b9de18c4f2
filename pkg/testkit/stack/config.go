package stack

import (
	_ "embed"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
)

// SandboxTenant is the tenant that the configuration written for the sandbox names.
const SandboxTenant = "contoso"

// configTemplate is the configuration of all services against the sandbox.
//
//go:embed sandbox.yaml
var configText string

var configTemplate = template.Must(template.New("sandbox.yaml").Parse(configText))

// sandboxSecrets are the credentials of the sandbox's default seed. They open nothing else.
var sandboxSecrets = map[string]string{
	"adaxes-token":          "adaxes-sandbox-token",
	"entra-client-secret":   "entra-sandbox-secret",
	"hosted-password":       "hosted-sandbox-password",
	"ldap-password":         "hosted-reader-password",
	"enpower-client-secret": "enpower-sandbox-secret",
}

// ConfigFile is the name of the services' configuration among [SandboxConfig].
const ConfigFile = "mailwright.yaml"

// SandboxAddress is where services reach the sandbox.
type SandboxAddress struct {
	// URL is the base of its vendors' APIs, and LDAP the URL of its directories; "" leaves those
	// out.
	URL, LDAP string
	// CA is the file of the authority that has signed the sandbox's certificate, as the services
	// see it. "" allows the services to send credentials in the clear.
	CA string
}

// SandboxConfig is the services' configuration against the sandbox: [ConfigFile], and the secrets
// that it refers to, by their paths beside it.
//
// Each of the further tenants is configured as [SandboxTenant] is.
func SandboxConfig(sandbox SandboxAddress, tenants ...string) map[string]string {
	var text strings.Builder
	values := map[string]any{"Sandbox": sandbox.URL, "LDAP": sandbox.LDAP, "CA": sandbox.CA, "Tenants": tenants}
	_ = configTemplate.Execute(&text, values) // a Builder and a map do not fail
	files := map[string]string{ConfigFile: text.String()}
	for name, value := range sandboxSecrets {
		files["secrets/"+name] = value + "\n"
	}
	return files
}

// IdentitiesFile is where the keys that open sealed secrets stand beside [ConfigFile].
const IdentitiesFile = "secrets/identities"

var plainSecrets = regexp.MustCompile(`plainSecrets: allowed.*`)

// SealedOnly changes files of [SandboxConfig] so that every tenant takes sealed secrets alone,
// which age identities open.
func SealedOnly(files map[string]string, identities string) {
	files[ConfigFile] = plainSecrets.ReplaceAllString(files[ConfigFile], "identities: "+IdentitiesFile)
	files[IdentitiesFile] = identities
}

// writeConfig writes the services' configuration and gives its path.
func (s *Stack) writeConfig() (string, error) {
	if err := os.MkdirAll(filepath.Join(s.opts.Dir, "secrets"), 0o700); err != nil {
		return "", err
	}
	files := SandboxConfig(SandboxAddress{URL: s.Endpoints.Sandbox, LDAP: s.url("ldap", sandboxLDAP), CA: s.Endpoints.CA}, s.opts.Tenants...)
	if s.opts.Identities != "" {
		SealedOnly(files, s.opts.Identities)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(s.opts.Dir, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	return filepath.Join(s.opts.Dir, ConfigFile), nil
}
