package pn

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
)

// day is what a daily quota is counted in.
const day = 24 * time.Hour

// An account is what one payer, or one zone, has used.
type account struct {
	id    identity.ID
	rate  bucket
	used  atomic.Int64 // bytes since the day began
	began atomic.Int64 // the day, since the server's start
	over  atomic.Bool  // something was refused because the day's quota is used up

	refs int // bindings that it answers for; guarded by the lock of accounts
}

// A tariff is what is applied to an account.
type tariff struct {
	rate  rate
	daily int64 // bytes; negative: no limit
}

// spend takes n bytes from an account, which may be nil: nobody's. It says what they
// are over, if anything.
func (a *account) spend(t tariff, n int, now time.Duration) verdict {
	if a == nil {
		return pass
	}
	if t.daily >= 0 && a.used.Load()+int64(n) > t.daily {
		if now-time.Duration(a.began.Load()) < day || int64(n) > t.daily {
			a.over.Store(true)
			return overQuota
		}
		a.began.Store(int64(now))
		a.used.Store(0)
		a.over.Store(false)
	}
	if !a.rate.take(t.rate, n, now) {
		return overRate
	}
	a.used.Add(int64(n))
	return pass
}

// exhausted reports whether an account's day has not been enough.
func (a *account) exhausted(t tariff, now time.Duration) bool {
	return a != nil && t.daily >= 0 && a.over.Load() && now-time.Duration(a.began.Load()) < day
}

// accounts holds those who pay, and for as long as a quota binds them, those who
// have paid. It may be used concurrently.
type accounts struct {
	limit int

	mu sync.Mutex
	m  map[identity.ID]*account
}

func newAccounts(limit int) *accounts {
	return &accounts{limit: limit, m: make(map[identity.ID]*account)}
}

// open returns the account of an id for one more binding, nil if there is no room. The zero
// id has none, and needs none.
func (a *accounts) open(id identity.ID, now time.Duration) (acc *account, ok bool) {
	if id.IsZero() {
		return nil, true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	acc = a.m[id]
	if acc == nil {
		if len(a.m) >= a.limit {
			return nil, false
		}
		acc = &account{id: id}
		acc.began.Store(int64(now))
		a.m[id] = acc
	}
	acc.refs++
	return acc, true
}

// close undoes an open.
func (a *accounts) close(acc *account) {
	if acc == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	acc.refs--
}

// sweep forgets the accounts that nobody uses, and whose day is over if there are quotas.
func (a *accounts) sweep(quotas bool, now time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, acc := range a.m {
		if acc.refs == 0 && !(quotas && acc.used.Load() > 0 && now-time.Duration(acc.began.Load()) < day) {
			delete(a.m, id)
		}
	}
}

func (a *accounts) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.m)
}
