package embedded

import "syscall"

// childAttr ends a child, in good order, when the thread that started it ends.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT} }
