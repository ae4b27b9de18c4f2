//go:build unix

package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// owner is the user that the server runs as. The server's directories belong to it.
type owner struct {
	name     string
	uid, gid int
	drops    bool // we are root and give that up
}

// serverOwner is ourselves, or for root a user of the machine: Postgres refuses to run as root.
func serverOwner() (owner, error) {
	if os.Geteuid() != 0 {
		return owner{name: "this user", uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		return owner{name: name, uid: uid, gid: gid, drops: true}, errors.Join(err1, err2)
	}
	return owner{}, errors.New("Postgres refuses to run as root, and there is neither a user postgres nor nobody: add one, or start as another user")
}

// runs makes a command run as the owner.
func (o owner) runs(cmd *exec.Cmd) {
	if o.drops {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}}
	}
}

// mkdir makes a directory that is the owner's alone.
func (o owner) mkdir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return o.own(path)
}

func (o owner) own(path string) error {
	if !o.drops {
		return nil
	}
	return os.Chown(path, o.uid, o.gid)
}

// canReach checks that the owner can enter every directory down to path.
func (o owner) canReach(path string) error {
	if !o.drops {
		return nil
	}
	for p := path; ; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 == 0 {
			return fmt.Errorf("user %s, whom the server runs as, cannot enter %s: choose a directory elsewhere (such as under /var/lib or /tmp), or `chmod o+x %s`", o.name, p, p)
		}
		if p == filepath.Dir(p) {
			return nil
		}
	}
}

// awaitPredecessor waits for a server that still runs on the directory: an earlier process of ours
// started it and has crashed, and the kernel has sent the server the signal to stop. A lock file
// whose process id now belongs to another program is removed.
func (p *Postgres) awaitPredecessor(ctx context.Context) error {
	lock := filepath.Join(p.data(), "postmaster.pid")
	deadline := time.Now().Add(10 * time.Second)
	for {
		raw, err := os.ReadFile(lock)
		if err != nil {
			return nil // none, or none that we could judge: the server itself checks once more
		}
		first, _, _ := strings.Cut(string(raw), "\n")
		pid, err := strconv.Atoi(first)
		if err != nil || pid <= 0 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return nil // the server itself removes it
		}
		if runtime.GOOS == "linux" {
			// A dead process that nobody has waited for has no working directory either.
			if cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); cwd != p.data() {
				return os.Remove(lock)
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("another server (process %d) runs on %s: stop it, or choose another directory", pid, p.data())
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
