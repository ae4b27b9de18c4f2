package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// User of NATS that makes streams and consumers.
const streamsUser = "streams"

// startNATSWithStreams starts NATS. With permissions it makes the users before, and the streams and
// consumers after: the services may not make them.
func (s *Stack) startNATSWithStreams(ctx context.Context) error {
	if !s.opts.Permissions {
		return s.startNATS(ctx)
	}
	if err := s.writeUsers(ctx); err != nil {
		return err
	}
	if err := s.startNATS(ctx); err != nil {
		return err
	}
	_, err := s.mailwright(ctx, s.IdentityEnv(streamsUser), "streams", "apply")
	return err
}

// writeUsers writes the users' seeds, where they are missing, and what NATS is told of the users.
func (s *Stack) writeUsers(ctx context.Context) error {
	text, err := s.mailwright(ctx, nil, PermissionsArgs(s.seedsDir(), s.opts.Tenants...)...)
	if err != nil {
		return err
	}
	return os.WriteFile(s.usersFile(), text, 0o600)
}

// PermissionsArgs are the arguments of mailwright that write the users of a system for tests, with
// a publisher and a reader for [SandboxTenant] and each further tenant.
func PermissionsArgs(seeds string, tenants ...string) []string {
	args := []string{"nats", "permissions", "--format", "config", "--trust-unauthenticated", "--seeds", seeds, "--tenant", SandboxTenant}
	for _, tenant := range tenants {
		args = append(args, "--tenant", tenant)
	}
	return args
}

// mailwright runs the command line against NATS and returns its output. The services' settings
// hold for it too, such as the number of partitions.
func (s *Stack) mailwright(ctx context.Context, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.cli(), args...)
	cmd.Env = append(append(append(os.Environ(), "MAILWRIGHT_NATS_URL="+s.Endpoints.NATS), s.opts.Env...), env...)
	out, err := cmd.Output()
	if err != nil {
		var said []byte
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			said = exit.Stderr
		}
		return nil, fmt.Errorf("mailwright %s %s: %w: %s%s", args[0], args[1], err, out, said)
	}
	return out, nil
}

func (s *Stack) cli() string { return filepath.Join(s.opts.Bin, "mailwright") }

func (s *Stack) usersFile() string { return filepath.Join(s.opts.Dir, "nats-users.conf") }

func (s *Stack) seedsDir() string { return filepath.Join(s.opts.Dir, "seeds") }

// SeedFile is the file with the seed by which a user of 'mailwright nats permissions' connects,
// such as "publisher-contoso" or the name of a service. It is "" without [Options.Permissions].
func (s *Stack) SeedFile(user string) string {
	if !s.opts.Permissions {
		return ""
	}
	return filepath.Join(s.seedsDir(), user+".nk")
}

// IdentityEnv is the environment in which a program of Mailwright connects to NATS as a user. It is
// empty without [Options.Permissions] and [Options.TLS].
func (s *Stack) IdentityEnv(user string) (env []string) {
	if s.opts.TLS {
		env = append(env, "MAILWRIGHT_NATS_CA="+s.Endpoints.CA)
	}
	if s.opts.Permissions {
		env = append(env, "MAILWRIGHT_NATS_NKEY="+s.SeedFile(user))
	}
	return env
}
