package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/internal/testprograms"
)

// programs gives a folder that holds the named programs of ours.
func programs(b *testing.B, names ...string) string {
	b.Helper()
	dir, remove, err := testprograms.Dir(names...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(remove)
	return dir
}

// build compiles programs of the benchmarks alone into a new folder.
func build(b *testing.B, names ...string) string {
	b.Helper()
	dir := b.TempDir()
	if err := testprograms.Build(dir, names...); err != nil {
		b.Fatal(err)
	}
	return dir
}

// usage is what a process has used.
type usage struct {
	peak float64 // memory, in MiB (VmHWM in proc_pid_status(5))
	cpu  float64 // seconds (utime and stime in proc_pid_stat(5))
}

// runningProcess is an entry of the table of processes.
type runningProcess struct {
	pid, parent int
	name        string // its first 15 characters
	usage
	// cpuOfEnded is what its children have used that have ended, in seconds.
	cpuOfEnded float64
}

// processes lists what runs on this machine. It is empty where the system does not tell.
func processes(b *testing.B) (list []runningProcess) {
	b.Helper()
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		b.Fatal(err)
	}
	for _, folder := range folders {
		if p, err := readProcess(folder); err == nil { // else it has ended
			list = append(list, p)
		}
	}
	return list
}

// ticks are the kernel's units of CPU time a second, on every Linux that Go runs on.
const ticks = 100

// readProcess reads a process of which /proc has a folder.
func readProcess(folder string) (p runningProcess, err error) {
	raw, err := os.ReadFile(filepath.Join(folder, "stat"))
	if err != nil {
		return p, err
	}
	id, rest, _ := strings.Cut(string(raw), " (")
	end := strings.LastIndex(rest, ") ") // the name before may hold spaces
	if end < 0 {
		return p, fmt.Errorf("%s/stat has an unknown form", folder)
	}
	fields := strings.Fields(rest[end+2:])
	p.name = rest[:end]
	p.pid, _ = strconv.Atoi(id)
	p.parent, _ = strconv.Atoi(fields[1])
	seconds := func(first int) float64 {
		user, _ := strconv.ParseFloat(fields[first], 64)
		system, _ := strconv.ParseFloat(fields[first+1], 64)
		return (user + system) / ticks
	}
	p.cpu, p.cpuOfEnded = seconds(11), seconds(13)
	p.peak, err = readPeak(folder)
	return p, err
}

// readPeak reads the peak memory of a process in MiB; 0 for a thread of the kernel.
func readPeak(folder string) (float64, error) {
	raw, err := os.ReadFile(filepath.Join(folder, "status"))
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		if value, found := strings.CutPrefix(lines.Text(), "VmHWM:"); found {
			kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(value, " kB")), 64)
			return kib / 1024, err
		}
	}
	return 0, nil
}

// usageOf gives what a child of this process has used; zero where there is none of that name.
func usageOf(b *testing.B, program string) usage {
	b.Helper()
	list := processes(b)
	i := slices.IndexFunc(list, func(p runningProcess) bool { return p.parent == os.Getpid() && p.name == program })
	if i < 0 {
		return usage{}
	}
	return list[i].usage
}

// tree gives what a process and its children have used. The peak is that of the process alone.
func tree(list []runningProcess, pid int) (u usage) {
	for _, p := range list {
		switch pid {
		case p.pid:
			u.peak = p.peak
			u.cpu += p.cpu + p.cpuOfEnded
		case p.parent:
			u.cpu += p.cpu
		}
	}
	return u
}
