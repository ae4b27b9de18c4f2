// Package endpoints is the file by which a running `mailwright dev` tells others where it is.
package endpoints

// File is the file's name in the state directory.
const File = "endpoints.json"

// Endpoints are where a running system is.
type Endpoints struct {
	NATS string `json:"nats"`
	// Postgres holds a password; the file is for its owner only.
	Postgres string `json:"postgres"`
	Sandbox  string `json:"sandbox"`
	// Services maps each service to the base URL of its health endpoints.
	Services map[string]string `json:"services,omitempty"`
}
