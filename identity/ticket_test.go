package identity

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func testTicket(t testing.TB) Ticket {
	d := testDevice(t)
	return Ticket{ID: d.ID(), SNs: d.SNs(), Endpoints: d.Endpoints(), Service: "ssh", Device: d}
}

func TestTicketGolden(t *testing.T) {
	ticket := testTicket(t)
	want := "bdt:5fCmaHXu9suQxTDKnippF9avV2KWvKseFBaGJUV1hRFk" +
		"?sn=5aSixgMJe7JMveWQ1tShxAnJX7bn3PcPrkj718tLtHqx@sn1.example.net:4433" +
		"&sn=5aSixgMBfkZZDwmQPe3cohnhXmyx9XNn8M1TkmUymqLt@198.51.100.7:4433" +
		"&ep=192.0.2.1:4433&ep=%5B2001:db8::1%5D:4433&s=ssh" +
		"&d=" + base64.RawURLEncoding.EncodeToString(golden(t, "device.hex"))
	if got := ticket.String(); got != want {
		t.Errorf("ticket %s, want %s", got, want)
	}
	for _, s := range []string{
		want,
		strings.TrimPrefix(want, "bdt:"),
		strings.Replace(want, "bdt:", "BDT:", 1),
		strings.NewReplacer("%5B", "[", "%5D", "]").Replace(want),
		strings.ReplaceAll(want, ":4433", "%3A4433"),
	} {
		parsed, err := ParseTicket(s)
		if err != nil || !reflect.DeepEqual(parsed, ticket) {
			t.Errorf("%s: parsed as %+v, error %v", s, parsed, err)
		}
	}
	if u, err := url.Parse(want); err != nil || u.Scheme != "bdt" || len(u.Query()["sn"]) != 2 {
		t.Errorf("not a URI to others: %v, error %v", u, err)
	}
}

func TestTicketKinds(t *testing.T) {
	device, people, chunk := mustID(t, TypeDevice, "d"), mustID(t, TypePeople, "p"), ChunkID([]byte("c"))
	for _, tt := range []struct {
		ticket Ticket
		text   string
		peer   ID
	}{
		{Ticket{ID: device}, device.String(), device},
		{Ticket{ID: people, Service: "a-B_1/c.d"}, people.String() + "?s=a-B_1/c.d", people},
		{Ticket{ID: chunk}, chunk.String(), ID{}},
		{Ticket{ID: chunk, From: people}, chunk.String() + "?from=" + people.String(), people},
	} {
		if got := tt.ticket.String(); got != "bdt:"+tt.text {
			t.Errorf("ticket %s, want %s", got, tt.text)
		}
		parsed, err := ParseTicket(tt.text)
		if err != nil || !reflect.DeepEqual(parsed, tt.ticket) || parsed.Peer() != tt.peer {
			t.Errorf("%s: parsed as %+v for %v, error %v", tt.text, parsed, parsed.Peer(), err)
		}
	}
}

func TestParseTicketRefuses(t *testing.T) {
	device, chunk := mustID(t, TypeDevice, "d").String(), ChunkID(nil).String()
	sn := "&sn=" + mustRef(t, "sn", "192.0.2.1:1").String()
	for _, tt := range []struct {
		name, text string
		want       error
	}{
		{"empty", "", ErrMalformed},
		{"only scheme", "bdt:", ErrMalformed},
		{"other scheme", "http:" + device, ErrMalformed},
		{"authority", "bdt://" + device, ErrMalformed},
		{"empty query", device + "?", ErrMalformed},
		{"empty parameter", device + "?s=a&", ErrMalformed},
		{"no value", device + "?s", ErrMalformed},
		{"empty value", device + "?s=", ErrMalformed},
		{"bad escape", device + "?s=%zz", ErrMalformed},
		{"unknown parameter", device + "?x=1", ErrMalformed},
		{"service twice", device + "?s=a&s=b", ErrMalformed},
		{"service with space", device + "?s=a%20b", ErrMalformed},
		{"service with plus", device + "?s=a+b", ErrMalformed},
		{"long service", device + "?s=" + strings.Repeat("a", MaxService+1), ErrTooLarge},
		{"bad sn", device + "?sn=192.0.2.1:1", ErrMalformed},
		{"sn twice", device + "?" + sn[1:] + sn, ErrMalformed},
		{"bad endpoint", device + "?ep=example:1", ErrMalformed},
		{"multicast endpoint", device + "?ep=224.0.0.1:1", ErrMalformed},
		{"9 endpoints", device + "?" + endpoints(MaxTicketEndpoints+1), ErrTooLarge},
		{"100 parameters", device + "?" + endpoints(100), ErrTooLarge},
		{"5 KiB", device + "?s=" + strings.Repeat("a", 5<<10), ErrTooLarge},
		{"bad from", chunk + "?from=x", ErrMalformed},
		{"from for a device", device + "?from=" + device, ErrMalformed},
		{"from a chunk", chunk + "?from=" + chunk, ErrWrongType},
		{"service of a chunk", chunk + "?s=a", ErrMalformed},
		{"address without source", chunk + "?ep=192.0.2.1:1", ErrMalformed},
		{"to an unknown type", mustID(t, 3, "x").String(), ErrWrongType},
		{"device not base64", device + "?d=*", ErrMalformed},
		{"device with padding", device + "?d=AA==", ErrMalformed},
		{"device cut", device + "?d=g1g", ErrTruncated},
		{"device with spare bits", spareBits(testTicket(t).String()), ErrMalformed},
		{"another device", device + "?d=" + base64.RawURLEncoding.EncodeToString(golden(t, "device.hex")), ErrWrongID},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ticket, err := ParseTicket(tt.text)
			wantError(t, err, tt.want)
			if err != nil && !reflect.DeepEqual(ticket, Ticket{}) {
				t.Errorf("error comes with %+v", ticket)
			}
		})
	}
}

// spareBits sets a bit that the last character of a base64 text does not use.
func spareBits(s string) string { return s[:len(s)-1] + string(s[len(s)-1]+1) }

// endpoints returns n endpoint parameters.
func endpoints(n int) string {
	var params []string
	for i := range n {
		params = append(params, fmt.Sprintf("ep=192.0.2.1:%d", i+1))
	}
	return strings.Join(params, "&")
}

// A ticket with all lists full of the longest elements is within MaxTicket, by
// the arithmetic of spec §9.
func TestTicketSize(t *testing.T) {
	label := strings.Repeat("s", 63)
	host := strings.Join([]string{label, label, label, label[:61]}, ".")
	ticket := Ticket{Service: strings.Repeat("s", MaxService), Device: deviceOfSize(t, MaxDeviceSize)}
	ticket.ID = ticket.Device.ID()
	for i := range MaxTicketSNs {
		ticket.SNs = append(ticket.SNs, mustRef(t, fmt.Sprint(i), host+":65535"))
		ticket.Endpoints = append(ticket.Endpoints, netip.MustParseAddrPort(fmt.Sprintf("[2001:db8:1111:2222:3333:4444:5555:100%d]:65535", i)))
	}
	// One character less for each address, since 2001:db8 has a group of three.
	if n, want := len(ticket.String()), 3769-MaxTicketEndpoints; n != want {
		t.Errorf("ticket of %d characters, want %d", n, want)
	}
	if parsed, err := ParseTicket(ticket.String()); err != nil || !reflect.DeepEqual(parsed, ticket) {
		t.Errorf("parsed as %+v, error %v", parsed, err)
	}
}

// deviceOfSize returns a device whose encoding has size bytes.
func deviceOfSize(t *testing.T, size int) *Device {
	t.Helper()
	body := DeviceBody{Updated: 1}
	addr := ".example:1"
	for {
		body.SNs = []Ref{mustRef(t, "a", strings.Repeat("a", 63)+".a.example:1"), mustRef(t, "b", strings.Repeat("b", 63)+".b.example:1"), mustRef(t, "c", "c"+addr)}
		d, err := NewDevice(testSecret(2), DeviceDesc{UniqueID: [16]byte{1}}, body)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Bytes()) == size {
			return d
		}
		addr = ".c" + addr
	}
}

func TestTicketCheck(t *testing.T) {
	wantError(t, Ticket{}.Check(), ErrWrongType)
	wantError(t, Ticket{ID: ID{0: 2<<6 | byte(TypeChunk)<<2}}.Check(), ErrWrongType)
	wantError(t, Ticket{ID: mustID(t, TypeDevice, "d"), SNs: []Ref{{Addr: "sn:1"}}}.Check(), ErrWrongType)
	wantError(t, Ticket{ID: mustID(t, TypeDevice, "d"), Endpoints: make([]netip.AddrPort, 1)}.Check(), ErrMalformed)
}

func FuzzParseTicket(f *testing.F) {
	f.Add(testTicket(f).String())
	f.Add("bdt:" + ChunkID(nil).String() + "?from=" + mustID(f, TypePeople, "p").String())
	f.Add(mustID(f, TypeDevice, "d").String() + "?" + endpoints(3))
	f.Fuzz(func(t *testing.T, s string) {
		ticket, err := ParseTicket(s)
		if err != nil {
			return
		}
		if len(s) > MaxTicket {
			t.Errorf("accepted %d characters", len(s))
		}
		again, err := ParseTicket(ticket.String())
		if err != nil || !reflect.DeepEqual(again, ticket) {
			t.Errorf("%q parsed as %+v, which prints as %s: error %v", s, ticket, ticket, err)
		}
	})
}
