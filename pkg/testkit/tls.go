package testkit

import (
	"errors"
	"os"
	"path"
	"path/filepath"

	"github.com/testcontainers/testcontainers-go"

	"github.com/mailwright/mailwright/pkg/testkit/certs"
)

// keysDir is where a container has its certificate.
const keysDir = "/keys"

// inside names a file of a container's certificate.
func inside(file string) string { return path.Join(keysDir, file) }

// makeAuthority makes the authority of a system with [WithTLS], in a folder of the test's machine.
func (c *containers) makeAuthority() (err error) {
	if !c.opts.tls {
		return nil
	}
	if c.certsDir, err = os.MkdirTemp("", "mailwright-certs-"); err != nil {
		return err
	}
	c.authority, err = certs.Open(c.certsDir, certs.Options{})
	return err
}

// ca is the file of the authority; "" without one.
func (c *containers) ca() string {
	if c.authority == nil {
		return ""
	}
	return filepath.Join(c.certsDir, certs.CAFile)
}

// scheme is http, or https with [WithTLS].
func (c *containers) scheme() string {
	if c.authority == nil {
		return "http"
	}
	return "https"
}

// certificate gives a part its certificate, in a volume of its own: nothing without [WithTLS]. The
// container's host name and the engine's address are its hosts.
func (c *containers) certificate(p *part) error {
	if c.authority == nil {
		return nil
	}
	dir := filepath.Join(c.certsDir, p.name)
	if _, err := c.authority.Issue(dir, p.name, p.name, c.engine.host, "localhost"); err != nil {
		return err
	}
	files := map[string]string{}
	var errs []error
	for _, name := range []string{certs.CAFile, certs.CertFile, certs.KeyFile} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		files[name], errs = string(text), append(errs, err)
	}
	p.opts = append(p.opts, hostConfig(volume(keysDir)), c.copies(keysDir, files))
	return errors.Join(errs...)
}

// trustEnv is the environment in which a program trusts NATS.
func (c *containers) trustEnv() map[string]string {
	if c.authority == nil {
		return nil
	}
	return map[string]string{"MAILWRIGHT_NATS_CA": inside(certs.CAFile)}
}

// serveHTTPS is the environment by which a program of ours shows its certificate.
func (c *containers) serveHTTPS(prefix string) map[string]string {
	if c.authority == nil {
		return nil
	}
	return map[string]string{prefix + "HTTP_CERT": inside(certs.CertFile), prefix + "HTTP_KEY": inside(certs.KeyFile)}
}

// natsTLS is the part of NATS' configuration that requires TLS.
const natsTLS = "tls { cert_file: " + keysDir + "/" + certs.CertFile + ", key_file: " + keysDir + "/" + certs.KeyFile + " }\n"

// postgresTLS starts Postgres with TLS alone. It refuses a key that belongs to another user or that
// others may read, so the server's user takes a copy.
func postgresTLS(settings []string) []testcontainers.ContainerCustomizer {
	const copyKey = `install -m 600 ` + keysDir + `/` + certs.KeyFile + ` /var/run/postgresql/tls.key &&
echo 'local all all trust
hostssl all all all scram-sha-256' >/var/run/postgresql/pg_hba.conf && exec docker-entrypoint.sh "$@"`
	return []testcontainers.ContainerCustomizer{
		testcontainers.WithEntrypoint("bash", "-c", copyKey, "bash"),
		testcontainers.WithCmd(append(settings, "-c", "ssl=on", "-c", "ssl_cert_file="+inside(certs.CertFile), "-c", "ssl_key_file=/var/run/postgresql/tls.key",
			"-c", "hba_file=/var/run/postgresql/pg_hba.conf")...),
	}
}
