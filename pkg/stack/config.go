package stack

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"
)

// SandboxTenant is the tenant that the configuration written for the sandbox names.
const SandboxTenant = "contoso"

// configTemplate is the configuration of all services against the sandbox; SANDBOX stands for its URL.
//
//go:embed sandbox.yaml
var configTemplate string

// sandboxSecrets are the credentials of the sandbox's default seed. They open nothing else.
var sandboxSecrets = map[string]string{
	"adaxes-token":          "adaxes-sandbox-token",
	"entra-client-secret":   "entra-sandbox-secret",
	"hosted-password":       "hosted-sandbox-password",
	"enpower-client-secret": "enpower-sandbox-secret",
}

// writeConfig writes the services' configuration file and the secrets that it refers to.
func (s *Stack) writeConfig() (string, error) {
	dir := filepath.Join(s.opts.Dir, "secrets")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	for name, value := range sandboxSecrets {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value+"\n"), 0o600); err != nil {
			return "", err
		}
	}
	path := filepath.Join(s.opts.Dir, "mailwright.yaml")
	text := strings.ReplaceAll(configTemplate, "SANDBOX", s.Endpoints.Sandbox)
	return path, os.WriteFile(path, []byte(text), 0o600)
}
