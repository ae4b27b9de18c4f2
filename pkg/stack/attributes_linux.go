package stack

import "syscall"

// childAttributes: a process group of its own, so that Ctrl-C reaches children only through us and in order, and an
// end with ours, should we be killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
