//go:build !linux

package natlab

import (
	"errors"
	"runtime"
	"syscall"
)

// errSystem is the error of every lab on other systems than Linux.
var errSystem = errors.New("network namespaces are Linux's, and this is " + runtime.GOOS)

// supported reports why there can be no lab here.
func supported() error { return errSystem }

// A namespace cannot be had here.
type namespace struct{ path string }

func newNamespace() (*namespace, error) { return nil, errSystem }

func (*namespace) do(func() error) error       { return errSystem }
func (*namespace) await(string) error          { return errSystem }
func (*namespace) sysctl(string, string) error { return errSystem }
func (*namespace) close()                      {}

// tied returns nil: no program starts here.
func tied() *syscall.SysProcAttr { return nil }
