package bus

import (
	"context"
	"errors"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ConnFlags are the settings of a program's connection to NATS. Programs embed it in their
// configuration.
type ConnFlags struct {
	NATSURL   string `name:"nats-url" help:"NATS servers, separated by commas." env:"MAILWRIGHT_NATS_URL,NATS_URL" default:"nats://127.0.0.1:4222"`
	NATSCreds string `name:"nats-creds" help:"File with NATS credentials (JWT and key)."`
}

// Connect connects to NATS like the function [Connect], with the credentials of the settings.
func (s ConnFlags) Connect(ctx context.Context, name string, log *slog.Logger) (*nats.Conn, jetstream.JetStream, error) {
	var options []nats.Option
	if s.NATSCreds != "" {
		options = append(options, nats.UserCredentials(s.NATSCreds))
	}
	nc, err := Connect(ctx, s.NATSURL, name, log, options...)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return nc, js, nil
}

// ReadyCheck returns a readiness check, which fails while the connection is down.
func ReadyCheck(nc *nats.Conn) func(context.Context) error {
	return func(context.Context) error {
		if !nc.IsConnected() {
			return errors.New("not connected to NATS")
		}
		return nil
	}
}
