package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"

	"github.com/bdtnet/bdt/identity"
)

// A Claim is an identity that this process holds: no other has a claim to it.
type Claim struct {
	place place
	lock  *os.File
}

// Take claims an identity for this process. If another holds it the error is a
// [*HeldError]. The claim ends with the process.
func Take(id identity.ID, holder Holder) (*Claim, error) {
	p, err := claimPlace(id)
	if err != nil {
		return nil, err
	}
	for _, other := range places(id) {
		if other != p {
			if err := other.checkFree(); err != nil {
				return nil, err
			}
		}
	}
	f, err := os.OpenFile(p.lock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim the device: %w", err)
	}
	free, err := tryLock(f)
	switch {
	case err != nil:
		f.Close()
		return nil, fmt.Errorf("claim the device: %w", err)
	case !free:
		defer f.Close()
		return nil, &HeldError{readHolder(f)}
	}
	text, _ := json.Marshal(holder) // numbers and strings
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt(text, 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("claim the device: %w", err)
	}
	return &Claim{p, f}, nil
}

// checkFree reports a process that holds a place. One to which others have access is
// none of this user's: they must not keep it from its identities.
func (p place) checkFree() error {
	if checkDirectory(p.dir) != nil {
		return nil
	}
	f, err := os.OpenFile(p.lock(), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("claim the device: %w", err)
	}
	defer f.Close()
	free, err := tryLock(f)
	if err != nil {
		return fmt.Errorf("claim the device: %w", err)
	}
	if !free {
		return &HeldError{readHolder(f)}
	}
	return nil
}

// readHolder returns what the holder of a lock has written into it; the zero Holder
// if it has not yet.
func readHolder(f *os.File) Holder {
	text, _ := io.ReadAll(io.LimitReader(io.NewSectionReader(f, 0, 4096), 4096))
	var h Holder
	if json.Unmarshal(text, &h) != nil {
		return Holder{}
	}
	return h
}

// Release gives the identity up. The file of the lock stays: another process may
// have it open.
func (c *Claim) Release() { c.lock.Close() }

// listen opens the socket. Whoever holds the claim may remove what an earlier holder
// has left there.
func (c *Claim) listen() (net.Listener, error) {
	path := c.place.socket()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the daemon's socket: %w", err)
	}
	ln, err := net.Listen("unix", path)
	if err == nil {
		if err = os.Chmod(path, 0o600); err != nil {
			ln.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the daemon's socket: %w", err)
	}
	return guarded{ln, os.Getuid()}, nil
}

// A guarded listener lets only this user's processes in.
type guarded struct {
	net.Listener
	uid int
}

// Accept implements net.Listener.
func (l guarded) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if u, ok := c.(*net.UnixConn); ok && sameUser(u, l.uid) {
			return c, nil
		}
		c.Close()
	}
}
