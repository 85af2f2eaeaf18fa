package noise

import (
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/bdtnet/bdt/internal/wire"
)

// cookieLife is how long a secret makes cookies; for as long again they are
// accepted (spec §2).
const cookieLife = 2 * time.Minute

// A cookieJar makes the cookies that prove that a source receives what is sent to
// it. It keeps no state for a source. It is not safe for concurrent use.
type cookieJar struct {
	secrets [2][32]byte // present, and the one before
	made    time.Time   // when the present one was; zero: there is none
}

// rotate replaces a secret that has served its time.
func (j *cookieJar) rotate(now time.Time) {
	age := now.Sub(j.made)
	if !j.made.IsZero() && age < cookieLife {
		return
	}
	var fresh [32]byte
	rand.Read(fresh[:])
	before := j.secrets[0]
	if j.made.IsZero() || age >= 2*cookieLife {
		before = fresh // older than any that is accepted
	}
	j.secrets = [2][32]byte{fresh, before}
	j.made = now
}

// cookieOf returns the cookie of a source under a secret.
func cookieOf(secret *[32]byte, from netip.AddrPort) [macLen]byte {
	b := from.Addr().As16()
	return mac(secret[:], append(b[:], byte(from.Port()>>8), byte(from.Port())))
}

// sealCookie makes the reply to an initiation: the cookie, which only one who saw
// the initiation can open, and only for it (spec §2).
func sealCookie(key macKey, nonce [24]byte, cookie [macLen]byte, receiver uint32, initiation []byte) []byte {
	at := mac1Offset(initiation)
	r := wire.CookieReply{Receiver: receiver, Nonce: nonce}
	cookieAEAD(key).Seal(r.Sealed[:0], nonce[:], cookie[:], initiation[at:at+macLen])
	return r.Append(nil)
}

// openCookie is the inverse of sealCookie.
func openCookie(key macKey, r wire.CookieReply, initiation []byte) (cookie [macLen]byte, err error) {
	at := mac1Offset(initiation)
	if _, err := cookieAEAD(key).Open(cookie[:0], r.Nonce[:], r.Sealed[:], initiation[at:at+macLen]); err != nil {
		return cookie, fmt.Errorf("noise: cookie reply: %w", ErrMAC)
	}
	return cookie, nil
}

func cookieAEAD(key macKey) cipher.AEAD {
	c, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic(err) // only for a key of another length
	}
	return c
}
