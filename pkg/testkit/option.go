package testkit

import (
	"log/slog"
	"maps"
	"os"
	"runtime/debug"
	"strings"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
)

// Backend is what the parts of a system run on: containers, or servers and processes on this
// machine.
type Backend string

// The backends.
const (
	// Containers runs every part as a container. It is the default.
	Containers Backend = "containers"
	// Embedded runs NATS and Postgres on this machine, and the sandbox and the services as
	// processes; see [WithPrograms].
	Embedded Backend = "embedded"
	// Auto is Containers if a Docker engine answers, otherwise Embedded.
	Auto Backend = "auto"
)

// Server is a server that the test provides.
type Server struct {
	// URL is its address as the test sees it, with user and password if the server needs them.
	URL string
	// Inside is its address as the containers see it, such as nats://my-nats:4222 on the network of
	// [WithNetwork]. If empty, it is URL with a loopback host replaced by host.docker.internal,
	// which reaches servers that listen on all addresses of the host.
	Inside string
}

// Option configures a [System].
type Option func(*options)

type options struct {
	backend   Backend
	nats      Server
	postgres  Server
	network   string
	noSandbox bool
	console   bool
	tls       bool
	services  []string
	programs  string
	images    map[string]string
	env       []string
	logDir    string
	log       *slog.Logger
}

func newOptions(list []Option) options {
	o := options{
		backend: Containers, services: stack.Services, programs: os.Getenv("MAILWRIGHT_BIN"), images: defaultImages(),
		log: slog.New(slog.DiscardHandler),
	}
	for _, option := range list {
		option(&o)
	}
	return o
}

// WithBackend chooses the backend. The default is [Containers].
func WithBackend(b Backend) Option { return func(o *options) { o.backend = b } }

// WithNATS uses an existing NATS server with JetStream. Streams that it does not have are created.
// It is not stopped with the system.
func WithNATS(s Server) Option { return func(o *options) { o.nats = s } }

// WithPostgres uses an existing Postgres database. It is migrated to the newest schema. It is not
// stopped with the system.
func WithPostgres(s Server) Option { return func(o *options) { o.postgres = s } }

// WithNetwork starts the containers on an existing Docker network, beside containers of the test.
// The host names there are [NATS], [Postgres], [Sandbox] and the services' names.
func WithNetwork(name string) Option { return func(o *options) { o.network = name } }

// WithServices runs only the named services, such as "mailbox-svc" and "projection-svc". The
// default is all of them.
func WithServices(names ...string) Option { return func(o *options) { o.services = names } }

// WithoutServices runs no service: only NATS with the streams, Postgres with the schema, and the
// sandbox. It is for tests that play the services themselves.
func WithoutServices() Option { return WithServices() }

// WithoutSandbox runs neither the sandbox nor the services, which need it.
func WithoutSandbox() Option {
	return func(o *options) {
		o.noSandbox = true
		o.services = nil
	}
}

// WithTLS has NATS, Postgres, the sandbox and the services speak TLS alone, by certificates of an
// authority of the system's own: [Endpoints.CA] is its file. Servers of [WithNATS] and
// [WithPostgres] stay as they are.
func WithTLS() Option { return func(o *options) { o.tls = true } }

// WithConsole runs the console too. [Endpoints].Console is the address that signs in there.
func WithConsole() Option { return func(o *options) { o.console = true } }

// WithPrograms sets the folder of Mailwright's programs for [Embedded], as `make build` or `go
// install github.com/mailwright/mailwright/services/...` fills it. The default is the environment
// variable MAILWRIGHT_BIN. It is not needed without services and sandbox.
func WithPrograms(dir string) Option { return func(o *options) { o.programs = dir } }

// WithImages replaces images of parts, by the name of the part: {"nats":
// "registry.example.com/nats:2.15"}.
func WithImages(images map[string]string) Option {
	return func(o *options) { maps.Copy(o.images, images) }
}

// WithEnv adds variables to the services' environment, such as "MAILWRIGHT_LOG_LEVEL=debug".
func WithEnv(env ...string) Option { return func(o *options) { o.env = append(o.env, env...) } }

// WithLogDir writes the log of each part to dir/<part>.log when the system stops. The folder is
// created if necessary.
func WithLogDir(dir string) Option { return func(o *options) { o.logDir = dir } }

// WithLog logs starts and stops, and what is removed that killed tests left behind. By default
// nothing is logged.
func WithLog(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// The servers' images that a system runs where [WithImages] names no others.
const (
	NATSImage     = "nats:2.15"
	PostgresImage = "postgres:15"
)

// defaultImages are the images of the version of this module. For a checkout they are those that
// `make images` builds.
func defaultImages() map[string]string {
	images := map[string]string{NATS: NATSImage, Postgres: PostgresImage}
	tag := imageTag(dependencies())
	for _, program := range append([]string{Sandbox, CLI, stack.Console}, stack.Services...) {
		images[program] = "mailwright/" + program + ":" + tag
	}
	return images
}

// checkout is the tag of images if the programs are built from a folder and not from a version.
const checkout = "dev"

func dependencies() []*debug.Module {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	return info.Deps
}

// imageTag is the version of this module among a program's modules. An image tag cannot hold a plus
// sign.
func imageTag(modules []*debug.Module) string {
	for _, m := range modules {
		if m.Path == "github.com/mailwright/mailwright/pkg/testkit" && m.Replace == nil && m.Version != "(devel)" {
			return strings.ReplaceAll(strings.TrimPrefix(m.Version, "v"), "+", "-")
		}
	}
	return checkout
}
