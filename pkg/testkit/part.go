package testkit

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
)

// part is one container.
type part struct {
	name  string
	image string
	// inside is the port that it listens on, published that of the host.
	inside    string
	host      string
	published int
	run       runner
	opts      []testcontainers.ContainerCustomizer
	// ready returns nil once the part serves.
	ready func(context.Context) error
	// after, if set, is closed when the part may be started.
	after <-chan struct{}
	// first, if set, is called when the part serves for the first time, not after a restart.
	first func(context.Context) error

	testcontainers.Container
}

// address is where the part is, as the test sees it.
func (p *part) address() string { return net.JoinHostPort(p.host, strconv.Itoa(p.published)) }

// runner starts a container of an image.
type runner func(ctx context.Context, image string, opts ...testcontainers.ContainerCustomizer) (testcontainers.Container, error)

// runs makes a runner of a testcontainers module's Run.
func runs[C interface {
	comparable
	testcontainers.Container
}](run func(context.Context, string, ...testcontainers.ContainerCustomizer) (C, error)) runner {
	return func(ctx context.Context, image string, opts ...testcontainers.ContainerCustomizer) (testcontainers.Container, error) {
		var none C
		c, err := run(ctx, image, opts...)
		if c == none {
			return nil, err
		}
		return c, err
	}
}

// locked takes every right from a container, and lets it write nowhere but to what is mounted.
func locked(h *container.HostConfig) {
	h.ReadonlyRootfs = true
	h.CapDrop = []string{"ALL"}
	h.SecurityOpt = []string{"no-new-privileges"}
}

// data is the volume of an image of ours, and of NATS.
var data = volume("/data")

// volume mounts a volume of the container's own.
func volume(target string) func(*container.HostConfig) {
	return func(h *container.HostConfig) {
		h.Mounts = append(h.Mounts, mount.Mount{Type: mount.TypeVolume, Target: target})
	}
}

func archive(files map[string]string) (io.Reader, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, text); err != nil {
			return nil, err
		}
	}
	return &b, w.Close()
}

// hostConfig adds to what was set before; testcontainers' own option replaces it.
func hostConfig(changes ...func(*container.HostConfig)) testcontainers.CustomizeRequestOption {
	return func(req *testcontainers.GenericContainerRequest) error {
		before := req.HostConfigModifier
		req.HostConfigModifier = func(h *container.HostConfig) {
			if before != nil {
				before(h)
			}
			for _, change := range changes {
				change(h)
			}
		}
		return nil
	}
}

// here is a wait strategy that does not wait.
var here = wait.ForNop(func(context.Context, wait.StrategyTarget) error { return nil })

// explain says what to do about an image that is not there.
func explain(err error, image string) error {
	if strings.Contains(err.Error(), "pull") || strings.Contains(err.Error(), "No such image") {
		return fmt.Errorf("%w (the engine does not have the image %s and could not pull it: '%s' in a checkout of Mailwright builds it, WithImages names another)", err, image, makes(image))
	}
	return err
}

// makes is the command that makes an image of ours.
func makes(image string) string {
	if name, tag, _ := strings.Cut(image, ":"); strings.HasPrefix(name, "mailwright/") && tag != checkout {
		return "make images TAG=" + tag
	}
	return "make images"
}

// portTaken reports whether someone took the port between its choice and the start.
func portTaken(err error) bool {
	return strings.Contains(err.Error(), "port is already allocated") || strings.Contains(err.Error(), "address already in use")
}

func answers(ctx context.Context, url, ca string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return stack.Answers(ctx, url, ca)
}
