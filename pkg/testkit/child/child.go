// Package child runs processes that do not outlive ours.
package child

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Start starts a command. If this process is killed, the kernel sends the command the signal
// orphaned (Linux only). The command has a process group of its own: a Ctrl-C at the terminal
// reaches this process alone, which stops its children in order. Once ended is closed, the
// command's ProcessState has its exit code.
//
// The kernel ties a child's life to the thread that started it, not to the process (prctl(2),
// PR_SET_PDEATHSIG), and the runtime ends threads. So each child has one to itself.
func Start(cmd *exec.Cmd, orphaned syscall.Signal) (ended <-chan struct{}, err error) {
	prepare(cmd, orphaned)
	started, done := make(chan error), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	return done, <-started
}

// Run is Start, and waits for the end; see [exec.Cmd.Run] for its errors.
func Run(cmd *exec.Cmd, orphaned syscall.Signal) error {
	prepare(cmd, orphaned)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return cmd.Run()
}

func prepare(cmd *exec.Cmd, orphaned syscall.Signal) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	tie(cmd.SysProcAttr, orphaned)
}
