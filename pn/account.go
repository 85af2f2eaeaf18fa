package pn

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/quota"
)

// day is what a daily quota is counted in.
const day = 24 * time.Hour

// An account is what one payer, or one zone, has used.
type account struct {
	id      identity.ID
	network quota.Network // whose share it is of
	rate    bucket
	used    atomic.Int64 // bytes since the day began
	began   atomic.Int64 // the day, since the server's start
	over    atomic.Int64 // the daily quota beyond which something was refused in this day; 0: nothing was

	mu sync.Mutex // held by who ends the day, or finds it used up

	refs int // bindings that it answers for; guarded by the lock of accounts
}

// A tariff is what is applied to an account.
type tariff struct {
	rate  rate
	daily int64 // bytes; negative: no limit
}

// spend takes n bytes from an account, which may be nil: nobody's. It says what they
// are over, if anything: then nothing is taken.
func (a *account) spend(t tariff, n int, now time.Duration) verdict {
	if a == nil {
		return pass
	}
	if t.daily >= 0 && a.used.Load()+int64(n) > t.daily && !a.nextDay(t, n, now) {
		return overQuota
	}
	if !a.rate.take(t.rate, n, now) {
		return overRate
	}
	a.used.Add(int64(n))
	return pass
}

// refund undoes a spend: the bytes do not pass.
func (a *account) refund(t tariff, n int) {
	if a != nil {
		a.rate.give(t.rate, n)
		a.used.Add(-int64(n))
	}
}

// nextDay begins another day of an account that has too little left for n bytes, and reports
// whether there is enough now.
func (a *account) nextDay(t tariff, n int, now time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used.Load()+int64(n) <= t.daily {
		return true // another has
	}
	if now-time.Duration(a.began.Load()) < day || int64(n) > t.daily {
		a.over.Store(t.daily)
		return false
	}
	a.began.Store(int64(now))
	a.used.Store(0)
	a.over.Store(0)
	return true
}

// exhausted reports whether an account's day has not been enough, nor would be under t.
func (a *account) exhausted(t tariff, now time.Duration) bool {
	if a == nil || t.daily < 0 {
		return false
	}
	over := a.over.Load()
	return over > 0 && t.daily <= over && now-time.Duration(a.began.Load()) < day
}

// remembered reports whether what an account has used still counts.
func (a *account) remembered(set *settings, now time.Duration) bool {
	t := set.zone
	if a.id.Type() == identity.TypeDevice {
		t = set.payer
	}
	return t.daily >= 0 && a.used.Load() > 0 && now-time.Duration(a.began.Load()) < day
}

// accounts holds those who pay, and for as long as a quota binds them, those who
// have paid. A network has its share of the places, as identities cost nothing. It may be used
// concurrently.
type accounts struct {
	share *quota.Share

	mu sync.Mutex
	m  map[identity.ID]*account
}

func newAccounts(limit int) *accounts {
	return &accounts{share: quota.NewShare(limit), m: make(map[identity.ID]*account)}
}

// open returns the account of an id for one more binding, nil if there is no room for it in the
// share of the network from which it is asked for. The zero id has none, and needs none.
func (a *accounts) open(id identity.ID, network quota.Network, now time.Duration) (acc *account, ok bool) {
	if id.IsZero() {
		return nil, true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	acc = a.m[id]
	if acc == nil {
		if !a.share.Take(network, a.share.Limit()) {
			return nil, false
		}
		acc = &account{id: id, network: network}
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

// sweep forgets the accounts that nobody uses, and of which nothing has to be remembered.
func (a *accounts) sweep(set *settings, now time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, acc := range a.m {
		if acc.refs == 0 && !acc.remembered(set, now) {
			delete(a.m, id)
			a.share.Give(acc.network)
		}
	}
}

func (a *accounts) len() int { return a.share.Len() }
