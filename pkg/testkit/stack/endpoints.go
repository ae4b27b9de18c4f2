package stack

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// EndpointsFile is the file in the state directory to which a running stack writes its addresses.
const EndpointsFile = "endpoints.json"

// Endpoints are where a running system is.
type Endpoints struct {
	// Console is the address that signs a person in at the console; "" without one. It holds a
	// token; the file is for its owner only.
	Console string `json:"console,omitempty"`
	NATS    string `json:"nats"`
	// Postgres holds a password; the file is for its owner only.
	Postgres string `json:"postgres"`
	Sandbox  string `json:"sandbox"`
	// Tenant is the name of the configured tenant, where there is exactly one.
	Tenant string `json:"tenant,omitempty"`
	// CA is the file of the authority by which NATS, Postgres, the sandbox and the services prove
	// who they are; "" where they speak no TLS.
	CA string `json:"ca,omitempty"`
	// Services maps each service to the base URL of its health endpoints.
	Services map[string]string `json:"services,omitempty"`
}

func (s *Stack) writeEndpoints() error {
	raw, err := json.MarshalIndent(s.Endpoints, "", "  ")
	if err != nil {
		return err
	}
	// Not readable by others: the Postgres URL holds a password.
	return os.WriteFile(filepath.Join(s.opts.Dir, EndpointsFile), append(raw, '\n'), 0o600)
}
