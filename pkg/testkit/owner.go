package testkit

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/moby/moby/client"
)

// ownerLabel marks what is ours: containers and networks, with the process that they belong to.
const ownerLabel = "io.mailwright.testkit.owner"

// systemLabel tells the systems of a process apart.
const systemLabel = "io.mailwright.testkit.system"

// owner is a process of some machine. A process id alone would do only until it is used again.
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

// gone reports whether the process has certainly ended: it is one of this machine, and does not run any more.
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

// startOf gives when a process started: field 22 of /proc/<pid>/stat (proc(5)); "" where it does not run.
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
	containers, err := e.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: ours})
	if err != nil {
		log.Warn("what killed tests left could not be looked for", "error", err)
		return
	}
	for _, c := range containers.Items {
		if abandoned(c.Labels) {
			_, err := e.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
			log.Info("removed a container of a test that was killed", "container", c.Names, "error", err)
		}
	}
	networks, err := e.NetworkList(ctx, client.NetworkListOptions{Filters: ours})
	if err != nil {
		return
	}
	for _, n := range networks.Items {
		if abandoned(n.Labels) {
			_, err := e.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
			log.Info("removed a network of a test that was killed", "network", n.Name, "error", err)
		}
	}
}
