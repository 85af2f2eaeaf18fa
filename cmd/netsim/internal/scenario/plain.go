package scenario

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"

	"github.com/bdtnet/bdt/netsim"
)

// The configurations of links and NATs are netsim's own structs: their keys in the file are the
// names of the fields, so that what the simulator learns a scenario can say. MaxMappings
// is max-mappings.

var (
	durationType = reflect.TypeFor[time.Duration]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
	addrType     = reflect.TypeFor[netip.Addr]()
)

// enums are the names of the values of netsim's enumerations, from 0.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[netsim.Behavior]():   {"endpoint-independent", "address-dependent", "address-and-port-dependent"},
	reflect.TypeFor[netsim.PortPolicy](): {"preserve", "random", "sequential"},
}

// keyOf is the key for a field.
func keyOf(field string) string {
	if field == "CoDel" {
		return "codel"
	}
	var b strings.Builder
	runes := []rune(field)
	for i, c := range runes {
		if unicode.IsUpper(c) && i > 0 && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// plainKeys returns the keys of a struct of plain data, in order.
func plainKeys(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() {
			names = append(names, keyOf(f.Name))
		}
	}
	return names
}

// plain reads a mapping into a struct of plain data. It returns the keys that were there.
// Keys of skip are not for it.
func (r *reader) plain(n ast.Node, what string, to reflect.Value, skip func(name string) bool) ([]string, error) {
	pairs, err := r.pairs(n, what)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range pairs {
		if skip != nil && skip(p.name) {
			continue
		}
		f, ok := fieldOf(to.Type(), p.name)
		if !ok {
			return nil, r.errorAt(p.key, meant(p.name, plainKeys(to.Type())), "%s has no key %q", what, p.name)
		}
		if err := r.plainValue(p.value, f.Name, to.FieldByIndex(f.Index)); err != nil {
			return nil, err
		}
		names = append(names, p.name)
	}
	return names, nil
}

func fieldOf(t reflect.Type, key string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && keyOf(f.Name) == key {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// plainValue reads a value of plain data: what form it has in the file the type and name of
// its field say.
func (r *reader) plainValue(n ast.Node, field string, to reflect.Value) error {
	if names, ok := enums[to.Type()]; ok {
		i, err := r.choice(n, names)
		if err == nil {
			to.SetUint(uint64(i))
		}
		return err
	}
	switch to.Type() {
	case durationType:
		d, err := r.duration(n)
		to.SetInt(int64(d))
		return err
	case prefixType, addrType:
		return r.network(n, to)
	}
	switch to.Kind() {
	case reflect.Bool:
		b, err := r.truth(n)
		to.SetBool(b)
		return err
	case reflect.String:
		s, err := r.text(n)
		to.SetString(s)
		return err
	case reflect.Float64:
		v, err := r.share(n)
		to.SetFloat(v)
		return err
	case reflect.Int, reflect.Int64, reflect.Int32:
		return r.whole(n, field, to)
	case reflect.Uint16, reflect.Uint8, reflect.Uint32:
		v, err := r.integer(n, 0, 1<<to.Type().Bits()-1)
		to.SetUint(uint64(v))
		return err
	case reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		return r.plainValue(n, field, to.Elem())
	case reflect.Struct:
		_, err := r.plain(n, keyOf(field), to, nil)
		return err
	case reflect.Array:
		items := r.items(n)
		if len(items) > to.Len() {
			return r.errorAt(n, "", "at most %d can be given", to.Len())
		}
		for i, item := range items {
			if err := r.plainValue(item, field, to.Index(i)); err != nil {
				return err
			}
		}
		return nil
	case reflect.Slice:
		items := r.items(n)
		if len(items) > 1024 {
			return r.errorAt(n, "", "too many")
		}
		to.Set(reflect.MakeSlice(to.Type(), len(items), len(items)))
		for i, item := range items {
			if err := r.plainValue(item, field, to.Index(i)); err != nil {
				return err
			}
		}
		return nil
	}
	return r.errorAt(n, "", "%s cannot be set in a file", keyOf(field))
}

// whole reads a number of bits a second, or of bytes or whatever else is whole.
func (r *reader) whole(n ast.Node, field string, to reflect.Value) error {
	if isRate(field) {
		v, err := r.rate(n)
		to.SetInt(v)
		return err
	}
	v, err := r.size(n, 1<<min(to.Type().Bits()-1, 40))
	to.SetInt(v)
	return err
}

// isRate reports whether a field holds bits a second.
func isRate(field string) bool { return strings.HasSuffix(field, "Rate") }

// network reads an address or a prefix.
func (r *reader) network(n ast.Node, to reflect.Value) error {
	s, err := r.text(n)
	if err != nil {
		return err
	}
	if to.Type() == addrType {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return r.errorAt(n, "write it like 198.51.100.7 or 2001:db8::7", "%q is no address", s)
		}
		to.Set(reflect.ValueOf(a))
		return nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return r.errorAt(n, "write it like 198.18.1.0/24 or 64:ff9b::/96", "%q is no prefix", s)
	}
	to.Set(reflect.ValueOf(p))
	return nil
}

// formOf is how a value of a type is written, for people.
func formOf(t reflect.Type, field string) string {
	if names, ok := enums[t]; ok {
		return strings.Join(names, ", ")
	}
	switch t {
	case durationType:
		return "duration"
	case prefixType:
		return "prefix"
	case addrType:
		return "address"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true, false"
	case reflect.String:
		return "text"
	case reflect.Float64:
		return "share"
	case reflect.Int, reflect.Int64, reflect.Int32:
		if isRate(field) {
			return "rate"
		}
		return "size"
	case reflect.Uint16, reflect.Uint8, reflect.Uint32:
		return "number"
	case reflect.Pointer:
		return formOf(t.Elem(), field)
	case reflect.Slice, reflect.Array:
		return "list of " + formOf(t.Elem(), field)
	case reflect.Struct:
		return "{" + strings.Join(plainKeys(t), ", ") + "}"
	}
	panic(fmt.Sprintf("scenario: %v cannot be written in a file", t))
}

// Override returns base with those fields of c that keys name.
func Override(base, c netsim.LinkConfig, keys []string) netsim.LinkConfig {
	from, to := reflect.ValueOf(c), reflect.ValueOf(&base).Elem()
	for _, k := range keys {
		if f, ok := fieldOf(to.Type(), k); ok {
			to.FieldByIndex(f.Index).Set(from.FieldByIndex(f.Index))
		}
	}
	return base
}
