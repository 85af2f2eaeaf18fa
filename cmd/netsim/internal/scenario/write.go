package scenario

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// A Setting is a key of a NAT or a link, and its value, as a file writes them.
type Setting struct{ Key, Text string }

// Written returns what a file would have to say of a netsim.NATConfig or netsim.LinkConfig: all that
// is not zero, and how a NAT maps and filters in any case, in the order of the fields.
func Written(config any) []Setting {
	v := reflect.ValueOf(config)
	var list []Setting
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if _, enum := enums[f.Type]; f.IsExported() && (enum || !v.Field(i).IsZero()) {
			list = append(list, Setting{keyOf(f.Name), written(v.Field(i), f.Name)})
		}
	}
	return list
}

// written is a value as a file writes it.
func written(v reflect.Value, field string) string {
	if names, ok := enums[v.Type()]; ok {
		return names[v.Uint()]
	}
	switch x := v.Interface().(type) {
	case time.Duration:
		return durationText(x)
	case netip.Prefix:
		return "'" + x.String() + "'"
	case netip.Addr:
		return "'" + x.String() + "'"
	}
	switch v.Kind() {
	case reflect.Pointer:
		return written(v.Elem(), field)
	case reflect.Struct:
		var words []string
		for _, s := range Written(v.Interface()) {
			words = append(words, s.Key+": "+s.Text)
		}
		return "{" + strings.Join(words, ", ") + "}"
	case reflect.Slice, reflect.Array:
		var words []string
		for i := range v.Len() {
			if x := v.Index(i); v.Kind() == reflect.Slice || !x.IsZero() {
				words = append(words, written(x, field))
			}
		}
		return "[" + strings.Join(words, ", ") + "]"
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case reflect.Int, reflect.Int64, reflect.Int32:
		if isRate(field) {
			return rateText(v.Int())
		}
	}
	return fmt.Sprint(v.Interface())
}

// durationText is a duration without the units that are zero: 2h rather than 2h0m0s.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// rateText is a rate in the largest unit that it is whole in.
func rateText(n int64) string {
	for i := len(rateUnits) - 1; i >= 0; i-- {
		if u := rateUnits[i]; n%int64(u.is) == 0 {
			return fmt.Sprintf("%d%s", n/int64(u.is), u.name)
		}
	}
	return fmt.Sprint(n)
}
