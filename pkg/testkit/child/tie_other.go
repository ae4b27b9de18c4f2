//go:build !linux

package child

import "syscall"

// tie does nothing: only Linux can.
func tie(*syscall.SysProcAttr, syscall.Signal) {}
