package bus

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/services/internal/livefile"
)

// AuthFlags are the settings by which a program proves to NATS who it is, and NATS to the program.
// The files are read again when they change; a new connection then goes by what they hold.
type AuthFlags struct {
	NATSCreds       string `name:"nats-creds" help:"File with NATS credentials (JWT and key)." placeholder:"FILE"`
	NATSNKey        string `name:"nats-nkey" help:"File with the seed of a NATS user's nkey." placeholder:"FILE"`
	NATSCA          string `name:"nats-ca" help:"File with the certificates of the authorities that NATS' certificate is checked against; default: the system's." placeholder:"FILE"`
	NATSCert        string `name:"nats-cert" help:"File with the client certificate for NATS." placeholder:"FILE"`
	NATSKey         string `name:"nats-key" help:"File with the key of --nats-cert." placeholder:"FILE"`
	NATSInboxPrefix string `name:"nats-inbox-prefix" help:"Prefix of the subjects on which answers of NATS arrive; default: _INBOX_ and the program's name, as 'mailwright nats permissions' allows it." placeholder:"PREFIX"`
}

// InboxPrefix precedes the subjects on which a NATS user of ours receives answers. Each user has
// its own: a user that could subscribe to another's inbox would read the commands delivered there.
func InboxPrefix(user string) string { return "_INBOX_" + user }

// options are those of a connection, and its login; nil if no setting names a user. The error names
// a file, and never quotes what it holds.
func (f AuthFlags) options(name string, log *slog.Logger) ([]nats.Option, *login, error) {
	options := []nats.Option{nats.CustomInboxPrefix(cmp.Or(f.NATSInboxPrefix, InboxPrefix(name)))}
	var who *login
	var err error
	switch {
	case f.NATSCreds != "" && f.NATSNKey != "":
		return nil, nil, errors.New("bus: --nats-creds and --nats-nkey are two users; give one")
	case f.NATSCreds != "":
		who, err = newLogin("--nats-creds", f.NATSCreds, readCreds, log)
	case f.NATSNKey != "":
		who, err = newLogin("--nats-nkey", f.NATSNKey, readSeed, log)
	}
	if err != nil {
		return nil, nil, err
	}
	if who != nil {
		options = append(options, who.options()...)
	}
	encryption, err := f.encryption(log)
	if err != nil {
		return nil, nil, err
	}
	if encryption != nil {
		options = append(options, encryption)
	}
	return options, who, nil
}

// encryption is the TLS that the settings ask for; nil if they ask for none. nats.go calls both
// functions each time it connects.
func (f AuthFlags) encryption(log *slog.Logger) (nats.Option, error) {
	if (f.NATSCert == "") != (f.NATSKey == "") {
		return nil, errors.New("bus: --nats-cert and --nats-key belong together; give both")
	}
	var certificate nats.TLSCertHandler
	var authorities nats.RootCAsHandler
	if f.NATSCA != "" {
		file, err := livefile.Authorities("--nats-ca", f.NATSCA, log)
		if err != nil {
			return nil, fmt.Errorf("bus: --nats-ca: %w", err)
		}
		authorities = func() (*x509.CertPool, error) { return file.Value(), nil }
	}
	if f.NATSCert != "" {
		file, err := livefile.Certificate("--nats-cert", f.NATSCert, f.NATSKey, log)
		if err != nil {
			return nil, fmt.Errorf("bus: --nats-cert: %w", err)
		}
		certificate = func() (tls.Certificate, error) { return *file.Value(), nil }
	}
	if certificate == nil && authorities == nil {
		return nil, nil
	}
	return nats.ClientTLSConfig(certificate, authorities), nil
}

// ReadyCheck is a readiness check: an error while the connection is away, and from the moment that
// NATS denies a subject until the connection is made anew. The error names the subject.
func ReadyCheck(nc *nats.Conn) func(context.Context) error {
	return func(context.Context) error {
		if !nc.IsConnected() {
			return errors.New("not connected to NATS")
		}
		return Denied(nc)
	}
}

// Denied is the last permission that NATS denied on a connection, by its subject; nil where it has
// denied none. NATS answers a denied request with nothing, so what fails for it fails as a timeout,
// which does not say why. The server makes clients whose permissions change connect anew, which
// clears it.
func Denied(nc *nats.Conn) error {
	if err := nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return fmt.Errorf("the NATS user of this program lacks a permission; 'mailwright nats permissions' writes what it needs, and 'mailwright streams apply' makes streams and consumers that are missing: %w", err)
	}
	return nil
}
