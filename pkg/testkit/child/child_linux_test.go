package child_test

import (
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/testkit/child"
)

// TestAChildOutlivesTheThreadOfItsCaller: a goroutine that ends while it is locked to its thread
// takes that with it.
func TestAChildOutlivesTheThreadOfItsCaller(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sleep", "60")
	var ended <-chan struct{}
	var err error
	tid := onADyingThread(func() { ended, err = child.Start(cmd, syscall.SIGTERM) })
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); syscall.Tgkill(syscall.Getpid(), tid, 0) == nil; {
		if time.Now().After(deadline) {
			t.Fatal("the thread does not end")
		}
		runtime.Gosched()
	}
	select {
	case <-ended:
		t.Fatalf("the child ended with the thread: %v", cmd.ProcessState)
	case <-time.After(50 * time.Millisecond): // a signal would have come at once
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if status := cmd.ProcessState.String(); !strings.Contains(status, "killed") {
		t.Errorf("it ended with %q", status)
	}
}

// onADyingThread calls f on a thread that is about to end, and gives its id.
func onADyingThread(f func()) (tid int) {
	called := make(chan struct{})
	go func() {
		defer close(called)
		runtime.LockOSThread()
		if tid = syscall.Gettid(); tid == syscall.Getpid() {
			tid = onADyingThread(f) // the main thread stays, and is taken now
			return
		}
		f()
	}()
	<-called
	return tid
}

func TestRunTellsHowItEnded(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{"true": "", "false": "exit status 1", "no-such-command": "executable file not found"} {
		err := child.Run(exec.Command(command), syscall.SIGTERM)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", command, err, want)
		}
	}
}
