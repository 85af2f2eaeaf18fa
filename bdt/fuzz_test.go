package bdt

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
)

// FuzzReadHeader: the header of a stream names a service that may be offered, and
// nothing behind it is read.
func FuzzReadHeader(f *testing.F) {
	f.Add(append(appendHeader(nil, formCall, "echo"), "what follows"...))
	f.Add([]byte{byte(formStream), 255})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		form, service, err := readHeader(r)
		if err != nil {
			return
		}
		if err := checkService(service); err != nil {
			t.Fatalf("service %q: %v", service, err)
		}
		rest, _ := io.ReadAll(r)
		if again := append(appendHeader(nil, form, service), rest...); !bytes.Equal(again, b) {
			t.Fatalf("%x read as %q and %x", b, service, rest)
		}
	})
}

// FuzzNetReport: a report that is read is written, and read alike.
func FuzzNetReport(f *testing.F) {
	whole, err := json.Marshal(NetReport{SNs: []SNReach{{}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(`{"took_ms":1.5,"sns":[{"ipv4":{"rtt_ms":2}}]}`))
	f.Add([]byte(`{"sns":[null]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again NetReport
		if json.Unmarshal(b, &r) != nil {
			return
		}
		b, err := json.Marshal(r)
		if err != nil {
			return // such as a time beyond the year 9999
		}
		if err := json.Unmarshal(b, &again); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
	})
}
