package testkit

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/mailwright/mailwright/pkg/testkit/certs"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
)

// CLI is the name of the image of Mailwright's command line, for [WithImages]. It writes the users
// of NATS, and makes streams and consumers.
const CLI = "mailwright"

// natsUsers are the users of NATS in a system.
type natsUsers struct {
	config string // part of NATS' configuration
	seeds  map[string]string
}

const (
	usersFile = "nats-users.conf"
	seedFile  = "nats.nk"
	seedsDir  = "/data/seeds"
)

// usersOf keeps the users that an image has written, by image and settings. Systems of this process
// share them, since to write them takes a container.
var usersOf = struct {
	sync.Mutex
	byKey map[string]*natsUsers
}{byKey: map[string]*natsUsers{}}

// makeUsers has the command line write the users of NATS.
func (c *containers) makeUsers(ctx context.Context) (*natsUsers, error) {
	usersOf.Lock()
	defer usersOf.Unlock()
	key := fmt.Sprint(c.opts.images[CLI], c.opts.env)
	if made := usersOf.byKey[key]; made != nil {
		return made, nil
	}
	done, err := c.runCLI(ctx, c.env(), nil, stack.PermissionsArgs(seedsDir)...)
	if err != nil {
		return nil, err
	}
	users := &natsUsers{config: done.output}
	if users.seeds, err = c.readFiles(ctx, done.id, seedsDir); err != nil {
		return nil, err
	}
	usersOf.byKey[key] = users
	return users, nil
}

// applyStreams makes streams and consumers, which the services may not.
func (c *containers) applyStreams(ctx context.Context, natsURL string) error {
	env := c.env()
	env["MAILWRIGHT_NATS_URL"] = natsURL
	env["MAILWRIGHT_NATS_NKEY"] = "/data/" + seedFile
	files := map[string]string{seedFile: c.users.seeds["streams"]}
	if c.authority != nil {
		text, err := os.ReadFile(c.ca())
		if err != nil {
			return err
		}
		env["MAILWRIGHT_NATS_CA"], files[certs.CAFile] = "/data/"+certs.CAFile, string(text)
	}
	_, err := c.runCLI(ctx, env, files, "streams", "apply")
	return err
}

// env is what [WithEnv] adds to the services' environment.
func (c *containers) env() map[string]string {
	env := map[string]string{}
	for _, e := range c.opts.env {
		k, v, _ := strings.Cut(e, "=")
		env[k] = v
	}
	return env
}

// ended is a container that has ended.
type ended struct{ id, output string }

// runCLI runs the command line in a container, which is removed with the system. files lie in
// /data. The error has what it printed.
func (c *containers) runCLI(ctx context.Context, env, files map[string]string, args ...string) (ended, error) {
	image := c.opts.images[CLI]
	created, err := runs(testcontainers.Run)(context.WithoutCancel(ctx), image,
		hostConfig(locked, data), testcontainers.WithEnv(env), testcontainers.WithCmd(args...), c.copies("/data", files),
		testcontainers.WithLogger(silent{}), testcontainers.WithLabels(Labels()), testcontainers.WithLabels(map[string]string{systemLabel: c.id}),
		network.WithNetworkName(nil, c.network), testcontainers.WithWaitStrategyAndDeadline(startTimeout, wait.ForExit()))
	if err != nil {
		return ended{}, fmt.Errorf("mailwright %s: %w", args[0], explain(err, image))
	}
	id := created.GetContainerID()
	state, err := created.State(ctx)
	if err != nil {
		return ended{}, err
	}
	output, err := c.log(ctx, &part{Container: created})
	if err == nil && state.ExitCode != 0 {
		err = fmt.Errorf("mailwright %s ended with exit code %d:\n%s", strings.Join(args[:2], " "), state.ExitCode, output)
	}
	return ended{id, output}, err
}

// readFiles reads the files of a folder in a container, by their names.
func (c *containers) readFiles(ctx context.Context, id, dir string) (map[string]string, error) {
	copied, err := c.engine.docker.CopyFromContainer(ctx, id, client.CopyFromContainerOptions{SourcePath: dir})
	if err != nil {
		return nil, err
	}
	defer func() { _ = copied.Content.Close() }()
	files := map[string]string{}
	for r := tar.NewReader(copied.Content); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(r, 1<<20))
		if err != nil {
			return nil, err
		}
		files[strings.TrimSuffix(path.Base(header.Name), ".nk")] = string(text)
	}
}

// SeedFile implements parts. It writes the seed when it is first asked for.
func (c *containers) SeedFile(user string) (string, error) {
	if c.users == nil {
		return "", errNoUsers
	}
	seed, ok := c.users.seeds[user]
	if !ok {
		return "", unknownUser(user)
	}
	if c.seedsDir == "" {
		dir, err := os.MkdirTemp("", "mailwright-seeds-")
		if err != nil {
			return "", err
		}
		c.seedsDir = dir
	}
	file := filepath.Join(c.seedsDir, user+".nk")
	return file, os.WriteFile(file, []byte(seed), 0o600)
}

// SeedFile implements parts.
func (p *processes) SeedFile(user string) (string, error) {
	file := p.stack.SeedFile(user)
	if file == "" {
		return "", errNoUsers
	}
	if _, err := os.Stat(file); err != nil {
		return "", unknownUser(user)
	}
	return file, nil
}

var errNoUsers = errors.New("the system has no NATS users: WithNATS brought its server, or it has no services")

func unknownUser(user string) error {
	return fmt.Errorf("there is no NATS user %q; 'mailwright nats permissions --tenant %s' lists them", user, Tenant)
}

// SeedFile is the file with the seed of a NATS user, such as "publisher-contoso" or "operator". By
// it a test runs a publisher under the permissions that it has in production:
//
//	identity, err := nats.NkeyOptionFromSeed(file)
//	nc, err := nats.Connect(mw.Endpoints.NATS, identity, nats.CustomInboxPrefix("_INBOX_publisher-contoso"))
//
// 'mailwright nats permissions' lists the users. Without a seed a connection may do everything. The
// services have users of their own. The error is that there is no such user, that [WithNATS]
// brought the server, or that the system has no services.
func (s *System) SeedFile(user string) (string, error) {
	file, err := s.parts.SeedFile(user)
	if err != nil {
		return "", fmt.Errorf("testkit: %w", err)
	}
	return file, nil
}
