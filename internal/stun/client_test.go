package stun

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

// answer is what a server answers to a packet from an address.
func answer(t testing.TB, packet []byte, from, origin, other netip.AddrPort) []byte {
	t.Helper()
	r, ok := ParseRequest(packet)
	switch {
	case !ok:
		return nil
	case len(r.Unknown) > 0:
		return r.AppendRefusal(nil)
	}
	return r.AppendAnswer(nil, from, origin, other)
}

// What the server half answers, the client half reads.
func TestExchange(t *testing.T) {
	for _, text := range []string{"198.51.100.7:4000", "[2001:db8::7]:65535"} {
		addr := netip.MustParseAddrPort(text)
		origin := netip.AddrPortFrom(addr.Addr().Next(), 8443)
		other := netip.AddrPortFrom(addr.Addr().Prev(), 8444)
		id := NewTransactionID()
		request := AppendRequest([]byte("kept"), id)
		if !bytes.HasPrefix(request, []byte("kept")) {
			t.Fatal("AppendRequest does not append")
		}
		got, mapped, err := ParseResponse(answer(t, request[4:], addr, netip.AddrPort{}, netip.AddrPort{}))
		if err != nil || got != id || mapped != addr {
			t.Errorf("%v: id %x, mapped %v, err %v", addr, got, mapped, err)
		}
		a, err := ParseAnswer(answer(t, request[4:], addr, origin, other))
		if want := (Answer{ID: id, Mapped: addr, Origin: origin, Other: other}); err != nil || a != want {
			t.Errorf("%v: answer %+v, err %v", addr, a, err)
		}
	}
}

func TestQuery(t *testing.T) {
	id := TransactionID{7}
	for _, c := range []struct {
		query Query
		want  Query // as the server reads it
		bytes int
	}{
		{Query{}, Query{}, 20},
		{Query{Other: true}, Query{Other: true}, 28},
		{Query{ChangeIP: true}, Query{ChangeIP: true, Other: true}, 28},
		{Query{ChangePort: true}, Query{ChangePort: true, Other: true}, 28},
		{Query{ChangeIP: true, ChangePort: true, ResponsePort: 65535}, Query{ChangeIP: true, ChangePort: true, Other: true, ResponsePort: 65535}, 36},
		{Query{ResponsePort: 1}, Query{ResponsePort: 1}, 28},
	} {
		b := AppendQuery([]byte("kept"), id, c.query)
		r, ok := ParseRequest(b[4:])
		if !ok || r.ID != id || r.Query != c.want || len(r.Unknown) > 0 || len(b) != 4+c.bytes || string(b[:4]) != "kept" {
			t.Errorf("%+v: %d bytes, read as %+v, %v", c.query, len(b)-4, r, ok)
		}
	}
}

// The layouts of RFC 5780 §7.2 and §7.5.
func TestQueryGolden(t *testing.T) {
	got := AppendQuery(nil, TransactionID{0: 1, 11: 2}, Query{ChangeIP: true, ResponsePort: 0x1234})
	want := []byte{
		0x00, 0x01, 0x00, 0x10, 0x21, 0x12, 0xa4, 0x42, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
		0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x00, 0x04,
		0x00, 0x27, 0x00, 0x04, 0x12, 0x34, 0x00, 0x00,
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

func TestRefused(t *testing.T) {
	id := NewTransactionID()
	r, _ := ParseRequest(AppendQuery(nil, id, Query{ChangeIP: true}))
	b := r.AppendNoChange(nil)
	a, err := ParseAnswer(b)
	if want := (Answer{ID: id, Refused: 420}); err != nil || a != want {
		t.Errorf("%+v, %v", a, err)
	}
	if _, _, err := ParseResponse(b); err == nil {
		t.Error("a refusal is taken for a response")
	}
	for n := range b {
		if _, err := ParseAnswer(b[:n]); err == nil {
			t.Errorf("cut at %d is accepted", n)
		}
	}
}

func TestParseAnswerRefuses(t *testing.T) {
	id := NewTransactionID()
	full := answer(t, AppendRequest(nil, id), from, from, from)
	for n := range full {
		if _, err := ParseAnswer(full[:n]); err == nil {
			t.Errorf("cut at %d is accepted", n)
		}
	}
	mapped := &stun.XORMappedAddress{IP: []byte{192, 0, 2, 1}, Port: 1}
	with := func(value ...byte) []byte {
		m := stun.MustBuild(stun.TransactionID, stun.BindingSuccess, mapped)
		m.Add(stun.AttrOtherAddress, value)
		return m.Raw
	}
	for name, b := range map[string][]byte{
		"a request":      AppendRequest(nil, id),
		"an error":       stun.MustBuild(stun.TransactionID, stun.BindingError).Raw,
		"code 200":       stun.MustBuild(stun.TransactionID, stun.BindingError, stun.ErrorCodeAttribute{Code: 200}).Raw,
		"no address":     stun.MustBuild(stun.TransactionID, stun.BindingSuccess).Raw,
		"port 0":         stun.MustBuild(stun.TransactionID, stun.BindingSuccess, &stun.XORMappedAddress{IP: []byte{192, 0, 2, 1}}).Raw,
		"something else": []byte("something else that is long enough to be a header"),
		"other: empty":   with(),
		"other: short":   with(0, 1, 0, 9, 192, 0, 2),
		"other: family":  with(0, 2, 0, 9, 192, 0, 2, 1),
		"other: port 0":  with(0, 1, 0, 0, 192, 0, 2, 1),
	} {
		if _, err := ParseAnswer(b); err == nil {
			t.Errorf("%s is accepted", name)
		}
		if _, _, err := ParseResponse(b); err == nil {
			t.Errorf("%s is accepted as a response", name)
		}
	}
	if a, err := ParseAnswer(with(0, 1, 0, 9, 192, 0, 2, 1)); err != nil || a.Other != netip.MustParseAddrPort("192.0.2.1:9") {
		t.Errorf("%+v, %v", a, err)
	}
}

func FuzzParseAnswer(f *testing.F) {
	request := AppendRequest(nil, TransactionID{1})
	f.Add(answer(f, request, from, netip.AddrPort{}, netip.AddrPort{}))
	f.Add(answer(f, request, from, from, from))
	r, _ := ParseRequest(AppendQuery(nil, TransactionID{1}, Query{ChangePort: true}))
	f.Add(r.AppendNoChange(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseAnswer(b)
		if err != nil {
			return
		}
		if a.Refused == 0 != (a.Mapped.IsValid() && a.Mapped.Port() != 0) || a.Mapped.Addr().Is4In6() {
			t.Errorf("refused %d, mapped address %v", a.Refused, a.Mapped)
		}
		for _, x := range []netip.AddrPort{a.Origin, a.Other} {
			if x.IsValid() && x.Port() == 0 || x.Addr().Is4In6() {
				t.Errorf("%+v", a)
			}
		}
	})
}

func FuzzRequest(f *testing.F) {
	f.Add(AppendRequest(nil, TransactionID{1}))
	f.Add(AppendQuery(nil, TransactionID{1}, Query{ChangeIP: true, ChangePort: true, ResponsePort: 9}))
	f.Add(stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.NewUsername("u"), stun.Fingerprint).Raw)
	other := netip.MustParseAddrPort("[2001:db8::1]:9")
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := ParseRequest(b)
		if !ok {
			return
		}
		if len(r.Unknown) > 4 {
			t.Errorf("%d attributes are named", len(r.Unknown))
		}
		for _, ans := range [][]byte{
			r.AppendAnswer(nil, other, other, other), r.AppendRefusal(nil), r.AppendNoChange(nil),
		} {
			if len(ans) == 0 || len(ans) > MaxAnswer {
				t.Errorf("%d bytes earned %d", len(b), len(ans))
			}
			if a, err := ParseAnswer(ans); err != nil || a.ID != r.ID {
				t.Errorf("own answer %x: %v", ans, err)
			}
		}
		// What only the asker's length pays for: without the addresses of the server.
		if ans := r.AppendAnswer(nil, other, netip.AddrPort{}, netip.AddrPort{}); len(ans) > len(b)+24 {
			t.Errorf("%d bytes earned %d", len(b), len(ans))
		}
	})
}
