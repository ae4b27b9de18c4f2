package child

import "syscall"

func tie(a *syscall.SysProcAttr, orphaned syscall.Signal) { a.Pdeathsig = orphaned }
