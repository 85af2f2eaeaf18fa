package sn

import (
	"errors"
	"fmt"

	"github.com/bdtnet/bdt/internal/vault"
)

// ErrConfig: [Config] holds a value that [Open] and [Server.Reload] do not take.
var ErrConfig = errors.New("configuration")

// What can keep [Open] from using the state file.
var (
	// ErrState: the file cannot be used; the other two are causes of it.
	ErrState = errors.New("state file")
	// ErrStateLocked: another process uses it.
	ErrStateLocked = errors.New("in use")
	// ErrStateKey: it was made by a server of another identity.
	ErrStateKey = errors.New("of another server")
)

// stateError returns an error of the vault as one of this package.
func stateError(err error) error {
	switch {
	case errors.Is(err, vault.ErrLocked):
		return fmt.Errorf("%w %w: %w", ErrState, ErrStateLocked, err)
	case errors.Is(err, vault.ErrKey):
		return fmt.Errorf("%w %w: %w", ErrState, ErrStateKey, err)
	}
	return fmt.Errorf("%w: %w", ErrState, err)
}
