package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/testkit"
)

// TestProcessesListenOnLoopbackOnly looks at every socket on which the programs and servers listen
// that `mailwright dev` starts.
func TestProcessesListenOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("who listens where is read from /proc")
	}
	testkit.Start(t, testkit.WithBackend(testkit.Embedded), testkit.WithPrograms(bin), testkit.WithServices("delegation-svc", "projection-svc"))
	held := map[string]bool{}
	for _, pid := range children(t) {
		for _, inode := range sockets(pid) {
			held[inode] = true
		}
	}
	found := 0
	for _, file := range []string{"tcp", "tcp6"} {
		raw, err := os.ReadFile("/proc/net/" + file)
		if err != nil {
			continue // no IPv6
		}
		for line := range strings.Lines(string(raw)) {
			const address, state, inode, listens = 1, 3, 9, "0A"
			f := strings.Fields(line)
			if f[state] != listens || !held[f[inode]] {
				continue
			}
			found++
			// The bytes of an address stand in groups of four, each back to front.
			if ip, _, _ := strings.Cut(f[address], ":"); !strings.HasSuffix(ip, "7F") && ip != "00000000000000000000000001000000" {
				t.Errorf("a part listens on %s", f[address])
			}
		}
	}
	if want := 6; found < want { // NATS, Postgres, the sandbox's HTTP and LDAP, two services
		t.Errorf("%d sockets are found, want %d", found, want)
	}
}

// children are the processes that this one has started.
func children(t *testing.T) []string {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	for _, stat := range stats {
		raw, _ := os.ReadFile(stat)
		_, after, _ := strings.Cut(string(raw), ") ") // of the name; what follows is the state and the parent
		var state string
		var parent int
		if n, _ := fmt.Sscan(after, &state, &parent); n == 2 && parent == os.Getpid() {
			pids = append(pids, filepath.Base(filepath.Dir(stat)))
		}
	}
	return pids
}

// sockets are the inodes of those that a process holds.
func sockets(pid string) []string {
	links, _ := filepath.Glob("/proc/" + pid + "/fd/*")
	var inodes []string
	for _, link := range links {
		to, _ := os.Readlink(link)
		if inode, is := strings.CutPrefix(to, "socket:["); is {
			inodes = append(inodes, strings.TrimSuffix(inode, "]"))
		}
	}
	return inodes
}
