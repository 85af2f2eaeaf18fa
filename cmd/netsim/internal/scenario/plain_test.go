package scenario

import (
	"reflect"
	"strings"
	"testing"

	"github.com/bdtnet/bdt/netsim"
)

// All that netsim's structs hold can be written, under a key of its own.
func TestPlainKeys(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[netsim.NATConfig](), reflect.TypeFor[netsim.LinkConfig]()} {
		testPlain(t, typ)
	}
	for field, want := range map[string]string{
		"MTU": "mtu", "NoICMP": "no-icmp", "CoDel": "codel", "MaxMappings": "max-mappings", "Prefix64": "prefix64", "P": "p", "UDPRate": "udp-rate", "AllowPorts": "allow-ports", "BlockUDP": "block-udp",
	} {
		if got := keyOf(field); got != want {
			t.Errorf("%s is %s, want %s", field, got, want)
		}
	}
}

func testPlain(t *testing.T, typ reflect.Type) {
	t.Helper()
	seen := map[string]bool{}
	for i := range typ.NumField() {
		f := typ.Field(i)
		if !f.IsExported() {
			continue
		}
		if k := keyOf(f.Name); seen[k] {
			t.Errorf("%v has two keys %s", typ, k)
		} else {
			seen[k] = true
		}
		if indexKey(linkKeys, keyOf(f.Name)) >= 0 && typ == reflect.TypeFor[netsim.LinkConfig]() {
			t.Errorf("a link has the key %s already", keyOf(f.Name))
		}
		if f.Type.PkgPath() == "github.com/bdtnet/bdt/netsim" && f.Type.Kind() != reflect.Struct && enums[f.Type] == nil {
			t.Errorf("%v.%s: enums does not name the values of %v", typ, f.Name, f.Type)
		}
		inner := f.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner != typ && inner != prefixType && inner != addrType {
			testPlain(t, inner)
			continue
		}
		if formOf(f.Type, f.Name) == "" || strings.Contains(formOf(f.Type, f.Name), "<") {
			t.Errorf("%v.%s has no form", typ, f.Name)
		}
	}
}
