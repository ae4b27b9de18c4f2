package testkit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/moby/moby/client"
)

// ownerLabel marks the containers and networks of testkit. Its value is the process that they
// belong to.
const ownerLabel = "io.mailwright.testkit.owner"

// Labels marks containers, networks and volumes of a test's own as its own, so that they are swept
// up like testkit's should the test be killed: testcontainers.WithLabels(testkit.Labels()).
func Labels() map[string]string { return map[string]string{ownerLabel: self().String()} }

// systemLabel tells the systems of a process apart.
const systemLabel = "io.mailwright.testkit.system"

// owner is a process of some machine. It has more than a process id, because ids are used again.
type owner struct {
	Machine string // and its PID namespace
	Boot    string
	PID     int
	Start   string // of the process, in the kernel's ticks; "" where there is no /proc
}

var self = sync.OnceValue(func() owner {
	host, _ := os.Hostname()
	if id, err := os.ReadFile("/etc/machine-id"); err == nil {
		host += "-" + string(bytes.TrimSpace(id))
	}
	namespace, _ := os.Readlink("/proc/self/ns/pid")
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return owner{
		Machine: strings.ReplaceAll(host+namespace, " ", ""), Boot: string(bytes.TrimSpace(boot)),
		PID: os.Getpid(), Start: startOf(os.Getpid()),
	}
})

func (o owner) String() string {
	return strings.Join([]string{o.Machine, o.Boot, strconv.Itoa(o.PID), o.Start}, " ")
}

func parseOwner(s string) (owner, bool) {
	f := strings.Split(s, " ")
	if len(f) != 4 {
		return owner{}, false
	}
	pid, err := strconv.Atoi(f[2])
	return owner{f[0], f[1], pid, f[3]}, err == nil && pid > 0
}

// gone reports whether the process has certainly ended: it is a process of this machine, and no
// longer runs.
func (o owner) gone() bool {
	switch {
	case o.Machine != self().Machine:
		return false
	case o.Boot != self().Boot:
		return true
	case self().Start == "": // no /proc
		process, err := os.FindProcess(o.PID)
		return err != nil || process.Signal(syscall.Signal(0)) != nil
	default:
		return startOf(o.PID) != o.Start
	}
}

// startOf gives when a process started: field 22 of /proc/<pid>/stat (proc(5)); "" where it does
// not run.
func startOf(pid int) string {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// The name, in parentheses, may hold anything; the fields after it are plain.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	const startTime = 22 - 3 // field 3 is the first here
	if len(fields) <= startTime || fields[0] == "Z" {
		return ""
	}
	return fields[startTime]
}

// sweep removes what processes that are gone have left.
func (e *engine) sweep(ctx context.Context, log *slog.Logger) {
	ours := make(client.Filters).Add("label", ownerLabel)
	abandoned := func(labels map[string]string) bool {
		o, ok := parseOwner(labels[ownerLabel])
		return ok && o.gone()
	}
	containers, err := e.docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: ours})
	if err != nil {
		log.Warn("what killed tests left could not be looked for", "error", err)
		return
	}
	for _, c := range containers.Items {
		if abandoned(c.Labels) {
			_, err := e.docker.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
			log.Info("removed a container of a test that was killed", "container", c.Names, "error", err)
		}
	}
	networks, err := e.docker.NetworkList(ctx, client.NetworkListOptions{Filters: ours})
	if err != nil {
		return
	}
	for _, n := range networks.Items {
		if abandoned(n.Labels) {
			err := e.removeNetwork(ctx, n.ID)
			log.Info("removed a network of a test that was killed", "network", n.Name, "error", err)
		}
	}
	volumes, err := e.docker.VolumeList(ctx, client.VolumeListOptions{Filters: ours})
	if err != nil {
		return
	}
	for _, v := range volumes.Items {
		if abandoned(v.Labels) {
			_, err := e.docker.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{})
			log.Info("removed a volume of a test that was killed", "volume", v.Name, "error", err)
		}
	}
}

// removeNetwork disconnects the containers that are still on a network, such as those of the test
// without our label, and removes it.
func (e *engine) removeNetwork(ctx context.Context, id string) error {
	found, err := e.docker.NetworkInspect(ctx, id, client.NetworkInspectOptions{})
	if err != nil {
		return err
	}
	var errs []error
	for other := range found.Network.Containers {
		_, err := e.docker.NetworkDisconnect(ctx, id, client.NetworkDisconnectOptions{Container: other, Force: true})
		errs = append(errs, err)
	}
	_, err = e.docker.NetworkRemove(ctx, id, client.NetworkRemoveOptions{})
	return errors.Join(append(errs, err)...)
}

// The embedded backend has a folder for each system in the folder for temporary files. A file in it
// names its owner.
const (
	folderPrefix = "mailwright-testkit-"
	ownerFile    = "owner"
)

var sweptFolders sync.Once

// sweepFolders removes what processes of this user that are gone have left below a folder.
func sweepFolders(in string, log *slog.Logger) {
	folders, _ := filepath.Glob(filepath.Join(in, folderPrefix+"*"))
	for _, dir := range folders {
		raw, err := os.ReadFile(filepath.Join(dir, ownerFile))
		if o, ok := parseOwner(string(raw)); err != nil || !ok || !o.gone() || !ownFolder(dir) {
			continue
		}
		err = removeFolder(dir)
		log.Info("removed the files of a test that was killed", "folder", dir, "error", err)
	}
}

// ownFolder reports whether dir is a folder, no link, and belongs to this user.
func ownFolder(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// removeFolder removes a system's folder, the owner's file last. So the next sweep finds a folder
// that cannot be removed now, for example because Postgres has not ended yet and still writes.
func removeFolder(dir string) error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		entries, err := os.ReadDir(dir)
		errs := []error{err}
		for _, e := range entries {
			if e.Name() != ownerFile {
				errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
			}
		}
		if err = errors.Join(errs...); err == nil {
			return os.RemoveAll(dir)
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}
